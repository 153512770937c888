// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>

#include <commutant/transforms/pairwise.hpp>

namespace commutant {

/// Scaled 2x2 rotations, one per RoPE feature pair (T_k).
///
/// Equation  y_i = s_i x_i R(angle_i), with a = s cos(angle), b = s sin(angle)
/// Law       commutes_with<rope> (laws/); at distinct non-zero frequencies nothing else does
/// Partner   queries take inverse_transpose(t), the same rotation with the inverse scale; q.k is unchanged
/// Cost      0 when merged; 4 multiplications per pair online
/// Paper     FPTQuant, arXiv:2506.04985
struct scaled_rotation {
    static constexpr char const* name = "scaled_rotation";

    template <class S> [[nodiscard]] static constexpr block2<S> block(S const& a, S const& b) {
        return {a, b, -b, a};
    }

    /// From polar parameters of every pair.
    ///
    /// Shape     scale, angle: [dim_rotated / 2]
    /// Units     angle in radians; scale dimensionless, not zero
    /// Errors    std::domain_error if a scale is zero or a number is not finite
    template <class M, class T>
    [[nodiscard]] static pairwise<scaled_rotation, M> from_polar(std::span<T const> scale,
                                                                 std::span<T const> angle, pairing p,
                                                                 std::size_t dim) {
        detail::require(scale.size() == angle.size() && 2 * scale.size() <= dim,
                        "scaled_rotation: give one scale and one angle for each rotated pair of the head");
        M a(1, scale.size()), b(1, scale.size());
        for (std::size_t i = 0; i < scale.size(); ++i) {
            if (scale[i] == T(0) || !std::isfinite(scale[i]))
                throw std::domain_error("scaled_rotation: the scale of pair " + std::to_string(i) + " is " +
                                        std::to_string(scale[i]) +
                                        ", expected a finite number other than zero");
            if (!std::isfinite(angle[i]))
                throw std::domain_error("scaled_rotation: the angle of pair " + std::to_string(i) + " is " +
                                        std::to_string(angle[i]) + ", expected a finite number of radians");
            a(0, i) = scale[i] * std::cos(angle[i]);
            b(0, i) = scale[i] * std::sin(angle[i]);
        }
        return pairwise<scaled_rotation, M>::from_parameters(std::array<M, 2>{a, b}, p, dim);
    }
};

}  // namespace commutant
