// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/detail/swiglu_scalar.hpp>
#include <commutant/kernels/isa.hpp>

#if defined(COMMUTANT_KERNELS_X86)

#include <cstddef>

namespace commutant::kernels::detail {

/// gate / (1 + exp(-gate)) * up. min and max pass their second operand on if that is NaN.
COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE __m256 ymm_swiglu(__m256 gate, __m256 up) noexcept {
    using c = exp_constants;
    __m256 x = _mm256_xor_ps(gate, _mm256_set1_ps(-0.0F));
    x = _mm256_max_ps(_mm256_set1_ps(c::smallest), _mm256_min_ps(_mm256_set1_ps(c::largest), x));
    __m256 const magic = _mm256_set1_ps(c::magic);
    __m256 const t = _mm256_fmadd_ps(x, _mm256_set1_ps(c::log2_e), magic);
    __m256 const n = _mm256_sub_ps(t, magic);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(c::ln2_high), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(c::ln2_low), r);
    __m256 p = _mm256_set1_ps(c::p[0]);
#pragma GCC unroll 5
    for (int i = 1; i < 6; ++i) p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(c::p[i]));
    __m256 const one = _mm256_set1_ps(1.0F);
    p = _mm256_add_ps(_mm256_fmadd_ps(p, _mm256_mul_ps(r, r), r), one);
    __m256i const power =
        _mm256_slli_epi32(_mm256_add_epi32(_mm256_castps_si256(t), _mm256_set1_epi32(127)), 23);
    __m256 const below = _mm256_fmadd_ps(p, _mm256_castsi256_ps(power), one);
    return _mm256_mul_ps(_mm256_div_ps(gate, below), up);
}

COMMUTANT_TARGET_AVX2 inline void swiglu_avx2(float const* gate, float const* up, float* y,
                                              std::size_t n) noexcept {
    std::size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, ymm_swiglu(_mm256_loadu_ps(gate + i), _mm256_loadu_ps(up + i)));
    if (i == n) return;
    __m256i const some = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n - i)),
                                            _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0));
    _mm256_maskstore_ps(y + i, some,
                        ymm_swiglu(_mm256_maskload_ps(gate + i, some), _mm256_maskload_ps(up + i, some)));
}

}  // namespace commutant::kernels::detail

#endif
