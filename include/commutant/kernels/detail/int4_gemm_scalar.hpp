// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "commutant/kernels/detail/int4_gemm_job.hpp"

namespace commutant::kernels::detail {

/// Sum of activation * code over a group; exact, see int4_max_in_features.
[[nodiscard]] inline std::int32_t int4_dot(int4_gemm_job const& job, std::size_t m, std::size_t n,
                                           std::size_t group) noexcept {
    std::size_t const size = job.weights.group_size;
    std::int32_t sum = 0;
    for (std::size_t k = group * size; k < (group + 1) * size; ++k)
        sum += job.activation(m, k) * job.weights.code(n, k);
    return sum;
}

/// What is added to the scaled product: bias_scale * bias + residual.
[[nodiscard]] inline float int4_gemm_addend(int4_gemm_job const& job, std::size_t m, std::size_t n) noexcept {
    float const r = job.residual == nullptr ? 0.0f : job.residual[m * job.residual_stride + n];
    return job.bias == nullptr ? r : std::fma(job.bias_scale(m), job.bias[n], r);
}

/// The reference: three loops, and the very float expressions, in the very order, of all other bodies.
inline void int4_gemm_scalar(int4_gemm_job const& job, int4_gemm_part const& part) noexcept {
    if (part.what == int4_gemm_part::stage::preparation) return;
    int4_weights_view const& w = job.weights;
    std::size_t const end = std::min(part.end_tile * int4_weights_view::tile_columns, w.out_features);
    for (std::size_t m = part.begin_row; m < part.end_row; ++m)
        for (std::size_t n = part.begin_tile * int4_weights_view::tile_columns; n < end; ++n) {
            float sum = 0.0f;
            float scale = job.scale(m);
            if (w.per_channel) {
                std::int32_t const column_sum = w.column_sums[2 * n] + 256 * w.column_sums[2 * n + 1];
                // The difference fits 32 bits, the product alone need not.
                sum = static_cast<float>(static_cast<std::int64_t>(int4_dot(job, m, n, 0)) -
                                         static_cast<std::int64_t>(job.zero_point(m)) * column_sum);
                scale = scale * w.scales[n];
            } else {
                for (std::size_t g = 0; g < w.n_groups(); ++g)
                    sum = std::fma(static_cast<float>(int4_dot(job, m, n, g)),
                                   w.scales[g * w.n_columns_padded() + n], sum);
                sum = std::fma(-static_cast<float>(job.zero_point(m)), w.scaled_column_sums[n], sum);
            }
            job.y[m * job.y_stride + n] = std::fma(sum, scale, int4_gemm_addend(job, m, n));
        }
}

}  // namespace commutant::kernels::detail
