// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/isa.hpp>

#if defined(COMMUTANT_KERNELS_X86)

#include <cstddef>

#include <commutant/kernels/detail/softmax_exp2.hpp>

namespace commutant::kernels::detail {

/// softmax_scalar in 512-bit registers: a lane is one of the 16 parts of the sum.
struct softmax_avx512 {
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static __m512 exp2(__m512 y) noexcept {
        // NaN is not below anything, so it stays
        __mmask16 const counts = _mm512_cmp_ps_mask(y, _mm512_set1_ps(exp2_lowest), _CMP_NLT_UQ);
        __m512 const magic = _mm512_set1_ps(exp2_magic);
        __m512 const shifted = _mm512_add_ps(y, magic);
        __m512 const r = _mm512_sub_ps(y, _mm512_sub_ps(shifted, magic));
        __m512 p =
            _mm512_fmadd_ps(r, _mm512_set1_ps(exp2_coefficients[5]), _mm512_set1_ps(exp2_coefficients[4]));
        p = _mm512_fmadd_ps(r, p, _mm512_set1_ps(exp2_coefficients[3]));
        p = _mm512_fmadd_ps(r, p, _mm512_set1_ps(exp2_coefficients[2]));
        p = _mm512_fmadd_ps(r, p, _mm512_set1_ps(exp2_coefficients[1]));
        p = _mm512_fmadd_ps(r, p, _mm512_set1_ps(exp2_coefficients[0]));
        p = _mm512_fmadd_ps(r, p, _mm512_set1_ps(1));
        return _mm512_castsi512_ps(_mm512_maskz_add_epi32(
            counts, _mm512_castps_si512(p), _mm512_slli_epi32(_mm512_castps_si512(shifted), 23)));
    }

    COMMUTANT_TARGET_AVX512BW static void scale(float* row, std::size_t n, float const* scales) noexcept {
        for (std::size_t i = 0; i < n; i += 16) {
            __mmask16 const m = static_cast<__mmask16>(n - i >= 16 ? 0xFFFF : (1U << (n - i)) - 1);
            _mm512_mask_storeu_ps(
                row + i, m,
                _mm512_mul_ps(_mm512_maskz_loadu_ps(m, row + i), _mm512_maskz_loadu_ps(m, scales + i)));
        }
    }

    COMMUTANT_TARGET_AVX512BW static float weights(float* row, std::size_t n, float factor,
                                                   float const* scales, float const* multipliers) noexcept {
        if (n == 0) return 0;
        std::size_t const whole = n / 16 * 16;
        __mmask16 const rest = static_cast<__mmask16>((1U << n % 16) - 1);
        __m512 max[4];
        for (__m512& m : max) m = _mm512_set1_ps(row[0] * (scales == nullptr ? 1.0F : scales[0]));
        if (scales != nullptr) scale(row, n, scales);
        std::size_t i = 0;
        for (; i + 64 <= n; i += 64)
#pragma GCC unroll 4
            for (std::size_t k = 0; k < 4; ++k)
                max[k] = _mm512_max_ps(_mm512_loadu_ps(row + i + 16 * k), max[k]);
        for (; i < whole; i += 16) max[0] = _mm512_max_ps(_mm512_loadu_ps(row + i), max[0]);
        max[1] = _mm512_mask_max_ps(max[1], rest, _mm512_maskz_loadu_ps(rest, row + whole), max[1]);
        max[0] = _mm512_max_ps(_mm512_max_ps(max[0], max[1]), _mm512_max_ps(max[2], max[3]));
        __m512 const f = _mm512_set1_ps(factor);
        __m512 const shift = _mm512_set1_ps(-(_mm512_reduce_max_ps(max[0]) * factor));
        __m512 sum = _mm512_setzero_ps();
        for (i = 0; i < whole; i += 16) {
            __m512 w = exp2(_mm512_fmadd_ps(_mm512_loadu_ps(row + i), f, shift));
            sum = _mm512_add_ps(sum, w);
            if (multipliers != nullptr) w = _mm512_mul_ps(w, _mm512_loadu_ps(multipliers + i));
            _mm512_storeu_ps(row + i, w);
        }
        if (rest != 0) {
            __m512 w = exp2(_mm512_fmadd_ps(_mm512_maskz_loadu_ps(rest, row + i), f, shift));
            sum = _mm512_mask_add_ps(sum, rest, sum, w);
            if (multipliers != nullptr) w = _mm512_mul_ps(w, _mm512_maskz_loadu_ps(rest, multipliers + i));
            _mm512_mask_storeu_ps(row + i, rest, w);
        }
        __m256 const eight = _mm256_add_ps(_mm512_castps512_ps256(sum), _mm512_extractf32x8_ps(sum, 1));
        __m128 const four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
        __m128 const two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
    }
};

}  // namespace commutant::kernels::detail

#endif
