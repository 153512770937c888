// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <utility>

#include <commutant/core/blocks.hpp>

namespace commutant {

/// Cosines and sines of RoPE's angles.
///
/// Shape     cosine, sine: [positions, rotary_dim / 2]; row m is position m
template <class M> struct rotation_table {
    M cosine;
    M sine;
};

/// Rows first .. first + count of the table.
template <class M>
[[nodiscard]] constexpr rotation_table<M> positions(rotation_table<M> const& t, std::size_t first,
                                                    std::size_t count) {
    return {row_block(t.cosine, first, count), row_block(t.sine, first, count)};
}

/// Rotary position embedding: every pair of features of every head, turned by the token's angle.
///
/// Equation  (y1, y2) = (x1 cos - x2 sin, x2 cos + x1 sin)   for pair (x1, x2)
/// Shape     x: [tokens, n * head_dim]; table: [tokens, rotary_dim / 2]; features from rotary_dim on carry no position
template <class M>
[[nodiscard]] constexpr M apply_rope(M const& x, rotation_table<M> const& table, std::size_t head_dim,
                                     pairing p) {
    return mapped_column_blocks(x, head_dim, [&](std::size_t, M const& head) {
        return mapped_pairs(head, p, 2 * table.cosine.cols(), [&](M const& x1, M const& x2) {
            return std::pair<M, M>(
                elementwise_product(x1, table.cosine) - elementwise_product(x2, table.sine),
                elementwise_product(x2, table.cosine) + elementwise_product(x1, table.sine));
        });
    });
}

}  // namespace commutant
