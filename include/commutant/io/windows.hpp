// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace commutant::io {

/// How much of a text the reference protocol reads.
struct reference_limits {
    std::size_t max_tokens = 4000;
    std::size_t max_documents = 40;
};

}  // namespace commutant::io

namespace commutant::detail {

/// A document without white space at either end.
[[nodiscard]] inline std::string_view stripped(std::string_view text) {
    constexpr std::string_view white = " \t\r\n\v\f";
    auto const first = text.find_first_not_of(white);
    return first == std::string_view::npos ? std::string_view{}
                                           : text.substr(first, text.find_last_not_of(white) + 1 - first);
}

inline void require_window(char const* who, std::size_t length) {
    if (length < 2)
        throw std::invalid_argument(std::string(who) + ": windows of " + std::to_string(length) +
                                    " positions, expected at least 2: BOS and a token to predict");
}

}  // namespace commutant::detail

namespace commutant::io {

/// Windows of the reference protocol, by which stated likelihoods are compared between programs.
///
/// Documents go one by one, without white space at either end, the first limits.max_documents of them that are not
/// empty; each is encoded by itself, without an end token; limits.max_tokens tokens are taken in all. A document is cut
/// into windows that do not overlap, of length positions: BOS, then up to length - 1 of its tokens. Every window starts
/// at position 0, so as many tokens are predicted as are taken.
///
/// encode    std::string_view -> a vector of ids, with neither BOS nor EOS
/// Errors    std::invalid_argument if a window has no room for a token behind BOS
template <class Encode>
[[nodiscard]] std::vector<std::vector<int>> reference_windows(std::span<std::string const> documents,
                                                              std::size_t length, int bos, Encode encode,
                                                              reference_limits const& limits = {}) {
    detail::require_window("reference_windows", length);
    std::vector<std::vector<int>> windows;
    std::size_t left = limits.max_tokens, n_documents = 0;
    for (std::string const& document : documents) {
        std::string_view const text = detail::stripped(document);
        if (text.empty()) continue;
        if (left == 0 || n_documents++ == limits.max_documents) break;
        auto const ids = encode(text);
        std::size_t const taken = std::min(ids.size(), left);
        left -= taken;
        for (std::size_t begin = 0; begin < taken; begin += length - 1) {
            std::vector<int> window{bos};
            for (std::size_t i = begin; i < std::min(begin + length - 1, taken); ++i)
                window.push_back(ids[i]);
            windows.push_back(std::move(window));
        }
    }
    return windows;
}

/// Windows that waste nothing: documents in order with one EOS after each that has tokens, cut without gaps.
///
/// Each window is BOS and length - 1 tokens; a rest that fills no window is left out unless it is all there is. Reading
/// stops once max_windows are full; 0 reads everything.
///
/// encode    std::string_view -> a vector of ids, with neither BOS nor EOS
/// eos       nothing: documents follow each other without a mark
/// Errors    std::invalid_argument if a window has no room for a token behind BOS
template <class Encode>
[[nodiscard]] std::vector<std::vector<int>> packed_windows(std::span<std::string const> documents,
                                                           std::size_t length, int bos,
                                                           std::optional<int> eos, Encode encode,
                                                           std::size_t max_windows = 0) {
    detail::require_window("packed_windows", length);
    std::vector<std::vector<int>> windows;
    std::vector<int> window{bos};
    auto const add = [&](int id) {
        window.push_back(id);
        if (window.size() < length) return;
        windows.push_back(std::move(window));
        window.assign(1, bos);
    };
    auto const full = [&] { return max_windows != 0 && windows.size() >= max_windows; };
    for (std::string const& document : documents) {
        auto const ids = encode(std::string_view(document));
        for (auto const id : ids) {
            add(static_cast<int>(id));
            if (full()) return windows;
        }
        if (eos && !ids.empty()) add(*eos);
        if (full()) return windows;
    }
    if (windows.empty() && window.size() > 1) windows.push_back(std::move(window));
    return windows;
}

}  // namespace commutant::io
