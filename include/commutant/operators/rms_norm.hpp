// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/core/matrix.hpp>

namespace commutant {

/// RMSNorm without its gain.
///
/// Equation  x / sqrt(mean(x^2) + eps), row by row
/// Shape     x: [tokens, dim]
template <class M> [[nodiscard]] constexpr M normalised(M const& x, typename M::scalar const& eps) {
    return scale_rows(x, rsqrt(shifted(mean_square_rows(x), eps)));
}

/// RMSNorm.
///
/// Shape     x: [tokens, dim]; gain: [1, dim], or empty where it has been folded into the linears behind
template <class M>
[[nodiscard]] constexpr M rms_norm(M const& x, M const& gain, typename M::scalar const& eps) {
    if (gain.rows() == 0) return normalised(x, eps);
    return scale_columns(normalised(x, eps), gain);
}

}  // namespace commutant
