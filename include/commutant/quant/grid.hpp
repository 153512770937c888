// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace commutant {

/// Uniform grid of representable values: x ~ scale * (q - zero_point).
///
/// Equation  q = clamp(round(x / scale) + zero_point, lo, hi), round half to even
/// Units     scale in units of x; zero_point and q are codes
///
/// Codes are two's complement at every width, for weights and activations alike: lo = -2^(num_bits - 1),
/// hi = 2^(num_bits - 1) - 1, [-8, 7] at 4 bits. So an int8 holds any code, the range depends on the width
/// alone, and an unsigned layout is q - lo. A symmetric grid has zero_point 0; an asymmetric one has it in
/// [lo, hi]. Either way 0.0 lies on the grid exactly. num_bits is 2 .. 8, or 16 for floating-point
/// pass-through, where nothing else counts.
struct grid {
    float scale = 1.0F;  ///< positive, finite
    std::int32_t zero_point = 0;
    int num_bits = 16;
    bool symmetric = true;

    [[nodiscard]] constexpr bool is_float() const noexcept { return num_bits == 16; }
    [[nodiscard]] constexpr std::int32_t lo() const noexcept { return -(std::int32_t{1} << (num_bits - 1)); }
    [[nodiscard]] constexpr std::int32_t hi() const noexcept {
        return (std::int32_t{1} << (num_bits - 1)) - 1;
    }

    friend constexpr bool operator==(const grid&, const grid&) noexcept = default;
};

/// Whether a grid may have this width: 2 .. 8 bits, or 16 for floating point.
[[nodiscard]] constexpr bool is_supported_width(int num_bits) noexcept {
    return (num_bits >= 2 && num_bits <= 8) || num_bits == 16;
}

namespace detail {

inline void require_width(int num_bits, const char* where) {
    if (!is_supported_width(num_bits))
        throw std::invalid_argument(std::string(where) + ": num_bits is " + std::to_string(num_bits) +
                                    ", expected 2 to 8, or 16 for floating point");
}

/// Nearest integer, ties to even, +0 for zero; needs |v| < 2^22.
///
/// 1.5 * 2^(mantissa bits) pushes the fraction out of the mantissa, so the addition itself rounds, in the
/// default rounding mode; it needs no instruction beyond SSE2, vectorises and is constexpr. Options that
/// reassociate sums would cancel it, hence the second branch. NaN stays NaN.
template <std::floating_point T> [[nodiscard]] constexpr T round_half_even(T v) noexcept {
#ifdef __FAST_MATH__
    if (!std::is_constant_evaluated()) return std::rint(v) + T{0};
#endif
    constexpr T magic = static_cast<T>(std::uint64_t{3} << (std::numeric_limits<T>::digits - 2));
    return (v + magic) - magic;
}

/// A grid as the inner loops want it. Clamping comes before rounding, which gives the same code because the
/// bounds are integers, and keeps every value small enough for round_half_even.
template <std::floating_point T> struct grid_constants {
    T scale;
    T low;   ///< lo - zero_point
    T high;  ///< hi - zero_point

    constexpr explicit grid_constants(const grid& g) noexcept
        : scale(static_cast<T>(g.scale)),
          low(static_cast<T>(g.lo() - g.zero_point)),
          high(static_cast<T>(g.hi() - g.zero_point)) {}

    /// q - zero_point; NaN stays NaN.
    [[nodiscard]] constexpr T steps(T x) const noexcept {
        T u = x / scale;
        u = u < low ? low : u;
        u = u > high ? high : u;
        return round_half_even(u);
    }
};

}  // namespace detail

/// Refuses a grid that the kernels, which check nothing, could not use.
///
/// Errors    std::invalid_argument if the width is not supported, the scale is not a positive normal number,
///           the zero point leaves [lo, hi], or a symmetric grid has one
inline void validate(const grid& g) {
    detail::require_width(g.num_bits, "grid");
    if (g.is_float()) return;
    if (!std::isnormal(g.scale) || g.scale < 0.0F)
        throw std::invalid_argument("grid: scale is " + std::to_string(g.scale) +
                                    ", expected a positive normal number");
    const std::int32_t lo = g.symmetric ? 0 : g.lo();
    const std::int32_t hi = g.symmetric ? 0 : g.hi();
    if (g.zero_point < lo || g.zero_point > hi)
        throw std::invalid_argument(
            "grid: zero_point is " + std::to_string(g.zero_point) + ", expected " +
            (g.symmetric ? "0 on a symmetric grid"
                         : "a code in [" + std::to_string(lo) + ", " + std::to_string(hi) + "]"));
}

/// Code of one value, clipped to the grid; infinities take the end codes, and NaN, which has none, takes lo.
///
/// Needs num_bits 2 .. 8 and a valid grid.
template <std::floating_point T> [[nodiscard]] constexpr std::int32_t quantize(T x, const grid& g) noexcept {
    const detail::grid_constants<T> c(g);
    const T steps = c.steps(x);
    return static_cast<std::int32_t>(steps >= c.low ? steps : c.low) + g.zero_point;
}

/// Value of one code: scale * (code - zero_point), rounded once to T.
template <std::floating_point T = float>
[[nodiscard]] constexpr T dequantize(std::int32_t code, const grid& g) noexcept {
    return static_cast<T>(g.scale) * static_cast<T>(code - g.zero_point);
}

/// Nearest value on the grid: dequantize(quantize(x)) bit for bit; NaN stays NaN and -0 becomes +0.
///
/// A pass-through grid returns x itself.
template <std::floating_point T> [[nodiscard]] constexpr T fake_quantize(T x, const grid& g) noexcept {
    if (g.is_float()) return x;
    const detail::grid_constants<T> c(g);
    return c.scale * c.steps(x);
}

}  // namespace commutant
