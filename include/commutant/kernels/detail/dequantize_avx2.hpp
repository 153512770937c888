// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/detail/dequantize_scalar.hpp>
#include <commutant/kernels/isa.hpp>

#if defined(COMMUTANT_KERNELS_X86)

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace commutant::kernels::detail {

/// A group's grid in registers; what is subtracted from a nibble, after bit 3 of signed ones has been turned over.
struct ymm_group {
    __m256 scale;
    __m256i offset;
};

COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE ymm_group make_ymm_group(dequantize_job const& job,
                                                                std::size_t g) noexcept {
    std::int32_t const zero_point = job.zero_point == nullptr ? 0 : job.zero_point[g];
    return {_mm256_set1_ps(job.scale[g]), _mm256_set1_epi32(job.is_signed ? zero_point + 8 : zero_point)};
}

/// scale (q - zero_point) of 8 nibbles, one per 32 bits, whatever stands above them.
COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE __m256 ymm_dequantized(__m256i bits, ymm_group const& g,
                                                              __m256i turn) noexcept {
    __m256i const nibbles = _mm256_xor_si256(_mm256_and_si256(bits, _mm256_set1_epi32(15)), turn);
    return _mm256_mul_ps(g.scale, _mm256_cvtepi32_ps(_mm256_sub_epi32(nibbles, g.offset)));
}

COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE void ymm_put(__m256 v, float* out) noexcept {
    _mm256_storeu_ps(out, v);
}
COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE void ymm_put(__m256 v, std::uint16_t* out) noexcept {
    __m256i const bits = _mm256_castps_si256(v);
    __m256i const odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i const rounded =
        _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd), 16);
    __m256i const words = _mm256_permute4x64_epi64(_mm256_packus_epi32(rounded, rounded), 0xd8);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm256_castsi256_si128(words));
}

template <class Out>
COMMUTANT_TARGET_AVX2 inline void dequantize_pairs_avx2(dequantize_job const& job, Out* out) noexcept {
    __m256i const shift = job.run.order == nibble_order::interleaved
                              ? _mm256_set_epi32(28, 24, 20, 16, 12, 8, 4, 0)
                              : _mm256_set_epi32(24, 28, 16, 20, 8, 12, 0, 4);
    __m256i const turn = _mm256_set1_epi32(job.is_signed ? 8 : 0);
    std::size_t const n = job.run.n;
    for (std::size_t begin = 0, g = 0; begin < n; begin += job.group_size, ++g) {
        std::size_t const end = n - begin < job.group_size ? n : begin + job.group_size;
        ymm_group const group = make_ymm_group(job, g);
        std::size_t i = begin;
        for (; i + 8 <= end; i += 8) {
            int bits;
            std::memcpy(&bits, job.packed + i / 2, 4);
            ymm_put(ymm_dequantized(_mm256_srlv_epi32(_mm256_set1_epi32(bits), shift), group, turn), out + i);
        }
        if (i < end) dequantize_some(job, i, end, out);
    }
}

template <class Out>
COMMUTANT_TARGET_AVX2 inline void dequantize_halves_avx2(dequantize_job const& job, Out* out) noexcept {
    __m256i const turn = _mm256_set1_epi32(job.is_signed ? 8 : 0);
    std::size_t const half = job.run.block / 2;
    bool const whole_blocks = job.group_size >= job.run.n || job.group_size % job.run.block == 0;
    ymm_group low{_mm256_setzero_ps(), _mm256_setzero_si256()}, high = low;
    std::size_t next_group = 0, next_at = 0;
    for (std::size_t begin = 0; begin < job.run.n; begin += job.run.block) {
        if (whole_blocks && begin == next_at) {
            low = high = make_ymm_group(job, next_group++);
            next_at += job.group_size;
        }
        for (std::size_t j = 0; j < half; j += 8) {
            if (!whole_blocks) {
                low = make_ymm_group(job, (begin + j) / job.group_size);
                high = make_ymm_group(job, (begin + half + j) / job.group_size);
            }
            __m256i const bytes = _mm256_cvtepu8_epi32(
                _mm_loadl_epi64(reinterpret_cast<__m128i const*>(job.packed + begin / 2 + j)));
            ymm_put(ymm_dequantized(bytes, low, turn), out + begin + j);
            ymm_put(ymm_dequantized(_mm256_srli_epi32(bytes, 4), high, turn), out + begin + half + j);
        }
    }
}

template <class Out>
COMMUTANT_TARGET_AVX2 inline void dequantize_avx2(dequantize_job const& job, Out* out) noexcept {
    if (job.run.order == nibble_order::half_split) {
        if (job.run.block % 16 == 0 && (job.group_size >= job.run.n || job.group_size % 8 == 0))
            return dequantize_halves_avx2(job, out);
    } else if (job.group_size >= job.run.n || job.group_size % 2 == 0) {
        return dequantize_pairs_avx2(job, out);
    }
    dequantize_scalar(job, out);
}

}  // namespace commutant::kernels::detail

#endif
