// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/detail/dequantize_avx512.hpp>

#if defined(COMMUTANT_KERNELS_X86)

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace commutant::kernels::detail {

/// 8 bytes to 16 floats: the 64 bits in every lane, each lane's two nibbles moved to the low ends of its halves, and a lookup.
template <bool HighFirst>
COMMUTANT_TARGET_AVX512_VBMI COMMUTANT_INLINE __m512 zmm_looked_up(std::uint8_t const* packed,
                                                                   __m512 table) noexcept {
    __m512i const starts =
        HighFirst ? _mm512_set_epi32(56, 60, 48, 52, 40, 44, 32, 36, 24, 28, 16, 20, 8, 12, 0, 4)
                  : _mm512_set_epi32(60, 56, 52, 48, 44, 40, 36, 32, 28, 24, 20, 16, 12, 8, 4, 0);
    __m512i const bits = _mm512_broadcastq_epi64(_mm_loadl_epi64(reinterpret_cast<__m128i const*>(packed)));
    return _mm512_permutexvar_ps(_mm512_multishift_epi64_epi8(starts, bits), table);
}

template <bool HighFirst>
COMMUTANT_TARGET_AVX512_VBMI inline void dequantize_pairs_avx512_vbmi(dequantize_job const& job,
                                                                      float* out) noexcept {
    std::size_t const n = job.run.n;
    for (std::size_t begin = 0, g = 0; begin < n; begin += job.group_size, ++g) {
        std::size_t const end = n - begin < job.group_size ? n : begin + job.group_size;
        __m512 const table = _mm512_castsi512_ps(zmm_table<float>(job, g));
        std::size_t i = begin;
        for (; i + 32 <= end; i += 32) {
            __m512 const first = zmm_looked_up<HighFirst>(job.packed + i / 2, table);
            __m512 const second = zmm_looked_up<HighFirst>(job.packed + i / 2 + 8, table);
            _mm512_storeu_ps(out + i, first);
            _mm512_storeu_ps(out + i + 16, second);
        }
        for (; i + 16 <= end; i += 16)
            _mm512_storeu_ps(out + i, zmm_looked_up<HighFirst>(job.packed + i / 2, table));
        if (i < end) dequantize_some(job, i, end, out);
    }
}

/// Neighbours to float have a shorter way; everything else is as without these instructions.
template <class Out>
COMMUTANT_TARGET_AVX512_VBMI inline void dequantize_avx512_vbmi(dequantize_job const& job,
                                                                Out* out) noexcept {
    if constexpr (std::is_same_v<Out, float>) {
        bool const groups_are_even = job.group_size >= job.run.n || job.group_size % 2 == 0;
        if (groups_are_even && job.run.order == nibble_order::interleaved)
            return dequantize_pairs_avx512_vbmi<false>(job, out);
        if (groups_are_even && job.run.order == nibble_order::interleaved_high_first)
            return dequantize_pairs_avx512_vbmi<true>(job, out);
    }
    dequantize_avx512(job, out);
}

}  // namespace commutant::kernels::detail

#endif
