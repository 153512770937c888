// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/detail/int4_pack_scalar.hpp>
#include <commutant/kernels/isa.hpp>

#if defined(COMMUTANT_KERNELS_X86)

#include <cstddef>
#include <cstdint>

namespace commutant::kernels::detail {

[[nodiscard]] constexpr std::uint64_t first_bytes(std::size_t n) noexcept {
    return n >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << n) - 1;
}

/// Pairs of bytes to one byte each, 64 of them.
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE __m512i zmm_pack_pairs(__m512i a, __m512i b,
                                                                  __m512i weights) noexcept {
    __m512i const nibble = _mm512_set1_epi8(15);
    __m512i const bytes = _mm512_packus_epi16(_mm512_maddubs_epi16(_mm512_and_si512(a, nibble), weights),
                                              _mm512_maddubs_epi16(_mm512_and_si512(b, nibble), weights));
    return _mm512_permutexvar_epi64(_mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0), bytes);
}

COMMUTANT_TARGET_AVX512BW inline void pack_pairs_avx512(std::uint8_t const* values, std::size_t n,
                                                        bool high_first, std::uint8_t* packed) noexcept {
    __m512i const weights = _mm512_set1_epi16(high_first ? 0x0110 : 0x1001);
    std::size_t i = 0;
    for (; i + 128 <= n; i += 128)
        _mm512_storeu_si512(packed + i / 2, zmm_pack_pairs(_mm512_loadu_si512(values + i),
                                                           _mm512_loadu_si512(values + i + 64), weights));
    if (i == n) return;
    std::size_t const left = n - i;
    __m512i const a = _mm512_maskz_loadu_epi8(first_bytes(left), values + i);
    __m512i const b =
        left > 64 ? _mm512_maskz_loadu_epi8(first_bytes(left - 64), values + i + 64) : _mm512_setzero_si512();
    _mm512_mask_storeu_epi8(packed + i / 2, first_bytes((left + 1) / 2), zmm_pack_pairs(a, b, weights));
}

/// The low halves of the blocks in two registers, and the high ones; Half is 16 or 32.
template <int Half>
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE __m512i zmm_low_halves(__m512i a, __m512i b) noexcept {
    return _mm512_shuffle_i64x2(a, b, Half == 16 ? 0x88 : 0x44);
}
template <int Half>
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE __m512i zmm_high_halves(__m512i a, __m512i b) noexcept {
    return _mm512_shuffle_i64x2(a, b, Half == 16 ? 0xdd : 0xee);
}

/// Low nibbles of one register, high ones from another.
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE __m512i zmm_join_nibbles(__m512i low, __m512i high) noexcept {
    return _mm512_ternarylogic_epi32(_mm512_set1_epi8(15), low, _mm512_slli_epi16(high, 4), 0xca);
}

template <int Half>
COMMUTANT_TARGET_AVX512BW inline std::size_t pack_short_halves_avx512(std::uint8_t const* values,
                                                                      std::size_t n,
                                                                      std::uint8_t* packed) noexcept {
    std::size_t i = 0;
    for (; i + 128 <= n; i += 128) {
        __m512i const a = _mm512_loadu_si512(values + i), b = _mm512_loadu_si512(values + i + 64);
        _mm512_storeu_si512(packed + i / 2,
                            zmm_join_nibbles(zmm_low_halves<Half>(a, b), zmm_high_halves<Half>(a, b)));
    }
    return i;
}

COMMUTANT_TARGET_AVX512BW inline void pack_int4_avx512(std::uint8_t const* values, nibble_run run,
                                                       std::uint8_t* packed) noexcept {
    if (run.order != nibble_order::half_split)
        return pack_pairs_avx512(values, run.n, run.order == nibble_order::interleaved_high_first, packed);
    std::size_t const half = run.block / 2;
    std::size_t done = 0;
    if (half == 16) {
        done = pack_short_halves_avx512<16>(values, run.n, packed);
    } else if (half == 32) {
        done = pack_short_halves_avx512<32>(values, run.n, packed);
    } else if (half % 64 == 0) {
        for (; done < run.n; done += run.block)
            for (std::size_t j = 0; j < half; j += 64)
                _mm512_storeu_si512(packed + done / 2 + j,
                                    zmm_join_nibbles(_mm512_loadu_si512(values + done + j),
                                                     _mm512_loadu_si512(values + done + half + j)));
    }
    pack_int4_scalar(values + done, nibble_run{run.n - done, run.order, run.block}, packed + done / 2);
}

