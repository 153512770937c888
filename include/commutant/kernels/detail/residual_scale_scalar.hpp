// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/detail/quantize_sink.hpp>

#include <cmath>
#include <cstddef>

namespace commutant::kernels {

/// Which eps the residual scaling adds after its first step.
enum class residual_eps : unsigned char {
    exact,  ///< eps S^2: equal to the plain residual
    plain   ///< eps: what other code does
};

namespace detail {

/// Rows to add, normalise and quantise.
struct residual_job {
    float* x;             ///< [n_rows, n], in place
    float const* branch;  ///< [n_rows, n] or null
    float* s;             ///< [n_rows] token scales, in place; null: the residual keeps its size
    float const* gain;    ///< [n] or null; only without s
    float*
        normalised;  ///< [n_rows, n] or null; only without s: where the normalised row goes before quantising
    std::size_t normalised_stride;  ///< 0 if it holds one row at a time
    std::size_t n_rows;
    std::size_t n;
    float eps;
    residual_eps rule;
    code_sink sink;
};

/// Partial sums of a sum of squares: element i goes to sum i % 64, each by a fused multiply-add.
inline constexpr std::size_t n_square_sums = 64;

/// Sums in a fixed order: halves on top of each other until one is left.
[[nodiscard]] inline float folded(float* sums) noexcept {
    for (std::size_t half = n_square_sums / 2; half != 0; half /= 2)
        for (std::size_t i = 0; i < half; ++i) sums[i] += sums[half + i];
    return sums[0];
}

/// What a row is multiplied with: 1 / sqrt(mean square + eps s^2), or + eps.
[[nodiscard]] inline float inverse_rms(float square_sum, std::size_t n, float eps, float s,
                                       residual_eps rule) noexcept {
    float const mean = square_sum / static_cast<float>(n);
    float const weight = rule == residual_eps::exact ? s * s : 1.0F;
    return 1.0F / std::sqrt(std::fma(weight, eps, mean));
}

/// The number that row r is multiplied with; the token scale takes it too.
[[nodiscard]] inline float row_inverse_rms(residual_job const& job, std::size_t r,
                                           float square_sum) noexcept {
    if (job.s == nullptr) return inverse_rms(square_sum, job.n, job.eps, 1.0F, residual_eps::plain);
    float const inverse = inverse_rms(square_sum, job.n, job.eps, job.s[r], job.rule);
    job.s[r] *= inverse;
    return inverse;
}

inline void residual_scale_scalar(residual_job const& job) noexcept {
    for (std::size_t r = 0; r < job.n_rows; ++r) {
        float* const x = job.x + r * job.n;
        float sums[n_square_sums] = {};
        for (std::size_t i = 0; i < job.n; ++i) {
            if (job.branch != nullptr) x[i] += job.branch[r * job.n + i];
            float& sum = sums[i % n_square_sums];
            sum = std::fma(x[i], x[i], sum);
        }
        float const inverse = row_inverse_rms(job, r, folded(sums));
        float* const y = job.s != nullptr ? x : job.normalised + r * job.normalised_stride;
        for (std::size_t i = 0; i < job.n; ++i) {
            y[i] = x[i] * inverse;
            if (job.gain != nullptr) y[i] *= job.gain[i];
        }
        if (job.sink.is_active()) write_row_scalar(job.sink, r, y, job.n, 1.0F);
    }
}

}  // namespace detail
}  // namespace commutant::kernels
