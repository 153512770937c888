// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cmath>
#include <cstddef>

#include <commutant/kernels/isa.hpp>

namespace commutant::kernels::detail {

/// Turns the first 2 n features of one head: pairs (i, i + n), or (2i, 2i + 1).
using rope_function = void(float* head, std::size_t n, float const* cosine, float const* sine) noexcept;

/// (x1 cos - x2 sin, x2 cos + x1 sin), the second product rounded, the rest not.
inline void rotate_pair(float& x1, float& x2, float cosine, float sine) noexcept {
    float const y1 = std::fma(x1, cosine, -(x2 * sine));
    x2 = std::fma(x2, cosine, x1 * sine);
    x1 = y1;
}

inline void rope_half_split_scalar(float* head, std::size_t n, float const* cosine,
                                   float const* sine) noexcept {
    for (std::size_t i = 0; i < n; ++i) rotate_pair(head[i], head[i + n], cosine[i], sine[i]);
}
inline void rope_interleaved_scalar(float* head, std::size_t n, float const* cosine,
                                    float const* sine) noexcept {
    for (std::size_t i = 0; i < n; ++i) rotate_pair(head[2 * i], head[2 * i + 1], cosine[i], sine[i]);
}

#if defined(COMMUTANT_KERNELS_X86)

COMMUTANT_TARGET_AVX512BW inline void rope_half_split_avx512(float* head, std::size_t n, float const* cosine,
                                                             float const* sine) noexcept {
    for (std::size_t i = 0; i < n; i += 16) {
        auto const m = static_cast<__mmask16>(n - i >= 16 ? 0xFFFF : (1U << (n - i)) - 1);
        __m512 const c = _mm512_maskz_loadu_ps(m, cosine + i), s = _mm512_maskz_loadu_ps(m, sine + i);
        __m512 const x1 = _mm512_maskz_loadu_ps(m, head + i), x2 = _mm512_maskz_loadu_ps(m, head + n + i);
        _mm512_mask_storeu_ps(head + i, m, _mm512_fmsub_ps(x1, c, _mm512_mul_ps(x2, s)));
        _mm512_mask_storeu_ps(head + n + i, m, _mm512_fmadd_ps(x2, c, _mm512_mul_ps(x1, s)));
    }
}

COMMUTANT_TARGET_AVX512BW inline void rope_interleaved_avx512(float* head, std::size_t n, float const* cosine,
                                                              float const* sine) noexcept {
    __m512i const twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    for (std::size_t i = 0; i < n; i += 8) {
        auto const m = static_cast<__mmask16>(n - i >= 8 ? 0xFFFF : (1U << 2 * (n - i)) - 1);
        auto const half = static_cast<__mmask16>(n - i >= 8 ? 0xFF : (1U << (n - i)) - 1);
        __m512 const c = _mm512_permutexvar_ps(twice, _mm512_maskz_loadu_ps(half, cosine + i));
        __m512 const s = _mm512_permutexvar_ps(twice, _mm512_maskz_loadu_ps(half, sine + i));
        __m512 const x = _mm512_maskz_loadu_ps(m, head + 2 * i);
        constexpr int swapped = 0xB1;
        _mm512_mask_storeu_ps(head + 2 * i, m,
                              _mm512_fmaddsub_ps(x, c, _mm512_mul_ps(_mm512_permute_ps(x, swapped), s)));
    }
}

COMMUTANT_TARGET_AVX2 inline void rope_half_split_avx2(float* head, std::size_t n, float const* cosine,
                                                       float const* sine) noexcept {
    std::size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 const c = _mm256_loadu_ps(cosine + i), s = _mm256_loadu_ps(sine + i);
        __m256 const x1 = _mm256_loadu_ps(head + i), x2 = _mm256_loadu_ps(head + n + i);
        _mm256_storeu_ps(head + i, _mm256_fmsub_ps(x1, c, _mm256_mul_ps(x2, s)));
        _mm256_storeu_ps(head + n + i, _mm256_fmadd_ps(x2, c, _mm256_mul_ps(x1, s)));
    }
    for (; i < n; ++i) rotate_pair(head[i], head[i + n], cosine[i], sine[i]);
}

COMMUTANT_TARGET_AVX2 inline void rope_interleaved_avx2(float* head, std::size_t n, float const* cosine,
                                                        float const* sine) noexcept {
    __m256i const twice = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
    std::size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        __m256 const c = _mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(cosine + i)), twice);
        __m256 const s = _mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(sine + i)), twice);
        __m256 const x = _mm256_loadu_ps(head + 2 * i);
        constexpr int swapped = 0xB1;
        _mm256_storeu_ps(head + 2 * i,
                         _mm256_fmaddsub_ps(x, c, _mm256_mul_ps(_mm256_permute_ps(x, swapped), s)));
    }
    for (; i < n; ++i) rotate_pair(head[2 * i], head[2 * i + 1], cosine[i], sine[i]);
}

#elif defined(COMMUTANT_KERNELS_NEON)

inline void rope_half_split_neon(float* head, std::size_t n, float const* cosine,
                                 float const* sine) noexcept {
    std::size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        float32x4_t const c = vld1q_f32(cosine + i), s = vld1q_f32(sine + i);
        float32x4_t const x1 = vld1q_f32(head + i), x2 = vld1q_f32(head + n + i);
        vst1q_f32(head + i, vfmaq_f32(vnegq_f32(vmulq_f32(x2, s)), x1, c));
        vst1q_f32(head + n + i, vfmaq_f32(vmulq_f32(x1, s), x2, c));
    }
    for (; i < n; ++i) rotate_pair(head[i], head[i + n], cosine[i], sine[i]);
}

inline void rope_interleaved_neon(float* head, std::size_t n, float const* cosine,
                                  float const* sine) noexcept {
    std::size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        float32x4_t const c = vld1q_f32(cosine + i), s = vld1q_f32(sine + i);
        float32x4x2_t const x = vld2q_f32(head + 2 * i);
        float32x4x2_t y;
        y.val[0] = vfmaq_f32(vnegq_f32(vmulq_f32(x.val[1], s)), x.val[0], c);
        y.val[1] = vfmaq_f32(vmulq_f32(x.val[0], s), x.val[1], c);
        vst2q_f32(head + 2 * i, y);
    }
    for (; i < n; ++i) rotate_pair(head[2 * i], head[2 * i + 1], cosine[i], sine[i]);
}

#endif

inline constexpr std::array rope_half_split_bodies {
#if defined(COMMUTANT_KERNELS_X86)
    body<rope_function>{isa::avx512bw, rope_half_split_avx512},
        body<rope_function>{isa::avx2, rope_half_split_avx2},
#elif defined(COMMUTANT_KERNELS_NEON)
    body<rope_function>{isa::neon, rope_half_split_neon},
#endif
        body<rope_function> {
        isa::scalar, rope_half_split_scalar
    }
};

inline constexpr std::array rope_interleaved_bodies {
#if defined(COMMUTANT_KERNELS_X86)
    body<rope_function>{isa::avx512bw, rope_interleaved_avx512},
        body<rope_function>{isa::avx2, rope_interleaved_avx2},
#elif defined(COMMUTANT_KERNELS_NEON)
    body<rope_function>{isa::neon, rope_interleaved_neon},
#endif
        body<rope_function> {
        isa::scalar, rope_interleaved_scalar
    }
};

}  // namespace commutant::kernels::detail
