// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/detail/dequantize_scalar.hpp>
#include <commutant/kernels/isa.hpp>

#if defined(COMMUTANT_KERNELS_X86)

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace commutant::kernels::detail {

/// The 16 values of a group, looked up by nibble; float: one per 32 bits, bfloat16: twice one per 16 bits.
template <class Out>
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE __m512i zmm_table(dequantize_job const& job,
                                                             std::size_t g) noexcept {
    __m512i const unsigned_codes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    __m512i const signed_codes = _mm512_set_epi32(-1, -2, -3, -4, -5, -6, -7, -8, 7, 6, 5, 4, 3, 2, 1, 0);
    __m512i const zero_point = _mm512_set1_epi32(job.zero_point == nullptr ? 0 : job.zero_point[g]);
    __m512i const codes = _mm512_sub_epi32(job.is_signed ? signed_codes : unsigned_codes, zero_point);
    __m512i const bits =
        _mm512_castps_si512(_mm512_mul_ps(_mm512_set1_ps(job.scale[g]), _mm512_cvtepi32_ps(codes)));
    if constexpr (std::is_same_v<Out, float>) {
        return bits;
    } else {
        __m512i const odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
        __m512i const rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
        __m256i const words = _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16));
        return _mm512_broadcast_i64x4(words);
    }
}

/// 8 bytes to 16 floats, or 16 bytes to 32 bfloat16: lookups read only the low bits of an index.
template <bool HighFirst>
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE void look_up_pairs(std::uint8_t const* packed, __m512i table,
                                                              float* out) noexcept {
    // A byte in each 64 bits, its second nibble moved to the upper half of them.
    __m512i const bytes = _mm512_cvtepu8_epi64(_mm_loadl_epi64(reinterpret_cast<__m128i const*>(packed)));
    __m512i const nibbles = HighFirst
                                ? _mm512_or_si512(_mm512_srli_epi64(bytes, 4), _mm512_slli_epi64(bytes, 32))
                                : _mm512_or_si512(bytes, _mm512_slli_epi64(bytes, 28));
    _mm512_storeu_ps(out, _mm512_permutexvar_ps(nibbles, _mm512_castsi512_ps(table)));
}
template <bool HighFirst>
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE void look_up_pairs(std::uint8_t const* packed, __m512i table,
                                                              std::uint16_t* out) noexcept {
    // Each 16 bits of the 128 four times over, then the nibble of each copy shifted down.
    __m512i const bits = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<__m128i const*>(packed)));
    __m512i const copies =
        _mm512_permutexvar_epi16(_mm512_set_epi16(7, 7, 7, 7, 6, 6, 6, 6, 5, 5, 5, 5, 4, 4, 4, 4, 3, 3, 3, 3,
                                                  2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0),
                                 bits);
    __m512i const shift =
        HighFirst ? _mm512_set1_epi64(0x0008000c00000004) : _mm512_set1_epi64(0x000c000800040000);
    _mm512_storeu_si512(out, _mm512_permutexvar_epi16(_mm512_srlv_epi16(copies, shift), table));
}

/// 16 bytes to the 16 values of their low nibbles, and those of their high ones.
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE void look_up_halves(std::uint8_t const* packed, __m512i low,
                                                               __m512i high, float* out,
                                                               std::size_t half) noexcept {
    __m512i const bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<__m128i const*>(packed)));
    _mm512_storeu_ps(out, _mm512_permutexvar_ps(bytes, _mm512_castsi512_ps(low)));
    _mm512_storeu_ps(out + half,
                     _mm512_permutexvar_ps(_mm512_srli_epi32(bytes, 4), _mm512_castsi512_ps(high)));
}
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE void look_up_halves(std::uint8_t const* packed, __m512i low,
                                                               __m512i high, std::uint16_t* out,
                                                               std::size_t half) noexcept {
    __m256i const bytes = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<__m128i const*>(packed)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out),
                        _mm256_permutexvar_epi16(bytes, _mm512_castsi512_si256(low)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + half),
                        _mm256_permutexvar_epi16(_mm256_srli_epi16(bytes, 4), _mm512_castsi512_si256(high)));
}

template <class Out, bool HighFirst>
COMMUTANT_TARGET_AVX512BW inline void dequantize_pairs_avx512(dequantize_job const& job, Out* out) noexcept {
    constexpr std::size_t lanes = 64 / sizeof(Out);
    std::size_t const n = job.run.n;
    for (std::size_t begin = 0, g = 0; begin < n; begin += job.group_size, ++g) {
        std::size_t const end = n - begin < job.group_size ? n : begin + job.group_size;
        __m512i const table = zmm_table<Out>(job, g);
        std::size_t i = begin;
        for (; i + lanes <= end; i += lanes) look_up_pairs<HighFirst>(job.packed + i / 2, table, out + i);
        if (i < end) dequantize_some(job, i, end, out);
    }
}

template <class Out>
COMMUTANT_TARGET_AVX512BW inline void dequantize_halves_avx512(dequantize_job const& job, Out* out) noexcept {
    std::size_t const half = job.run.block / 2;
    bool const whole_blocks = job.group_size >= job.run.n || job.group_size % job.run.block == 0;
    __m512i low = _mm512_setzero_si512(), high = low;
    std::size_t next_group = 0, next_at = 0;
    for (std::size_t begin = 0; begin < job.run.n; begin += job.run.block) {
        if (whole_blocks && begin == next_at) {
            low = high = zmm_table<Out>(job, next_group++);
            next_at += job.group_size;
        }
        for (std::size_t j = 0; j < half; j += 16) {
            if (!whole_blocks) {
                low = zmm_table<Out>(job, (begin + j) / job.group_size);
                high = zmm_table<Out>(job, (begin + half + j) / job.group_size);
            }
            look_up_halves(job.packed + begin / 2 + j, low, high, out + begin + j, half);
        }
    }
}

template <class Out>
COMMUTANT_TARGET_AVX512BW inline void dequantize_avx512(dequantize_job const& job, Out* out) noexcept {
    bool const groups_are_even = job.group_size >= job.run.n || job.group_size % 2 == 0;
    if (job.run.order == nibble_order::half_split) {
        if (job.run.block % 32 == 0 && (job.group_size >= job.run.n || job.group_size % 16 == 0))
            return dequantize_halves_avx512(job, out);
    } else if (groups_are_even) {
        if (job.run.order == nibble_order::interleaved) return dequantize_pairs_avx512<Out, false>(job, out);
        return dequantize_pairs_avx512<Out, true>(job, out);
    }
    dequantize_scalar(job, out);
}

}  // namespace commutant::kernels::detail

#endif
