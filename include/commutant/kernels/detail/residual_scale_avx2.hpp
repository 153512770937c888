// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/detail/quantize_avx2.hpp>
#include <commutant/kernels/detail/residual_scale_scalar.hpp>
#include <commutant/kernels/isa.hpp>

#if defined(COMMUTANT_KERNELS_X86)

#include <cmath>
#include <cstddef>

namespace commutant::kernels::detail {

/// x <- x + branch, and the sum of the squares, in the scalar body's 64 partial sums.
template <bool Branch>
COMMUTANT_TARGET_AVX2 inline float add_and_square_avx2(float* x, float const* branch,
                                                       std::size_t n) noexcept {
    __m256 sums[8];
    for (int k = 0; k < 8; ++k) sums[k] = _mm256_setzero_ps();
    std::size_t i = 0;
    for (; i + 64 <= n; i += 64) {
#pragma GCC unroll 8
        for (std::size_t k = 0; k < 8; ++k) {
            __m256 z = _mm256_loadu_ps(x + i + 8 * k);
            if constexpr (Branch) {
                z = _mm256_add_ps(z, _mm256_loadu_ps(branch + i + 8 * k));
                _mm256_storeu_ps(x + i + 8 * k, z);
            }
            sums[k] = _mm256_fmadd_ps(z, z, sums[k]);
        }
    }
    alignas(32) float partial[n_square_sums];
    for (std::size_t k = 0; k < 8; ++k) _mm256_store_ps(partial + 8 * k, sums[k]);
    for (std::size_t k = 0; i < n; ++i, ++k) {
        if constexpr (Branch) x[i] += branch[i];
        partial[k] = std::fma(x[i], x[i], partial[k]);
    }
    return folded(partial);
}

/// y <- x inverse gain, and its range.
template <bool Gain, bool Range>
COMMUTANT_TARGET_AVX2 inline float_range normalise_avx2(float const* x, float inverse, float const* gain,
                                                        float* y, std::size_t n) noexcept {
    __m256 const factor = _mm256_set1_ps(inverse);
    __m256 low = _mm256_setzero_ps(), high = _mm256_setzero_ps();
    std::size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 v = _mm256_mul_ps(_mm256_loadu_ps(x + i), factor);
        if constexpr (Gain) v = _mm256_mul_ps(v, _mm256_loadu_ps(gain + i));
        _mm256_storeu_ps(y + i, v);
        if constexpr (Range) {
            low = _mm256_min_ps(v, low);
            high = _mm256_max_ps(v, high);
        }
    }
    std::size_t const rest = i;
    for (; i < n; ++i) {
        y[i] = x[i] * inverse;
        if constexpr (Gain) y[i] *= gain[i];
    }
    if constexpr (!Range) return {};
    return joined(ymm_range(low, high), range_scalar(y + rest, n - rest));
}

COMMUTANT_TARGET_AVX2 inline void residual_scale_avx2(residual_job const& job) noexcept {
    for (std::size_t r = 0; r < job.n_rows; ++r) {
        float* const x = job.x + r * job.n;
        float const square_sum = job.branch == nullptr
                                     ? add_and_square_avx2<false>(x, nullptr, job.n)
                                     : add_and_square_avx2<true>(x, job.branch + r * job.n, job.n);
        float const inverse = row_inverse_rms(job, r, square_sum);
        float* const y = job.s != nullptr ? x : job.normalised + r * job.normalised_stride;
        float_range range;
        if (job.gain == nullptr)
            range = job.sink.is_dynamic() ? normalise_avx2<false, true>(x, inverse, nullptr, y, job.n)
                                          : normalise_avx2<false, false>(x, inverse, nullptr, y, job.n);
        else
            range = job.sink.is_dynamic() ? normalise_avx2<true, true>(x, inverse, job.gain, y, job.n)
                                          : normalise_avx2<true, false>(x, inverse, job.gain, y, job.n);
        if (job.sink.is_active()) write_known_row_avx2(job.sink, r, y, job.n, 1.0F, range);
    }
}

}  // namespace commutant::kernels::detail

#endif
