// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "commutant/quant/grid.hpp"
#include "commutant/quant/value_range.hpp"

namespace commutant {

/// Every value replaced by the nearest value of one grid: static activations, or a weight with one scale.
///
/// Shape     x: [n]
/// Note      NaN stays NaN, infinities take the end values; a pass-through grid leaves x as it is
template <std::floating_point T> inline void fake_quantize_in_place(std::span<T> x, const grid& g) noexcept {
    if (g.is_float()) return;
    const detail::grid_constants<T> c(g);
    T* const data = x.data();
    const std::size_t n = x.size();
    for (std::size_t i = 0; i < n; ++i) data[i] = c.scale * c.steps(data[i]);
}

/// The same with one grid per slice: weights per channel or per group (slice_size of granularity.hpp).
///
/// Shape     x: [grids.size() * slice]
/// Note      elements beyond the last grid are left as they are
template <std::floating_point T>
inline void fake_quantize_slices_in_place(std::span<T> x, std::size_t slice,
                                          std::span<const grid> grids) noexcept {
    for (std::size_t s = 0; s < grids.size() && (s + 1) * slice <= x.size(); ++s)
        fake_quantize_in_place(x.subspan(s * slice, slice), grids[s]);
}

/// Dynamic grids: each row (token) gets the min-max grid of its own values.
///
/// Shape     x: [n_tokens, cols], row-major; x.size() is a multiple of cols
/// Note      a row with NaN or infinity in it, or beyond float32's range, has no grid and becomes NaN
///           throughout
template <std::floating_point T>
inline void fake_quantize_per_token_in_place(std::span<T> x, std::size_t cols, int num_bits,
                                             bool symmetric) noexcept {
    if (num_bits == 16 || cols == 0) return;
    for (std::size_t start = 0; start + cols <= x.size(); start += cols) {
        const std::span<T> row = x.subspan(start, cols);
        const detail::raw_range<T> r = detail::raw_range_of(std::span<const T>(row));
        const grid g = detail::min_max_grid_unchecked(
            {static_cast<double>(r.min), static_cast<double>(r.max)}, num_bits, symmetric);
        if (r.finite && g.scale <= std::numeric_limits<float>::max()) {
            fake_quantize_in_place(row, g);
        } else {
            for (T& v : row) v = std::numeric_limits<T>::quiet_NaN();
        }
    }
}

/// Codes of every value on one grid of 2 .. 8 bits; NaN takes lo.
///
/// Shape     x, codes: [n]
template <std::floating_point T>
inline void quantize(std::span<const T> x, const grid& g, std::span<std::int8_t> codes) noexcept {
    const detail::grid_constants<T> c(g);
    const std::int32_t zero_point = g.zero_point;
    const std::size_t n = x.size() < codes.size() ? x.size() : codes.size();
    const T* const in = x.data();
    std::int8_t* const out = codes.data();
    for (std::size_t i = 0; i < n; ++i) {
        T steps = c.steps(in[i]);
        steps = steps >= c.low ? steps : c.low;  // NaN
        out[i] = static_cast<std::int8_t>(static_cast<std::int32_t>(steps) + zero_point);
    }
}

/// Values of codes on one grid.
///
/// Shape     codes, x: [n]
template <std::floating_point T>
inline void dequantize(std::span<const std::int8_t> codes, const grid& g, std::span<T> x) noexcept {
    const T scale = static_cast<T>(g.scale);
    const std::int32_t zero_point = g.zero_point;
    const std::size_t n = x.size() < codes.size() ? x.size() : codes.size();
    for (std::size_t i = 0; i < n; ++i)
        x[i] = scale * static_cast<T>(static_cast<std::int32_t>(codes[i]) - zero_point);
}

}  // namespace commutant
