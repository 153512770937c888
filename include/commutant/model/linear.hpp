// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/core/matrix.hpp>

namespace commutant {

/// A linear layer; W is a matrix, or a reference to the caller's buffer when only merging.
///
/// Equation  y = x weight^T + bias
/// Shape     weight: [out_features, in_features]; bias: [1, out_features], or empty
template <class W> struct linear {
    W weight{};
    W bias{};

    [[nodiscard]] constexpr bool has_bias() const { return bias.rows() != 0; }
};

/// y = x W^T + bias.  bias: [1, out] for all rows, [tokens, out], or empty
template <class M> [[nodiscard]] constexpr M forward(linear<M> const& l, M const& x, M const& bias) {
    M y = product_transposed(x, l.weight);
    if (bias.rows() == 0) return y;
    if (bias.rows() == 1) return add_to_rows(y, bias);
    return std::move(y) + bias;
}

template <class M> [[nodiscard]] constexpr M forward(linear<M> const& l, M const& x) {
    return forward(l, x, l.bias);
}

}  // namespace commutant
