// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>

namespace commutant {

/// Which rows (tokens) of a batch of activations count in calibration.
///
/// The first (BOS) token of a window collects values far outside those of all others, and ranges that include
/// it are useless for the rest: leave it out.
struct row_selection {
    std::size_t window = 0;                ///< rows per window, whose first row is skipped; 0: none is
    std::span<const std::uint8_t> keep{};  ///< one flag per row, zero skips it; empty: none is skipped

    [[nodiscard]] constexpr bool keeps(std::size_t row) const noexcept {
        return (window == 0 || row % window != 0) && (keep.empty() || keep[row] != 0);
    }
};

[[nodiscard]] constexpr row_selection all_rows() noexcept { return {}; }

/// All rows but the first of each window; the batch starts at the beginning of a window.
[[nodiscard]] constexpr row_selection skip_first_rows(std::size_t window) noexcept { return {window, {}}; }

/// The rows whose flag is not zero.
[[nodiscard]] constexpr row_selection masked_rows(std::span<const std::uint8_t> keep) noexcept {
    return {0, keep};
}

namespace detail {

/// Refuses a batch that is not a matrix of cols columns, or a mask of another length.
inline void require_rows(std::size_t size, std::size_t cols, const row_selection& rows,
                         const std::string& where) {
    if (cols == 0 ? size != 0 : size % cols != 0)
        throw std::invalid_argument(where + ": the batch has " + std::to_string(size) +
                                    " elements, expected a multiple of its " + std::to_string(cols) +
                                    " columns");
    const std::size_t n_rows = cols == 0 ? 0 : size / cols;
    if (!rows.keep.empty() && rows.keep.size() != n_rows)
        throw std::invalid_argument(where + ": the row mask has " + std::to_string(rows.keep.size()) +
                                    " flags, expected one for each of the " + std::to_string(n_rows) +
                                    " rows");
}

/// Calls visit(first_row, end_row) for each longest run of neighbouring rows that are kept.
template <class Visit> void for_each_run(std::size_t n_rows, const row_selection& rows, Visit visit) {
    std::size_t first = 0;
    while (first < n_rows) {
        if (!rows.keeps(first)) {
            ++first;
            continue;
        }
        std::size_t end = first + 1;
        while (end < n_rows && rows.keeps(end)) ++end;
        visit(first, end);
        first = end;
    }
}

}  // namespace detail

}  // namespace commutant
