// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <concepts>
#include <cstddef>
#include <span>

#include "commutant/quant/grid.hpp"

namespace commutant {

namespace detail {

template <int P, class T> [[nodiscard]] constexpr T integer_power(T v) noexcept {
    if constexpr (P == 1) {
        return v;
    } else if constexpr (P % 2 == 0) {
        return integer_power<P / 2>(v * v);
    } else {
        return v * integer_power<P - 1>(v);
    }
}

/// Sum of |x / scale - (q - zero_point)|^P: the error in steps, which no scale can push out of T's range.
template <int P, std::floating_point T>
[[nodiscard]] inline double lp_error_in_steps(std::span<const T> x, const grid& g) noexcept {
    constexpr std::size_t n_lanes = 32;          // on every machine, so that sums have one order
    constexpr std::size_t block = 32 * n_lanes;  // at most 32 terms per lane are summed in T
    const grid_constants<T> c(g);
    const std::size_t n = x.size();
    const auto power = [c](T value) noexcept {
        const T u = value / c.scale;
        T near = u < c.low ? c.low : u;
        near = near > c.high ? c.high : near;
        return integer_power<P>(std::abs(u - round_half_even(near)));
    };
    double sum = 0.0;
    for (std::size_t start = 0; start < n; start += block) {
        const std::size_t end = n - start < block ? n : start + block;
        T lanes[n_lanes] = {};
        std::size_t i = start;
        for (; i + n_lanes <= end; i += n_lanes) {
            const T* const data = x.data() + i;
            for (std::size_t k = 0; k < n_lanes; ++k) lanes[k] += power(data[k]);
        }
        for (std::size_t k = 0; i + k < end; ++k) lanes[k] += power(x[i + k]);
        for (const T lane : lanes) sum += static_cast<double>(lane);
    }
    return sum;
}

/// Dispatch on p outside the loops.
template <std::floating_point T>
[[nodiscard]] inline double lp_error_in_steps(std::span<const T> x, const grid& g, int p) noexcept {
    switch (p) {
        case 1:
            return lp_error_in_steps<1>(x, g);
        case 2:
            return lp_error_in_steps<2>(x, g);
        case 3:
            return lp_error_in_steps<3>(x, g);
        case 4:
            return lp_error_in_steps<4>(x, g);
        case 5:
            return lp_error_in_steps<5>(x, g);
        case 6:
            return lp_error_in_steps<6>(x, g);
        case 7:
            return lp_error_in_steps<7>(x, g);
        default:
            return lp_error_in_steps<8>(x, g);
    }
}

}  // namespace detail

/// Error of fake quantisation in the L_p norm, to the power p.
///
/// Equation  sum |x - fake_quantize(x, g)|^p
/// Shape     x: [n]
/// Note      needs p in 1 .. 8; sums run over 32 lanes in a fixed order, in double from block to block. Zero
///           for a pass-through grid
template <std::floating_point T>
[[nodiscard]] inline double lp_error(std::span<const T> x, const grid& g, int p) noexcept {
    if (g.is_float()) return 0.0;
    return detail::lp_error_in_steps(x, g, p) * std::pow(static_cast<double>(g.scale), p);
}

}  // namespace commutant
