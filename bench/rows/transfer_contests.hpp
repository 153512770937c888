// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "harness/session.hpp"

namespace commutant::bench {

/// Arrays that a transfer works on, slice after slice.
struct sliced {
    std::size_t n_rows, row_size;      ///< of one call
    std::size_t rotated_elements = 0;  ///< all slices together; 0: one slice, again and again
    [[nodiscard]] std::size_t elements() const { return n_rows * row_size; }
    [[nodiscard]] std::size_t n_slices() const {
        return rotated_elements == 0 ? 1 : rotated_elements / elements() + 1;
    }
};

/// Bytes of one call's source and target, from its kind.
[[nodiscard]] double source_bytes(transfer_kind kind, double elements);
[[nodiscard]] double target_bytes(transfer_kind kind, double elements);

/// The kernel of every build, checked against plain code. Names end with the suffix.
///
/// All builds work on the same arrays: pages that share sets of a cache are slower than others.
void enter_transfers(std::vector<contestant>& in, session const& s, transfer_kind kind, sliced const& shape,
                     std::string const& suffix = "");

/// Rows that fill so many bytes of floats, at least one.
[[nodiscard]] constexpr std::size_t rows_in(std::size_t bytes, std::size_t row_size) {
    std::size_t const n = bytes / (row_size * sizeof(float));
    return n == 0 ? 1 : n;
}

}  // namespace commutant::bench
