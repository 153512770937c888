// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <numbers>
#include <span>

#include <commutant/kernels/detail/softmax_bodies.hpp>
#include <commutant/kernels/detail/softmax_scale.hpp>

namespace commutant::kernels {

/// Softmax of scaled rows, in place.
///
/// Equation  y_i = e^(scale x_i - scale max x) / sum_j e^(scale x_j - scale max x)
/// Shape     x: [rows, cols], row-major; x.size() is a multiple of cols
/// Note      scale > 0. Terms below 2^-126 count as 0; NaN anywhere in a row, or +infinity, makes all of it NaN. The
///           same bits on every processor
inline void softmax_in_place(std::span<float> x, std::size_t cols, float scale = 1) noexcept {
    if (cols == 0) return;
    float const factor = scale * std::numbers::log2e_v<float>;
    for (std::size_t start = 0; start + cols <= x.size(); start += cols) {
        float* const row = x.data() + start;
        float const reciprocal =
            1 / detail::softmax_weights(row, cols, factor, static_cast<float const*>(nullptr),
                                        static_cast<float const*>(nullptr));
        detail::scale_row(static_cast<float const*>(row), cols, reciprocal, row);
    }
}

}  // namespace commutant::kernels
