// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace commutant::kernels::detail {

/// exp(x) = 2^n exp(r), n = round(x / ln 2): 1 + r + r^2 P(r) with the coefficients of Cephes' expf.
struct exp_constants {
    static constexpr float largest = 88.0F;  ///< 2^127 is just above exp of it
    static constexpr float smallest = -87.0F;
    static constexpr float log2_e = 1.44269504F;
    static constexpr float magic =
        12582912.0F;  ///< 1.5 * 2^23: what is added to it is rounded to whole numbers
    static constexpr float ln2_high = 0.693359375F;
    static constexpr float ln2_low = -2.12194440e-4F;
    static constexpr float p[6] = {1.9875691500e-4F, 1.3981999507e-3F, 8.3334519073e-3F,
                                   4.1665795894e-2F, 1.6666665459e-1F, 5.0000001201e-1F};
};

/// 1 + exp(x), x between smallest and largest; every multiplication that an addition follows is fused with it.
[[nodiscard]] inline float one_plus_exp(float x) noexcept {
    using c = exp_constants;
    x = c::largest < x ? c::largest : x;  // NaN stays
    x = c::smallest > x ? c::smallest : x;
    float const t = std::fma(x, c::log2_e, c::magic);
    float const n = t - c::magic;
    float r = std::fma(-n, c::ln2_high, x);
    r = std::fma(-n, c::ln2_low, r);
    float p = c::p[0];
    for (int i = 1; i < 6; ++i) p = std::fma(p, r, c::p[i]);
    p = std::fma(p, r * r, r) + 1.0F;
    float const power = std::bit_cast<float>((std::bit_cast<std::uint32_t>(t) + 127U) << 23);
    return std::fma(p, power, 1.0F);
}

inline void swiglu_scalar(float const* gate, float const* up, float* y, std::size_t n) noexcept {
    for (std::size_t i = 0; i < n; ++i) y[i] = gate[i] / one_plus_exp(-gate[i]) * up[i];
}

}  // namespace commutant::kernels::detail
