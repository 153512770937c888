// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include <commutant/core/blocks.hpp>
#include <commutant/model/linear.hpp>
#include <commutant/transforms/kind.hpp>

namespace commutant {

/// Folds transforms into the output side of a linear: it now gives y T.
///
/// Equation  W <- T^T W, b <- b T, block by block of the output features
/// Shape     out_features = n * block_dim; transform_of_block: block index -> transform on block_dim features
template <class W, class F>
constexpr void merge_output_side(linear<W>& l, std::size_t block_dim, F transform_of_block) {
    update_row_blocks(l.weight, block_dim, [&](std::size_t i, auto const& rows) {
        return transpose(apply(transform_of_block(i), transpose(rows)));
    });
    if (l.has_bias())
        update_column_blocks(l.bias, block_dim,
                             [&](std::size_t i, auto const& b) { return apply(transform_of_block(i), b); });
}

/// Folds transforms into the input side of a linear: it is now given x T. The bias stays: it is added behind.
///
/// Equation  W <- W T^-T, block by block of the input features
/// Shape     in_features = n * block_dim; transform_of_block: block index -> transform on block_dim features
template <class W, class F>
constexpr void merge_input_side(linear<W>& l, std::size_t block_dim, F transform_of_block) {
    update_column_blocks(l.weight, block_dim, [&](std::size_t i, auto const& cols) {
        return apply(inverse_transpose(transform_of_block(i)), cols);
    });
}

}  // namespace commutant
