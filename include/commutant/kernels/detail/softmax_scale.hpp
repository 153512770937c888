// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>

#include <commutant/kernels/isa.hpp>

namespace commutant::kernels::detail {

/// to = factor from, n numbers; to may be from.
using scale_function = void(float const* from, std::size_t n, float factor, float* to) noexcept;

inline void scale_scalar(float const* from, std::size_t n, float factor, float* to) noexcept {
    for (std::size_t i = 0; i < n; ++i) to[i] = from[i] * factor;
}

#if defined(COMMUTANT_KERNELS_X86)

COMMUTANT_TARGET_AVX512BW inline void scale_avx512(float const* from, std::size_t n, float factor,
                                                   float* to) noexcept {
    __m512 const f = _mm512_set1_ps(factor);
    std::size_t i = 0;
    for (; i + 16 <= n; i += 16) _mm512_storeu_ps(to + i, _mm512_mul_ps(_mm512_loadu_ps(from + i), f));
    auto const rest = static_cast<__mmask16>((1U << (n - i)) - 1);
    if (rest != 0)
        _mm512_mask_storeu_ps(to + i, rest, _mm512_mul_ps(_mm512_maskz_loadu_ps(rest, from + i), f));
}

COMMUTANT_TARGET_AVX2 inline void scale_avx2(float const* from, std::size_t n, float factor,
                                             float* to) noexcept {
    __m256 const f = _mm256_set1_ps(factor);
    std::size_t i = 0;
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(to + i, _mm256_mul_ps(_mm256_loadu_ps(from + i), f));
    scale_scalar(from + i, n - i, factor, to + i);
}

#elif defined(COMMUTANT_KERNELS_NEON)

inline void scale_neon(float const* from, std::size_t n, float factor, float* to) noexcept {
    std::size_t i = 0;
    for (; i + 4 <= n; i += 4) vst1q_f32(to + i, vmulq_n_f32(vld1q_f32(from + i), factor));
    scale_scalar(from + i, n - i, factor, to + i);
}

#endif

inline constexpr std::array scale_bodies {
#if defined(COMMUTANT_KERNELS_X86)
    body<scale_function>{isa::avx512bw, scale_avx512}, body<scale_function>{isa::avx2, scale_avx2},
#elif defined(COMMUTANT_KERNELS_NEON)
    body<scale_function>{isa::neon, scale_neon},
#endif
        body<scale_function> {
        isa::scalar, scale_scalar
    }
};

inline constexpr dispatched<scale_bodies> scale_row{};

}  // namespace commutant::kernels::detail
