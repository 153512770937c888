// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include <commutant/kernels/isa.hpp>

namespace commutant::kernels::detail {

/// From a value to what is stored: round(clamp(x / scale)) + bias, the codes of fake quantisation.
struct code_rule {
    float scale;
    float low;          ///< lo - zero_point
    float high;         ///< hi - zero_point
    std::int32_t bias;  ///< stored_bias + zero_point
};

using store_codes_function = void(float const* x, std::size_t n, code_rule const* rule,
                                  std::uint8_t* stored) noexcept;

/// Stored codes of n values. NaN takes the lowest.
inline void store_codes_scalar(float const* x, std::size_t n, code_rule const* rule,
                               std::uint8_t* stored) noexcept {
    constexpr float magic = 12582912.0F;  // 1.5 * 2^23: the addition rounds
    for (std::size_t i = 0; i < n; ++i) {
        float u = x[i] / rule->scale;
        u = u > rule->low ? u : rule->low;
        u = u < rule->high ? u : rule->high;
        auto const code = std::bit_cast<std::int32_t>(u + magic) - std::bit_cast<std::int32_t>(magic);
        stored[i] = static_cast<std::uint8_t>(code + rule->bias);
    }
}

#if defined(COMMUTANT_KERNELS_X86)

COMMUTANT_TARGET_AVX512BW inline void store_codes_avx512(float const* x, std::size_t n, code_rule const* rule,
                                                         std::uint8_t* stored) noexcept {
    __m512 const scale = _mm512_set1_ps(rule->scale), low = _mm512_set1_ps(rule->low);
    __m512 const high = _mm512_set1_ps(rule->high);
    __m512i const bias = _mm512_set1_epi32(rule->bias);
    for (std::size_t i = 0; i < n; i += 16) {
        auto const m = static_cast<__mmask16>(n - i >= 16 ? 0xFFFF : (1U << (n - i)) - 1);
        // the second operand comes out for NaN
        __m512 const u = _mm512_max_ps(_mm512_div_ps(_mm512_maskz_loadu_ps(m, x + i), scale), low);
        __m512i const code = _mm512_cvtps_epi32(_mm512_min_ps(u, high));
        _mm512_mask_cvtepi32_storeu_epi8(stored + i, m, _mm512_add_epi32(code, bias));
    }
}

COMMUTANT_TARGET_AVX2 inline void store_codes_avx2(float const* x, std::size_t n, code_rule const* rule,
                                                   std::uint8_t* stored) noexcept {
    __m256 const scale = _mm256_set1_ps(rule->scale), low = _mm256_set1_ps(rule->low);
    __m256 const high = _mm256_set1_ps(rule->high);
    __m256i const bias = _mm256_set1_epi32(rule->bias);
    std::size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 const u = _mm256_max_ps(_mm256_div_ps(_mm256_loadu_ps(x + i), scale), low);
        __m256i const code = _mm256_add_epi32(_mm256_cvtps_epi32(_mm256_min_ps(u, high)), bias);
        __m128i const words =
            _mm_packus_epi32(_mm256_castsi256_si128(code), _mm256_extracti128_si256(code, 1));
        _mm_storel_epi64(reinterpret_cast<__m128i*>(stored + i), _mm_packus_epi16(words, words));
    }
    store_codes_scalar(x + i, n - i, rule, stored + i);
}

#elif defined(COMMUTANT_KERNELS_NEON)

inline void store_codes_neon(float const* x, std::size_t n, code_rule const* rule,
                             std::uint8_t* stored) noexcept {
    float32x4_t const scale = vdupq_n_f32(rule->scale), low = vdupq_n_f32(rule->low),
                      high = vdupq_n_f32(rule->high);
    int32x4_t const bias = vdupq_n_s32(rule->bias);
    std::size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        int16x4_t code[2];
        for (std::size_t k = 0; k < 2; ++k) {
            // of a number and NaN, the number
            float32x4_t const u = vmaxnmq_f32(vdivq_f32(vld1q_f32(x + i + 4 * k), scale), low);
            code[k] = vmovn_s32(vaddq_s32(vcvtnq_s32_f32(vminq_f32(u, high)), bias));
        }
        vst1_u8(stored + i, vmovn_u16(vreinterpretq_u16_s16(vcombine_s16(code[0], code[1]))));
    }
    store_codes_scalar(x + i, n - i, rule, stored + i);
}

#endif

inline constexpr std::array store_codes_bodies {
#if defined(COMMUTANT_KERNELS_X86)
    body<store_codes_function>{isa::avx512bw, store_codes_avx512},
        body<store_codes_function>{isa::avx2, store_codes_avx2},
#elif defined(COMMUTANT_KERNELS_NEON)
    body<store_codes_function>{isa::neon, store_codes_neon},
#endif
        body<store_codes_function> {
        isa::scalar, store_codes_scalar
    }
};

}  // namespace commutant::kernels::detail
