// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <utility>

#include <commutant/core/matrix.hpp>
#include <commutant/core/pairing.hpp>

namespace commutant {

/// Columns of block i when features stand in blocks of the given width.
[[nodiscard]] constexpr slice column_block(std::size_t i, std::size_t width) { return {i * width, width, 1}; }

/// x with every block of columns replaced by f(block index, block).
///
/// Shape     x: [rows, n * width]; f: (std::size_t, M [rows, width]) -> M [rows, width]
template <class M, class F>
[[nodiscard]] constexpr M mapped_column_blocks(M const& x, std::size_t width, F f) {
    M y(x.rows(), x.cols());
    for (std::size_t i = 0; i * width < x.cols(); ++i)
        set_columns(y, column_block(i, width), f(i, columns(x, column_block(i, width))));
    return y;
}

/// The same in place, on a weight or on a view of the caller's buffer.
template <class W, class F> constexpr void update_column_blocks(W& x, std::size_t width, F f) {
    for (std::size_t i = 0; i * width < x.cols(); ++i)
        set_columns(x, column_block(i, width), f(i, columns(x, column_block(i, width))));
}

/// Every block of rows replaced in place by f(block index, block).
template <class W, class F> constexpr void update_row_blocks(W& x, std::size_t height, F f) {
    for (std::size_t i = 0; i * height < x.rows(); ++i)
        set_row_block(x, i * height, f(i, row_block(x, i * height, height)));
}

/// The two halves of every RoPE pair: feature `first` of pair i and feature `second` of pair i, rotary_dim / 2 each.
struct pair_slices {
    slice first;
    slice second;
};

[[nodiscard]] constexpr pair_slices slices_of(pairing p, std::size_t rotary_dim) {
    std::size_t const n = rotary_dim / 2;
    return p == pairing::half_split ? pair_slices{{0, n, 1}, {n, n, 1}} : pair_slices{{0, n, 2}, {1, n, 2}};
}

/// x with the members (x1, x2) of every pair replaced by the two matrices that f returns; features from rotary_dim on
/// stay as they are.
///
/// Shape     x: [rows, head_dim]; f: (M [rows, r/2], M [rows, r/2]) -> std::pair of the same
template <class M, class F>
[[nodiscard]] constexpr M mapped_pairs(M const& x, pairing p, std::size_t rotary_dim, F f) {
    auto const [first, second] = slices_of(p, rotary_dim);
    auto [y1, y2] = f(columns(x, first), columns(x, second));
    M y = x;
    set_columns(y, first, y1);
    set_columns(y, second, y2);
    return y;
}

}  // namespace commutant
