// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "commutant/quant/grid.hpp"

namespace commutant {

/// Smallest and largest of some values; without any, min > max.
struct value_range {
    double min = std::numeric_limits<double>::infinity();
    double max = -std::numeric_limits<double>::infinity();

    [[nodiscard]] constexpr bool is_empty() const noexcept { return !(min <= max); }

    /// Widened to hold the other range too.
    constexpr void include(const value_range& other) noexcept {
        if (other.min < min) min = other.min;
        if (other.max > max) max = other.max;
    }

    friend constexpr bool operator==(const value_range&, const value_range&) noexcept = default;
};

namespace detail {

/// Bits of a floating-point number as an integer of the same order; NaN lies beyond the infinity of its sign.
///
/// Integer minima and maxima vectorise without relaxed floating-point options, and their ends tell NaN and
/// infinity apart from numbers.
template <std::floating_point T>
using ordered_bits_t = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;

template <std::floating_point T> [[nodiscard]] constexpr ordered_bits_t<T> ordered_bits(T x) noexcept {
    using bits_t = ordered_bits_t<T>;
    const auto bits = std::bit_cast<bits_t>(x);
    return bits ^ ((bits >> std::numeric_limits<bits_t>::digits) & std::numeric_limits<bits_t>::max());
}

template <std::floating_point T>
[[nodiscard]] constexpr T from_ordered_bits(ordered_bits_t<T> bits) noexcept {
    using bits_t = ordered_bits_t<T>;
    return std::bit_cast<T>(
        bits ^ ((bits >> std::numeric_limits<bits_t>::digits) & std::numeric_limits<bits_t>::max()));
}

template <std::floating_point T> struct raw_range {
    T min;
    T max;
    bool finite;  ///< neither NaN nor infinity among the values
};

template <std::floating_point T>
[[nodiscard]] inline raw_range<T> raw_range_of(std::span<const T> x) noexcept {
    using bits_t = ordered_bits_t<T>;
    constexpr bits_t infinity = ordered_bits(std::numeric_limits<T>::infinity());
    constexpr bits_t minus_infinity = ordered_bits(-std::numeric_limits<T>::infinity());
    bits_t low = std::numeric_limits<bits_t>::max();
    bits_t high = std::numeric_limits<bits_t>::min();
    for (std::size_t i = 0; i < x.size(); ++i) {
        const bits_t b = ordered_bits(x[i]);
        low = b < low ? b : low;
        high = b > high ? b : high;
    }
    return {from_ordered_bits<T>(low), from_ordered_bits<T>(high), low > minus_infinity && high < infinity};
}

/// What a message says about a number that is not finite.
template <std::floating_point T> [[nodiscard]] inline const char* non_finite_name(T x) noexcept {
    return std::isnan(x) ? "nan" : x > T{0} ? "inf" : "-inf";
}

template <std::floating_point T>
[[nodiscard]] inline std::size_t first_non_finite(std::span<const T> x) noexcept {
    for (std::size_t i = 0; i < x.size(); ++i)
        if (!std::isfinite(x[i])) return i;
    return x.size();
}

}  // namespace detail

/// Range of the values of a slice; empty for an empty slice.
///
/// Shape     x: [n]
/// Errors    std::invalid_argument naming the first element that is NaN or infinite
template <std::floating_point T> [[nodiscard]] value_range range_of(std::span<const T> x) {
    if (x.empty()) return {};
    const detail::raw_range<T> r = detail::raw_range_of(x);
    if (!r.finite) {
        const std::size_t i = detail::first_non_finite(x);
        throw std::invalid_argument("range_of: element " + std::to_string(i) + " is " +
                                    detail::non_finite_name(x[i]) + ", expected finite values");
    }
    return {static_cast<double>(r.min), static_cast<double>(r.max)};
}

namespace detail {

/// Scales are normal numbers: no slow divisions, and none that a flush to zero would break.
inline constexpr double smallest_scale = std::numeric_limits<float>::min();

/// min_max_grid without the checks: for a finite range and a supported width below 16.
///
/// A range beyond float32 gives an infinite scale.
[[nodiscard]] inline grid min_max_grid_unchecked(value_range r, int num_bits, bool symmetric) noexcept {
    grid g{1.0F, 0, num_bits, symmetric};
    const double min = r.min < 0.0 ? r.min : 0.0;
    const double max = r.max > 0.0 ? r.max : 0.0;
    if (min == max) return g;  // all zero, or no values: any scale represents 0.0
    double scale = 0.0;
    if (symmetric) {
        const double below = min / g.lo();
        const double above = max / g.hi();
        scale = below > above ? below : above;
    } else {
        const double steps = g.hi() - g.lo();
        scale = (max - min) / steps;
    }
    g.scale = static_cast<float>(scale > smallest_scale ? scale : smallest_scale);
    // min / scale is in [lo - hi, 0] up to rounding, so the zero point is a code
    if (!symmetric && g.scale <= std::numeric_limits<float>::max())
        g.zero_point =
            g.lo() - static_cast<std::int32_t>(round_half_even(min / static_cast<double>(g.scale)));
    return g;
}

}  // namespace detail

/// Smallest grid that covers a range: every value in it is at most half a step from its image.
///
/// Equation  symmetric   scale = max(min / lo, max / hi)
///           asymmetric  scale = (max - min) / (hi - lo), zero_point = lo - round(min / scale), 0 forced into
///           range
///
/// Nothing is clipped by a symmetric grid; rounding the zero point of an asymmetric one may push an end half
/// a step outside. compressed-tensors writers use max|x| / 7.5 for symmetric 4 bits, which clips half a step
/// at +max|x|. A range of zeros, or an empty one, gives scale 1. A scale below the smallest normal float32
/// becomes that number.
///
/// Errors    std::invalid_argument if num_bits is not supported, an end is not finite, or the scale exceeds
///           float32
[[nodiscard]] inline grid min_max_grid(value_range r, int num_bits, bool symmetric) {
    detail::require_width(num_bits, "min_max_grid");
    if (num_bits == 16) return {};
    const bool finite = std::isfinite(r.min) && std::isfinite(r.max);
    if (std::isnan(r.min) || std::isnan(r.max) || (!finite && !r.is_empty()))
        throw std::invalid_argument("min_max_grid: the range is [" + std::to_string(r.min) + ", " +
                                    std::to_string(r.max) + "], expected finite ends");
    const grid g = detail::min_max_grid_unchecked(r, num_bits, symmetric);
    if (!std::isfinite(g.scale))
        throw std::invalid_argument("min_max_grid: the range is [" + std::to_string(r.min) + ", " +
                                    std::to_string(r.max) + "], expected a scale that float32 can hold");
    return g;
}

}  // namespace commutant