/// Nibbles, one per byte, as values.
template <bool Signed>
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE __m512i zmm_values(__m512i nibbles) noexcept {
    if constexpr (!Signed) return nibbles;
    __m512i const table =
        _mm512_broadcast_i32x4(_mm_set_epi8(-1, -2, -3, -4, -5, -6, -7, -8, 7, 6, 5, 4, 3, 2, 1, 0));
    return _mm512_shuffle_epi8(table, nibbles);
}

/// 32 bytes to their 64 nibbles in order.
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE __m512i zmm_split_pairs(__m256i bytes, bool high_first) noexcept {
    __m512i const words = _mm512_cvtepu8_epi16(bytes);
    __m512i const other = high_first
                              ? _mm512_or_si512(_mm512_srli_epi16(words, 4), _mm512_slli_epi16(words, 8))
                              : _mm512_or_si512(words, _mm512_slli_epi16(words, 4));
    return _mm512_and_si512(other, _mm512_set1_epi8(15));
}

template <bool Signed, bool HighFirst>
COMMUTANT_TARGET_AVX512BW inline void unpack_pairs_avx512(std::uint8_t const* packed, std::size_t n,
                                                          std::uint8_t* values) noexcept {
    std::size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        __m256i const bytes = _mm256_loadu_si256(reinterpret_cast<__m256i const*>(packed + i / 2));
        _mm512_storeu_si512(values + i, zmm_values<Signed>(zmm_split_pairs(bytes, HighFirst)));
    }
    if (i == n) return;
    __m256i const bytes =
        _mm256_maskz_loadu_epi8(static_cast<__mmask32>(first_bytes((n - i + 1) / 2)), packed + i / 2);
    _mm512_mask_storeu_epi8(values + i, first_bytes(n - i),
                            zmm_values<Signed>(zmm_split_pairs(bytes, HighFirst)));
}

/// Lanes of 16 bytes: low nibbles where the mask is clear, high ones where it is set.
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE __m512i zmm_some_high(__m512i bytes, __mmask32 high) noexcept {
    return _mm512_and_si512(_mm512_mask_srli_epi16(bytes, high, bytes, 4), _mm512_set1_epi8(15));
}

template <bool Signed>
COMMUTANT_TARGET_AVX512BW inline void unpack_int4_avx512(std::uint8_t const* packed, nibble_run run,
                                                         std::uint8_t* values) noexcept {
    if (run.order == nibble_order::interleaved)
        return unpack_pairs_avx512<Signed, false>(packed, run.n, values);
    if (run.order == nibble_order::interleaved_high_first)
        return unpack_pairs_avx512<Signed, true>(packed, run.n, values);
    std::size_t const half = run.block / 2;
    std::size_t done = 0;
    if (half == 16 || half == 32) {
        for (; done + 128 <= run.n; done += 128) {
            __m512i const v = _mm512_loadu_si512(packed + done / 2);
            __m512i const a =
                half == 16 ? _mm512_shuffle_i64x2(v, v, 0x50) : _mm512_shuffle_i64x2(v, v, 0x44);
            __m512i const b =
                half == 16 ? _mm512_shuffle_i64x2(v, v, 0xfa) : _mm512_shuffle_i64x2(v, v, 0xee);
            __mmask32 const high = half == 16 ? 0xff00ff00U : 0xffff0000U;
            _mm512_storeu_si512(values + done, zmm_values<Signed>(zmm_some_high(a, high)));
            _mm512_storeu_si512(values + done + 64, zmm_values<Signed>(zmm_some_high(b, high)));
        }
    } else if (half % 64 == 0) {
        for (; done < run.n; done += run.block)
            for (std::size_t j = 0; j < half; j += 64) {
                __m512i const v = _mm512_loadu_si512(packed + done / 2 + j);
                _mm512_storeu_si512(values + done + j, zmm_values<Signed>(zmm_some_high(v, 0)));
                _mm512_storeu_si512(values + done + half + j,
                                    zmm_values<Signed>(zmm_some_high(v, 0xffffffffU)));
            }
    }
    unpack_int4_scalar<Signed>(packed + done / 2, nibble_run{run.n - done, run.order, run.block},
                               values + done);
}

}  // namespace commutant::kernels::detail

#endif
