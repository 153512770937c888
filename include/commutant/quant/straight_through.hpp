// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <span>

#include "commutant/quant/grid.hpp"
#include "commutant/quant/value_range.hpp"

namespace commutant {

/// Derivatives of a loss by the scale and the zero point of a grid.
struct grid_gradient {
    double scale = 0.0;
    double zero_point = 0.0;  ///< by the code; a symmetric grid has none to train and ignores it
};

namespace detail {

inline constexpr std::size_t straight_through_n_lanes = 32;  // on every machine, so that sums have one order

/// Up to n_lanes elements, each with a lane of its own in both sums.
///
/// dx is written last, from a buffer: a store that might change x, g or a sum would keep the loop scalar.
template <std::floating_point T>
inline void straight_through_lanes(const grid_constants<T>& c, const T* x, const T* g, T* dx, std::size_t n,
                                   T* scale_lanes, T* clipped_lanes) noexcept {
    T passed[straight_through_n_lanes];
    for (std::size_t k = 0; k < n; ++k) {
        const T u = x[k] / c.scale;
        // one step of margin on both sides, so that "rounds to a code" and "is clipped" can be told apart
        T near = u < c.low - T{1} ? c.low - T{1} : u;
        near = near > c.high + T{1} ? c.high + T{1} : near;
        const T rounded = round_half_even(near);
        const T inner = rounded - u;
        T slope = rounded < c.low ? c.low : inner;
        slope = rounded > c.high ? c.high : slope;
        T inside = rounded < c.low ? T{0} : g[k];
        inside = rounded > c.high ? T{0} : inside;
        T clipped = rounded < c.low ? g[k] : T{0};
        clipped = rounded > c.high ? g[k] : clipped;
        scale_lanes[k] += g[k] * slope;
        clipped_lanes[k] += clipped;
        passed[k] = inside;
    }
    for (std::size_t k = 0; k < n; ++k) dx[k] = passed[k];
}

}  // namespace detail

/// Straight-through gradients of fake quantisation: rounding counts as the identity.
///
/// Equation  u = x / scale, r = round(u) + zero_point.
///           lo <= r <= hi:  dx = g, scale += g (round(u) - u)
///           r < lo:         dx = 0, scale += g (lo - zero_point), zero_point += -g scale
///           r > hi:         dx = 0, scale += g (hi - zero_point), zero_point += -g scale
/// Shape     x, g, dx: [n]; g is the derivative by the fake-quantised values
/// Alias     dx may be g
/// Note      sums run over 32 lanes in a fixed order, in double from block to block. A pass-through grid
///           copies g to dx and has no gradient of its own
template <std::floating_point T>
inline grid_gradient fake_quantize_backward(std::span<const T> x, std::span<const T> g, std::span<T> dx,
                                            const grid& q) noexcept {
    const std::size_t n = x.size();
    if (q.is_float()) {
        for (std::size_t i = 0; i < n; ++i) dx[i] = g[i];
        return {};
    }
    constexpr std::size_t n_lanes = detail::straight_through_n_lanes;
    constexpr std::size_t block = 16 * n_lanes;  // at most 16 terms per lane are summed in T
    const detail::grid_constants<T> c(q);
    double scale_sum = 0.0;
    double clipped_sum = 0.0;
    for (std::size_t start = 0; start < n; start += block) {
        const std::size_t end = n - start < block ? n : start + block;
        T scale_lanes[n_lanes] = {};
        T clipped_lanes[n_lanes] = {};
        for (std::size_t i = start; i < end; i += n_lanes)
            if (end - i >= n_lanes)
                detail::straight_through_lanes(c, x.data() + i, g.data() + i, dx.data() + i, n_lanes,
                                               scale_lanes, clipped_lanes);
            else
                detail::straight_through_lanes(c, x.data() + i, g.data() + i, dx.data() + i, end - i,
                                               scale_lanes, clipped_lanes);
        for (std::size_t k = 0; k < n_lanes; ++k) {
            scale_sum += static_cast<double>(scale_lanes[k]);
            clipped_sum += static_cast<double>(clipped_lanes[k]);
        }
    }
    return {scale_sum, -static_cast<double>(q.scale) * clipped_sum};
}

/// The same with one grid per slice (fake_quantize_slices_in_place).
///
/// Shape     x, g, dx: [grids.size() * slice]; gradients: [grids.size()], overwritten
template <std::floating_point T>
inline void fake_quantize_slices_backward(std::span<const T> x, std::span<const T> g, std::span<T> dx,
                                          std::size_t slice, std::span<const grid> grids,
                                          std::span<grid_gradient> gradients) noexcept {
    for (std::size_t s = 0; s < grids.size(); ++s)
        gradients[s] = fake_quantize_backward(x.subspan(s * slice, slice), g.subspan(s * slice, slice),
                                              dx.subspan(s * slice, slice), grids[s]);
}

/// The same with dynamic grids (fake_quantize_per_token_in_place).
///
/// The grid counts as constant: how a token's two extreme values move it is left out.
///
/// Shape     x, g, dx: [n_tokens, cols], row-major
template <std::floating_point T>
inline void fake_quantize_per_token_backward(std::span<const T> x, std::span<const T> g, std::span<T> dx,
                                             std::size_t cols, int num_bits, bool symmetric) noexcept {
    if (cols == 0) return;
    for (std::size_t start = 0; start + cols <= x.size(); start += cols) {
        grid q;
        if (num_bits != 16) {
            const detail::raw_range<T> r = detail::raw_range_of(x.subspan(start, cols));
            q = detail::min_max_grid_unchecked({static_cast<double>(r.min), static_cast<double>(r.max)},
                                               num_bits, symmetric);
        }
        fake_quantize_backward(x.subspan(start, cols), g.subspan(start, cols), dx.subspan(start, cols), q);
    }
}

}  // namespace commutant
