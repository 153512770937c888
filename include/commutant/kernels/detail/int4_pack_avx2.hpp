// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/detail/int4_pack_scalar.hpp>
#include <commutant/kernels/isa.hpp>

#if defined(COMMUTANT_KERNELS_X86)

#include <cstddef>
#include <cstdint>

namespace commutant::kernels::detail {

COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE __m256i ymm_load_bytes(std::uint8_t const* p) noexcept {
    return _mm256_loadu_si256(reinterpret_cast<__m256i const*>(p));
}
COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE void ymm_store_bytes(std::uint8_t* p, __m256i v) noexcept {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v);
}

/// Low nibbles of one register, high ones from another.
COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE __m256i ymm_join_nibbles(__m256i low, __m256i high) noexcept {
    __m256i const nibble = _mm256_set1_epi8(15);
    return _mm256_or_si256(_mm256_and_si256(low, nibble),
                           _mm256_andnot_si256(nibble, _mm256_slli_epi16(high, 4)));
}

COMMUTANT_TARGET_AVX2 inline void pack_int4_avx2(std::uint8_t const* values, nibble_run run,
                                                 std::uint8_t* packed) noexcept {
    std::size_t done = 0;
    if (run.order != nibble_order::half_split) {
        bool const high_first = run.order == nibble_order::interleaved_high_first;
        __m256i const nibble = _mm256_set1_epi8(15);
        __m256i const weights = _mm256_set1_epi16(high_first ? 0x0110 : 0x1001);
        for (; done + 64 <= run.n; done += 64) {
            __m256i const a = _mm256_and_si256(ymm_load_bytes(values + done), nibble);
            __m256i const b = _mm256_and_si256(ymm_load_bytes(values + done + 32), nibble);
            __m256i const bytes =
                _mm256_packus_epi16(_mm256_maddubs_epi16(a, weights), _mm256_maddubs_epi16(b, weights));
            ymm_store_bytes(packed + done / 2, _mm256_permute4x64_epi64(bytes, 0xd8));
        }
        return pack_pairs(values + done, run.n - done, high_first, packed + done / 2);
    }
    std::size_t const half = run.block / 2;
    if (half == 16) {
        for (; done + 64 <= run.n; done += 64) {
            __m256i const a = ymm_load_bytes(values + done), b = ymm_load_bytes(values + done + 32);
            ymm_store_bytes(packed + done / 2, ymm_join_nibbles(_mm256_permute2x128_si256(a, b, 0x20),
                                                                _mm256_permute2x128_si256(a, b, 0x31)));
        }
    } else if (half % 32 == 0) {
        for (; done < run.n; done += run.block)
            for (std::size_t j = 0; j < half; j += 32)
                ymm_store_bytes(packed + done / 2 + j,
                                ymm_join_nibbles(ymm_load_bytes(values + done + j),
                                                 ymm_load_bytes(values + done + half + j)));
    }
    pack_int4_scalar(values + done, nibble_run{run.n - done, run.order, run.block}, packed + done / 2);
}

/// Nibbles, one per byte, as values; what stands above a nibble is cleared first.
template <bool Signed> COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE __m256i ymm_values(__m256i bytes) noexcept {
    __m256i const nibbles = _mm256_and_si256(bytes, _mm256_set1_epi8(15));
    if constexpr (!Signed) return nibbles;
    __m256i const table =
        _mm256_broadcastsi128_si256(_mm_set_epi8(-1, -2, -3, -4, -5, -6, -7, -8, 7, 6, 5, 4, 3, 2, 1, 0));
    return _mm256_shuffle_epi8(table, nibbles);
}

template <bool Signed>
COMMUTANT_TARGET_AVX2 inline void unpack_int4_avx2(std::uint8_t const* packed, nibble_run run,
                                                   std::uint8_t* values) noexcept {
    std::size_t done = 0;
    if (run.order != nibble_order::half_split) {
        bool const high_first = run.order == nibble_order::interleaved_high_first;
        for (; done + 32 <= run.n; done += 32) {
            __m256i const words =
                _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<__m128i const*>(packed + done / 2)));
            __m256i const both =
                high_first ? _mm256_or_si256(_mm256_srli_epi16(words, 4), _mm256_slli_epi16(words, 8))
                           : _mm256_or_si256(words, _mm256_slli_epi16(words, 4));
            ymm_store_bytes(values + done, ymm_values<Signed>(both));
        }
    } else {
        std::size_t const half = run.block / 2;
        if (half == 16) {
            for (; done + 64 <= run.n; done += 64) {
                __m256i const v = ymm_load_bytes(packed + done / 2);
                __m256i const low = ymm_values<Signed>(v);
                __m256i const high = ymm_values<Signed>(_mm256_srli_epi16(v, 4));
                ymm_store_bytes(values + done, _mm256_permute2x128_si256(low, high, 0x20));
                ymm_store_bytes(values + done + 32, _mm256_permute2x128_si256(low, high, 0x31));
            }
        } else if (half % 32 == 0) {
            for (; done < run.n; done += run.block)
                for (std::size_t j = 0; j < half; j += 32) {
                    __m256i const v = ymm_load_bytes(packed + done / 2 + j);
                    ymm_store_bytes(values + done + j, ymm_values<Signed>(v));
                    ymm_store_bytes(values + done + half + j, ymm_values<Signed>(_mm256_srli_epi16(v, 4)));
                }
        }
    }
    unpack_int4_scalar<Signed>(packed + done / 2, nibble_run{run.n - done, run.order, run.block},
                               values + done);
}

}  // namespace commutant::kernels::detail

#endif
