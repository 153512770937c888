// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/detail/quantize_avx512.hpp>
#include <commutant/kernels/detail/residual_scale_scalar.hpp>
#include <commutant/kernels/isa.hpp>

#if defined(COMMUTANT_KERNELS_X86)

#include <cstddef>

namespace commutant::kernels::detail {

/// The 64 partial sums, folded as the scalar body folds them.
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE float folded_avx512(__m512 const* sums) noexcept {
    __m512 const s = _mm512_add_ps(_mm512_add_ps(sums[0], sums[2]), _mm512_add_ps(sums[1], sums[3]));
    __m256 const eight = _mm256_add_ps(_mm512_castps512_ps256(s), _mm512_extractf32x8_ps(s, 1));
    __m128 v = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    v = _mm_add_ps(v, _mm_movehl_ps(v, v));
    v = _mm_add_ss(v, _mm_movehdup_ps(v));
    return _mm_cvtss_f32(v);
}

/// x <- x + branch, and the sum of the squares.
template <bool Branch>
COMMUTANT_TARGET_AVX512BW inline float add_and_square_avx512(float* x, float const* branch,
                                                             std::size_t n) noexcept {
    __m512 sums[4];
    for (int k = 0; k < 4; ++k) sums[k] = _mm512_setzero_ps();
    std::size_t i = 0;
    for (; i + 64 <= n; i += 64) {
#pragma GCC unroll 4
        for (std::size_t k = 0; k < 4; ++k) {
            __m512 z = _mm512_loadu_ps(x + i + 16 * k);
            if constexpr (Branch) {
                z = _mm512_add_ps(z, _mm512_loadu_ps(branch + i + 16 * k));
                _mm512_storeu_ps(x + i + 16 * k, z);
            }
            sums[k] = _mm512_fmadd_ps(z, z, sums[k]);
        }
    }
    for (std::size_t k = 0; i < n; i += 16, ++k) {
        __mmask16 const some = static_cast<__mmask16>(first_lanes(n - i));
        __m512 z = _mm512_maskz_loadu_ps(some, x + i);
        if constexpr (Branch) {
            z = _mm512_add_ps(z, _mm512_maskz_loadu_ps(some, branch + i));
            _mm512_mask_storeu_ps(x + i, some, z);
        }
        sums[k] = _mm512_fmadd_ps(z, z, sums[k]);
    }
    return folded_avx512(sums);
}

/// y <- x inverse gain, and its range.
template <bool Gain, bool Range>
COMMUTANT_TARGET_AVX512BW inline float_range normalise_avx512(float const* x, float inverse,
                                                              float const* gain, float* y,
                                                              std::size_t n) noexcept {
    __m512 const factor = _mm512_set1_ps(inverse);
    __m512 low = _mm512_setzero_ps(), high = _mm512_setzero_ps();
    std::size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m512 v = _mm512_mul_ps(_mm512_loadu_ps(x + i), factor);
        if constexpr (Gain) v = _mm512_mul_ps(v, _mm512_loadu_ps(gain + i));
        _mm512_storeu_ps(y + i, v);
        if constexpr (Range) {
            low = _mm512_min_ps(v, low);
            high = _mm512_max_ps(v, high);
        }
    }
    if (i < n) {
        __mmask16 const some = static_cast<__mmask16>(first_lanes(n - i));
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(some, x + i), factor);
        if constexpr (Gain) v = _mm512_mul_ps(v, _mm512_maskz_loadu_ps(some, gain + i));
        _mm512_mask_storeu_ps(y + i, some, v);
        if constexpr (Range) {
            low = _mm512_min_ps(v, low);
            high = _mm512_max_ps(v, high);
        }
    }
    if constexpr (!Range) return {};
    return {_mm512_reduce_min_ps(low), _mm512_reduce_max_ps(high)};
}

COMMUTANT_TARGET_AVX512BW inline void residual_scale_avx512(residual_job const& job) noexcept {
    for (std::size_t r = 0; r < job.n_rows; ++r) {
        float* const x = job.x + r * job.n;
        float const square_sum = job.branch == nullptr
                                     ? add_and_square_avx512<false>(x, nullptr, job.n)
                                     : add_and_square_avx512<true>(x, job.branch + r * job.n, job.n);
        float const inverse = row_inverse_rms(job, r, square_sum);
        float* const y = job.s != nullptr ? x : job.normalised + r * job.normalised_stride;
        float_range range;
        if (job.gain == nullptr)
            range = job.sink.is_dynamic() ? normalise_avx512<false, true>(x, inverse, nullptr, y, job.n)
                                          : normalise_avx512<false, false>(x, inverse, nullptr, y, job.n);
        else
            range = job.sink.is_dynamic() ? normalise_avx512<true, true>(x, inverse, job.gain, y, job.n)
                                          : normalise_avx512<true, false>(x, inverse, job.gain, y, job.n);
        if (job.sink.is_active()) write_known_row_avx512(job.sink, r, y, job.n, 1.0F, range);
    }
}

}  // namespace commutant::kernels::detail

#endif
