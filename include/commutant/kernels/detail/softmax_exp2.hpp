// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace commutant::kernels::detail {

/// 2^r = 1 + c1 r + ... + c6 r^6 on [-1/2, 1/2], relative error 7e-9; minimax, each coefficient rounded in turn.
inline constexpr std::array<float, 6> exp2_coefficients{0x1.62e432p-1F, 0x1.ebfbe6p-3F,  0x1.c6ada8p-5F,
                                                        0x1.3b21c8p-7F, 0x1.5fbfd0p-10F, 0x1.4c13dep-13F};
/// 1.5 * 2^23: adding it rounds to an integer, which then stands in the lowest bits.
inline constexpr float exp2_magic = 12582912.0F;
/// Below it, where 2^y is no longer a normal number, weights are 0.
inline constexpr float exp2_lowest = -126.0F;

/// 2^y for y <= 1: within an ulp, 1 for y = 0, 0 below -126, NaN for NaN.
[[nodiscard]] inline float exp2_scalar(float y) noexcept {
    if (y < exp2_lowest) return 0;
    float const shifted = y + exp2_magic;
    float const r = y - (shifted - exp2_magic);
    auto const& c = exp2_coefficients;
    float p = std::fma(r, c[5], c[4]);
    p = std::fma(r, p, c[3]);
    p = std::fma(r, p, c[2]);
    p = std::fma(r, p, c[1]);
    p = std::fma(r, p, c[0]);
    p = std::fma(r, p, 1.0F);
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(p) +
                                (std::bit_cast<std::uint32_t>(shifted) << 23));
}

/// One row of attention scores, or of anything else, turned into weights that are not normalised yet.
///
/// Equation  y = 2^(factor (x scale) - factor max(x scale)) multiplier; returns the sum of the powers of two
/// Note      scales and multipliers: [n], or null for 1. The sum has 16 parts, element i in part i % 16, added up
///           pairwise: 0 and 8, 1 and 9 and so on, then 0 and 4, 0 and 2, 0 and 1
using softmax_function = float(float* row, std::size_t n, float factor, float const* scales,
                               float const* multipliers) noexcept;

[[nodiscard]] inline float sum_of_parts(std::array<float, 16>& part) noexcept {
    for (std::size_t half = 8; half != 0; half /= 2)
        for (std::size_t i = 0; i < half; ++i) part[i] += part[i + half];
    return part[0];
}

inline float softmax_scalar(float* row, std::size_t n, float factor, float const* scales,
                            float const* multipliers) noexcept {
    if (n == 0) return 0;
    if (scales != nullptr)
        for (std::size_t i = 0; i < n; ++i) row[i] *= scales[i];
    float max = row[0];
    for (std::size_t i = 1; i < n; ++i) max = row[i] > max ? row[i] : max;
    float const shift = -(max * factor);
    std::array<float, 16> part{};
    for (std::size_t i = 0; i < n; ++i) {
        float const w = exp2_scalar(std::fma(row[i], factor, shift));
        part[i % part.size()] += w;
        row[i] = multipliers == nullptr ? w : w * multipliers[i];
    }
    return sum_of_parts(part);
}

}  // namespace commutant::kernels::detail
