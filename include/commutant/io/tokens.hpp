// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <commutant/io/error.hpp>
#include <commutant/io/safetensors.hpp>
#include <commutant/io/safetensors_writer.hpp>

namespace commutant::io {

/// Texts as token ids, in windows of one length.
///
/// Shape     ids: [n_windows, length], row-major
struct token_windows {
    std::size_t n_windows = 0;
    std::size_t length = 0;
    std::vector<std::int32_t> ids{};

    [[nodiscard]] std::span<std::int32_t const> window(std::size_t i) const {
        return std::span(ids).subspan(i * length, length);
    }
};

/// Cuts a stream of ids into windows without gaps, each with `bos` in front; a rest that fills no window is
/// left out.
///
/// Errors    std::invalid_argument if a window has no room for an id behind BOS
[[nodiscard]] inline token_windows cut_windows(std::span<std::int32_t const> ids, std::size_t length,
                                               std::int32_t bos) {
    if (length < 2)
        throw std::invalid_argument("cut_windows: length is " + std::to_string(length) +
                                    ", expected at least 2");
    token_windows out{ids.size() / (length - 1), length, {}};
    out.ids.reserve(out.n_windows * length);
    for (std::size_t i = 0; i < out.n_windows; ++i) {
        out.ids.push_back(bos);
        auto const piece = ids.subspan(i * (length - 1), length - 1);
        out.ids.insert(out.ids.end(), piece.begin(), piece.end());
    }
    return out;
}

/// Token windows of a safetensors file: integers `tokens`, [n_windows, length] or [length].
///
/// Errors    input_error if the file is bad, empty, or names an id outside [0, vocab_size)
[[nodiscard]] inline token_windows read_tokens(std::filesystem::path const& path, std::size_t vocab_size) {
    auto const file = safetensors_file::open(path);
    auto const& info = file.info("tokens");
    auto const refuse = [&](std::string const& fact) { throw input_error(path.string(), fact); };
    if (info.shape.empty() || info.shape.size() > 2)
        refuse("tensor 'tokens' has shape " + shape_text(info.shape) + ", expected [n_windows, length]");
    if (info.count == 0)
        refuse("tensor 'tokens' has shape " + shape_text(info.shape) + ", expected at least one token");
    token_windows out{info.shape.size() == 2 ? info.shape.front() : 1, info.shape.back(), {}};
    out.ids.resize(info.count);
    file.read_int32("tokens", out.ids);
    for (std::size_t i = 0; i < out.ids.size(); ++i)
        if (out.ids[i] < 0 || static_cast<std::size_t>(out.ids[i]) >= vocab_size)
            refuse("window " + std::to_string(i / out.length) + " holds id " + std::to_string(out.ids[i]) +
                   " at position " + std::to_string(i % out.length) + ", expected ids below " +
                   std::to_string(vocab_size));
    return out;
}

/// Writes token windows as read_tokens reads them, int32.
inline void write_tokens(std::filesystem::path const& path, token_windows const& tokens) {
    safetensors_writer writer(path, {{"tokens", dtype::i32, {tokens.n_windows, tokens.length}}});
    writer.write("tokens", std::span<std::int32_t const>(tokens.ids));
    writer.commit();
}

}  // namespace commutant::io
