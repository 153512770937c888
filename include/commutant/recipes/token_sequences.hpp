// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

namespace commutant {

/// Windows of tokens, each beginning with BOS at position 0; they may differ in length.
using token_sequences = std::vector<std::vector<int>>;

/// Tokens of the longest window.
[[nodiscard]] inline std::size_t longest_window(token_sequences const& windows) {
    std::size_t longest = 0;
    for (auto const& w : windows) longest = w.size() > longest ? w.size() : longest;
    return longest;
}

/// Tokens behind the first of each window, which is how many predictions they ask for.
[[nodiscard]] inline std::size_t n_predictions(token_sequences const& windows) {
    std::size_t n = 0;
    for (auto const& w : windows) n += w.empty() ? 0 : w.size() - 1;
    return n;
}

/// Called after each window of a long computation with how many are done and how many there are.
using progress_callback = std::function<void(std::size_t done, std::size_t total)>;

}  // namespace commutant
