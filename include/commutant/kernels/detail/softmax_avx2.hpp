// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/isa.hpp>

#if defined(COMMUTANT_KERNELS_X86)

#include <array>
#include <cstddef>
#include <cstdint>

#include <commutant/kernels/detail/softmax_exp2.hpp>

namespace commutant::kernels::detail {

/// softmax_scalar in 256-bit registers: two of them are the 16 parts of the sum.
struct softmax_avx2 {
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static __m256 exp2(__m256 y) noexcept {
        // NaN is not below anything, so it stays
        __m256 const counts = _mm256_cmp_ps(y, _mm256_set1_ps(exp2_lowest), _CMP_NLT_UQ);
        __m256 const magic = _mm256_set1_ps(exp2_magic);
        __m256 const shifted = _mm256_add_ps(y, magic);
        __m256 const r = _mm256_sub_ps(y, _mm256_sub_ps(shifted, magic));
        __m256 p =
            _mm256_fmadd_ps(r, _mm256_set1_ps(exp2_coefficients[5]), _mm256_set1_ps(exp2_coefficients[4]));
        p = _mm256_fmadd_ps(r, p, _mm256_set1_ps(exp2_coefficients[3]));
        p = _mm256_fmadd_ps(r, p, _mm256_set1_ps(exp2_coefficients[2]));
        p = _mm256_fmadd_ps(r, p, _mm256_set1_ps(exp2_coefficients[1]));
        p = _mm256_fmadd_ps(r, p, _mm256_set1_ps(exp2_coefficients[0]));
        p = _mm256_fmadd_ps(r, p, _mm256_set1_ps(1));
        __m256i const w =
            _mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_castps_si256(shifted), 23));
        return _mm256_and_ps(_mm256_castsi256_ps(w), counts);
    }

    /// The first n of eight lanes.
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static __m256i mask(std::size_t n) noexcept {
        return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n < 8 ? n : 8)),
                                  _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    }

    COMMUTANT_TARGET_AVX2 static void scale(float* row, std::size_t n, float const* scales) noexcept {
        for (std::size_t i = 0; i < n; i += 8) {
            __m256i const m = mask(n - i);
            _mm256_maskstore_ps(
                row + i, m, _mm256_mul_ps(_mm256_maskload_ps(row + i, m), _mm256_maskload_ps(scales + i, m)));
        }
    }

    COMMUTANT_TARGET_AVX2 static float weights(float* row, std::size_t n, float factor, float const* scales,
                                               float const* multipliers) noexcept {
        if (n == 0) return 0;
        float const first = row[0] * (scales == nullptr ? 1.0F : scales[0]);
        __m256 max[2] = {_mm256_set1_ps(first), _mm256_set1_ps(first)};
        if (scales != nullptr) scale(row, n, scales);
        std::size_t i = 0;
        for (; i + 16 <= n; i += 16) {
            max[0] = _mm256_max_ps(_mm256_loadu_ps(row + i), max[0]);
            max[1] = _mm256_max_ps(_mm256_loadu_ps(row + i + 8), max[1]);
        }
        for (; i < n; i += 8) {
            __m256i const m = mask(n - i);
            __m256 const x = _mm256_maskload_ps(row + i, m);
            max[0] = _mm256_max_ps(_mm256_blendv_ps(max[0], x, _mm256_castsi256_ps(m)), max[0]);
        }
        alignas(32) std::array<float, 8> lanes;
        _mm256_store_ps(lanes.data(), _mm256_max_ps(max[0], max[1]));
        float largest = lanes[0];
        for (float const v : lanes) largest = v > largest ? v : largest;
        __m256 const f = _mm256_set1_ps(factor), shift = _mm256_set1_ps(-(largest * factor));
        __m256 sum[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
        i = 0;
        for (; i + 16 <= n; i += 16)
#pragma GCC unroll 2
            for (std::size_t k = 0; k < 2; ++k) {
                float* const at = row + i + 8 * k;
                __m256 w = exp2(_mm256_fmadd_ps(_mm256_loadu_ps(at), f, shift));
                sum[k] = _mm256_add_ps(sum[k], w);
                if (multipliers != nullptr) w = _mm256_mul_ps(w, _mm256_loadu_ps(multipliers + i + 8 * k));
                _mm256_storeu_ps(at, w);
            }
        for (std::size_t k = 0; i < n; i += 8, ++k) {
            __m256i const m = mask(n - i);
            __m256 w = exp2(_mm256_fmadd_ps(_mm256_maskload_ps(row + i, m), f, shift));
            sum[k] = _mm256_add_ps(sum[k], _mm256_and_ps(w, _mm256_castsi256_ps(m)));
            if (multipliers != nullptr) w = _mm256_mul_ps(w, _mm256_maskload_ps(multipliers + i, m));
            _mm256_maskstore_ps(row + i, m, w);
        }
        __m256 const eight = _mm256_add_ps(sum[0], sum[1]);
        __m128 const four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
        __m128 const two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
    }
};

}  // namespace commutant::kernels::detail

#endif
