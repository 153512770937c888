// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/detail/swiglu_scalar.hpp>
#include <commutant/kernels/isa.hpp>

#if defined(COMMUTANT_KERNELS_X86)

#include <cstddef>

namespace commutant::kernels::detail {

/// gate / (1 + exp(-gate)) * up. min and max pass their second operand on if that is NaN.
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE __m512 zmm_swiglu(__m512 gate, __m512 up) noexcept {
    using c = exp_constants;
    __m512 x = _mm512_xor_ps(gate, _mm512_set1_ps(-0.0F));
    x = _mm512_max_ps(_mm512_set1_ps(c::smallest), _mm512_min_ps(_mm512_set1_ps(c::largest), x));
    __m512 const magic = _mm512_set1_ps(c::magic);
    __m512 const t = _mm512_fmadd_ps(x, _mm512_set1_ps(c::log2_e), magic);
    __m512 const n = _mm512_sub_ps(t, magic);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(c::ln2_high), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(c::ln2_low), r);
    __m512 p = _mm512_set1_ps(c::p[0]);
#pragma GCC unroll 5
    for (int i = 1; i < 6; ++i) p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(c::p[i]));
    __m512 const one = _mm512_set1_ps(1.0F);
    p = _mm512_add_ps(_mm512_fmadd_ps(p, _mm512_mul_ps(r, r), r), one);
    __m512i const power =
        _mm512_slli_epi32(_mm512_add_epi32(_mm512_castps_si512(t), _mm512_set1_epi32(127)), 23);
    __m512 const below = _mm512_fmadd_ps(p, _mm512_castsi512_ps(power), one);
    return _mm512_mul_ps(_mm512_div_ps(gate, below), up);
}

COMMUTANT_TARGET_AVX512BW inline void swiglu_avx512(float const* gate, float const* up, float* y,
                                                    std::size_t n) noexcept {
    std::size_t i = 0;
    for (; i + 16 <= n; i += 16)
        _mm512_storeu_ps(y + i, zmm_swiglu(_mm512_loadu_ps(gate + i), _mm512_loadu_ps(up + i)));
    if (i == n) return;
    __mmask16 const some = static_cast<__mmask16>((1U << (n - i)) - 1U);
    _mm512_mask_storeu_ps(
        y + i, some, zmm_swiglu(_mm512_maskz_loadu_ps(some, gate + i), _mm512_maskz_loadu_ps(some, up + i)));
}

}  // namespace commutant::kernels::detail

#endif
