// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/detail/int4_pack_scalar.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace commutant::kernels {

/// Uniform grid of codes in two's complement: x ~ scale * (q - zero_point), q in [lo, hi].
///
/// Units     scale in units of x, positive and normal; zero_point is a code
struct code_grid {
    float scale = 1.0F;
    std::int32_t zero_point = 0;
    int num_bits = 8;  ///< 2 .. 8

    [[nodiscard]] constexpr std::int32_t lo() const noexcept { return -(std::int32_t{1} << (num_bits - 1)); }
    [[nodiscard]] constexpr std::int32_t hi() const noexcept {
        return (std::int32_t{1} << (num_bits - 1)) - 1;
    }
    friend constexpr bool operator==(code_grid const&, code_grid const&) noexcept = default;
};

/// Smallest and largest of some values and zero.
struct float_range {
    float min = 0.0F;
    float max = 0.0F;
    friend constexpr bool operator==(float_range const&, float_range const&) noexcept = default;
};

namespace detail {

/// A grid as the inner loops want it: steps = clamp(x * inverse_scale, low, high), rounded; code = steps + zero_point.
struct quantize_constants {
    float inverse_scale;
    float low;   ///< lo - zero_point
    float high;  ///< hi - zero_point
    std::int32_t zero_point;
};

/// factor is what x still has to be multiplied with.
[[nodiscard]] inline quantize_constants constants_of(code_grid g, float factor = 1.0F) noexcept {
    return {factor * (1.0F / g.scale), static_cast<float>(g.lo() - g.zero_point),
            static_cast<float>(g.hi() - g.zero_point), g.zero_point};
}

/// Nearest integer, ties to even, for |v| < 2^22: the addition pushes the fraction out of the mantissa.
[[nodiscard]] inline float round_half_even(float v) noexcept {
#ifdef __FAST_MATH__
    return std::rint(v) + 0.0F;
#else
    return (v + 12582912.0F) - 12582912.0F;
#endif
}

/// The comparisons send NaN to low.
[[nodiscard]] inline std::int32_t code_of(float x, quantize_constants c) noexcept {
    float u = x * c.inverse_scale;
    u = u > c.low ? u : c.low;
    u = u < c.high ? u : c.high;
    return static_cast<std::int32_t>(round_half_even(u)) + c.zero_point;
}

inline void quantize_scalar(float const* x, std::size_t n, quantize_constants c,
                            std::int8_t* codes) noexcept {
    for (std::size_t i = 0; i < n; ++i) codes[i] = static_cast<std::int8_t>(code_of(x[i], c));
}

inline void quantize_packed_scalar(float const* x, nibble_run run, quantize_constants c,
                                   std::uint8_t* packed) noexcept {
    if (run.order == nibble_order::half_split) {
        std::size_t const half = run.block / 2;
        for (std::size_t begin = 0; begin < run.n; begin += run.block)
            for (std::size_t j = 0; j < half; ++j)
                packed[begin / 2 + j] = two_nibbles(static_cast<unsigned>(code_of(x[begin + j], c)),
                                                    static_cast<unsigned>(code_of(x[begin + half + j], c)));
        return;
    }
    bool const high_first = run.order == nibble_order::interleaved_high_first;
    for (std::size_t i = 0; i < run.n; i += 2) {
        unsigned const first = static_cast<unsigned>(code_of(x[i], c));
        unsigned const second = i + 1 < run.n ? static_cast<unsigned>(code_of(x[i + 1], c)) : 0U;
        packed[i / 2] = high_first ? two_nibbles(second, first) : two_nibbles(first, second);
    }
}

/// NaN is passed over; zero is part of every range, so its sign does not depend on the order.
[[nodiscard]] inline float_range range_scalar(float const* x, std::size_t n) noexcept {
    float_range r;
    for (std::size_t i = 0; i < n; ++i) {
        r.min = x[i] < r.min ? x[i] : r.min;
        r.max = x[i] > r.max ? x[i] : r.max;
    }
    return r;
}

}  // namespace detail

/// Smallest grid that covers a range: the rule of commutant::min_max_grid.
///
/// Equation  symmetric   scale = max(min / lo, max / hi)
///           asymmetric  scale = (max - min) / (hi - lo), zero_point = lo - round(min / scale)
/// Note      a range of zeros gives scale 1; a scale below the smallest normal float becomes that number
[[nodiscard]] inline code_grid min_max_code_grid(float_range r, int num_bits, bool symmetric) noexcept {
    code_grid g{1.0F, 0, num_bits};
    double const min = r.min;
    double const max = r.max;
    if (min == max) return g;
    double scale = 0.0;
    if (symmetric) {
        double const below = min / g.lo();
        double const above = max / g.hi();
        scale = below > above ? below : above;
    } else {
        scale = (max - min) / static_cast<double>(g.hi() - g.lo());
    }
    double const smallest = std::numeric_limits<float>::min();
    g.scale = static_cast<float>(scale > smallest ? scale : smallest);
    if (!symmetric && g.scale <= std::numeric_limits<float>::max()) {
        double const steps = min / static_cast<double>(g.scale);
        constexpr double magic = 6755399441055744.0;  // 1.5 * 2^52
#ifdef __FAST_MATH__
        g.zero_point = g.lo() - static_cast<std::int32_t>(std::rint(steps));
        static_cast<void>(magic);
#else
        g.zero_point = g.lo() - static_cast<std::int32_t>((steps + magic) - magic);
#endif
    }
    return g;
}

}  // namespace commutant::kernels
