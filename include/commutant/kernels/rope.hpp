// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include <commutant/core/pairing.hpp>
#include <commutant/kernels/detail/rope_rows.hpp>

namespace commutant::kernels {

/// Rotary position embedding of rows of heads, in place.
///
/// Equation  (y1, y2) = (x1 cos - x2 sin, x2 cos + x1 sin)   for pair (x1, x2)
/// Shape     x: [tokens, n * head_dim], row_size = n * head_dim; cosine, sine: [tokens, rotary_dim / 2], row m for
///           token m; features from rotary_dim on are left as they are
/// Note      the second product is rounded, the first is not: the same bits on every processor
inline void apply_rope(std::span<float> x, std::size_t row_size, std::size_t head_dim, std::size_t rotary_dim,
                       pairing p, std::span<float const> cosine, std::span<float const> sine) noexcept {
    constexpr dispatched<detail::rope_half_split_bodies> half_split{};
    constexpr dispatched<detail::rope_interleaved_bodies> interleaved{};
    std::size_t const n = rotary_dim / 2;
    if (row_size == 0 || head_dim == 0) return;
    for (std::size_t row = 0; (row + 1) * row_size <= x.size(); ++row)
        for (std::size_t h = 0; (h + 1) * head_dim <= row_size; ++h) {
            float* const head = x.data() + row * row_size + h * head_dim;
            float const* const c = cosine.data() + row * n;
            float const* const s = sine.data() + row * n;
            if (p == pairing::half_split)
                half_split(head, n, c, s);
            else
                interleaved(head, n, c, s);
        }
}

}  // namespace commutant::kernels
