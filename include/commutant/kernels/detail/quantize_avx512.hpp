// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/detail/quantize_sink.hpp>
#include <commutant/kernels/isa.hpp>

#if defined(COMMUTANT_KERNELS_X86)

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace commutant::kernels::detail {

/// A grid in registers. Steps are bounded above as floats, so that their conversion to integers cannot overflow; below,
/// where NaN and overflow become the smallest integer, the saturating packs and one byte-wise maximum do it.
struct zmm_grid {
    __m512 inverse_scale, high;
    __m512i zero_point_words, lo_bytes;
};

COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE zmm_grid make_zmm_grid(quantize_constants c) noexcept {
    return {_mm512_set1_ps(c.inverse_scale), _mm512_set1_ps(c.high),
            _mm512_set1_epi16(static_cast<short>(c.zero_point)),
            _mm512_set1_epi8(static_cast<char>(static_cast<int>(c.low) + c.zero_point))};
}

/// Rounded steps of 16 values, at most high. min passes its second operand on if that is NaN.
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE __m512i zmm_steps(__m512 x, zmm_grid const& g) noexcept {
    return _mm512_cvtps_epi32(_mm512_min_ps(g.high, _mm512_mul_ps(x, g.inverse_scale)));
}

/// Codes of four times 16 values; in each quarter of the register four of the first, of the second, ...
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE __m512i zmm_codes(float const* a, float const* b, float const* c,
                                                             float const* d, zmm_grid const& g) noexcept {
    __m512i const ab = _mm512_packs_epi32(zmm_steps(_mm512_loadu_ps(a), g), zmm_steps(_mm512_loadu_ps(b), g));
    __m512i const cd = _mm512_packs_epi32(zmm_steps(_mm512_loadu_ps(c), g), zmm_steps(_mm512_loadu_ps(d), g));
    __m512i const codes = _mm512_packs_epi16(_mm512_adds_epi16(ab, g.zero_point_words),
                                             _mm512_adds_epi16(cd, g.zero_point_words));
    return _mm512_max_epi8(codes, g.lo_bytes);
}

/// Codes of n <= 16 values as 32-bit integers, zero behind them.
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE __m512i zmm_some_codes(float const* x, __mmask16 some,
                                                                  quantize_constants c) noexcept {
    __m512 u = _mm512_mul_ps(_mm512_maskz_loadu_ps(some, x), _mm512_set1_ps(c.inverse_scale));
    u = _mm512_min_ps(_mm512_max_ps(u, _mm512_set1_ps(c.low)), _mm512_set1_ps(c.high));
    return _mm512_maskz_add_epi32(some, _mm512_cvtps_epi32(u), _mm512_set1_epi32(c.zero_point));
}

[[nodiscard]] constexpr unsigned first_lanes(std::size_t n) noexcept {
    return n >= 16 ? 0xffffU : (1U << n) - 1U;
}

COMMUTANT_TARGET_AVX512BW inline void quantize_avx512(float const* x, std::size_t n, quantize_constants c,
                                                      std::int8_t* codes) noexcept {
    zmm_grid const g = make_zmm_grid(c);
    __m512i const order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
    std::size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        __m512i const q = zmm_codes(x + i, x + i + 16, x + i + 32, x + i + 48, g);
        _mm512_storeu_si512(codes + i, _mm512_permutexvar_epi32(order, q));
    }
    for (; i < n; i += 16) {
        __mmask16 const some = static_cast<__mmask16>(first_lanes(n - i));
        _mm512_mask_cvtepi32_storeu_epi8(codes + i, some, zmm_some_codes(x + i, some, c));
    }
}

/// 4-bit codes of a grid in registers: steps saturated to 8 bits, then moved and bounded as bytes, so that a float needs a
/// multiplication and a conversion, and nothing else of its own.
struct zmm_nibble_grid {
    __m512 inverse_scale;
    __m512i zero_point, lo, hi;
};

/// Whether steps may be saturated to [-128, 127] without changing a code: 127 + zero point must reach hi, -128 + zero point lo.
/// True for every 4-bit grid whose zero point is a code; others are not refused, and take the slower loop.
[[nodiscard]] constexpr bool is_nibble_grid(quantize_constants c) noexcept {
    int const lo = static_cast<int>(c.low) + c.zero_point, hi = static_cast<int>(c.high) + c.zero_point;
    return lo >= -8 && hi <= 7 && c.zero_point >= -64 && c.zero_point <= 64;
}

/// The grid of codes to which something is added, to the first of each pair and to the second.
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE zmm_nibble_grid make_zmm_nibble_grid(quantize_constants c,
                                                                                int first_offset,
                                                                                int second_offset) noexcept {
    int const lo = static_cast<int>(c.low) + c.zero_point, hi = static_cast<int>(c.high) + c.zero_point;
    auto const pair = [=](int code) {
        auto const first = static_cast<unsigned>(code + first_offset) & 255U;
        auto const second = static_cast<unsigned>(code + second_offset) & 255U;
        return static_cast<short>(second << 8 | first);
    };
    return {_mm512_set1_ps(c.inverse_scale), _mm512_set1_epi16(pair(c.zero_point)),
            _mm512_set1_epi16(pair(lo)), _mm512_set1_epi16(pair(hi))};
}

COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE __m512i zmm_rounded_product(float const* x, __m512 by) noexcept {
    return _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x), by));
}

/// Steps of four times 16 values as bytes, saturated, in the order of zmm_codes.
///
/// What is beyond 32 bits, and NaN, becomes the smallest number, as if it were far below the grid.
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE __m512i zmm_byte_steps(float const* a, float const* b,
                                                                  float const* c, float const* d,
                                                                  zmm_nibble_grid const& g) noexcept {
    __m512 const by = g.inverse_scale;
    __m512i const ab = _mm512_packs_epi32(zmm_rounded_product(a, by), zmm_rounded_product(b, by));
    __m512i const cd = _mm512_packs_epi32(zmm_rounded_product(c, by), zmm_rounded_product(d, by));
    return _mm512_packs_epi16(ab, cd);
}

/// Whether neither has the smallest number, which may stand for one above the grid.
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE bool are_sure(__m512i a, __m512i b) noexcept {
    return _mm512_cmpeq_epi8_mask(_mm512_min_epi8(a, b), _mm512_set1_epi8(-128)) == 0;
}

COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE __m512i zmm_nibbles(__m512i byte_steps,
                                                               zmm_nibble_grid const& g) noexcept {
    __m512i const codes = _mm512_adds_epi8(byte_steps, g.zero_point);
    return _mm512_min_epi8(_mm512_max_epi8(codes, g.lo), g.hi);
}

/// Eight times 16 bytes, of which a quarter holds two each, in order.
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE __m512i zmm_ordered_pairs(__m512i bytes) noexcept {
    return _mm512_permutexvar_epi16(
        _mm512_set_epi16(31, 23, 15, 7, 30, 22, 14, 6, 29, 21, 13, 5, 28, 20, 12, 4, 27, 19, 11, 3, 26, 18,
                         10, 2, 25, 17, 9, 1, 24, 16, 8, 0),
        bytes);
}

/// Neighbours in one byte, 128 values on any grid.
///
/// Kept out of the loop that calls it for what is rare, so that its constants do not take that loop's registers.
[[gnu::noinline]] COMMUTANT_TARGET_AVX512BW inline void quantize_128_pairs(float const* x, bool high_first,
                                                                           quantize_constants c,
                                                                           std::uint8_t* packed) noexcept {
    zmm_grid const g = make_zmm_grid(c);
    __m512i const nibble = _mm512_set1_epi8(15);
    __m512i const weights = _mm512_set1_epi16(high_first ? 0x0110 : 0x1001);
    float const* const y = x + 64;
    __m512i const a = _mm512_and_si512(zmm_codes(x, x + 16, x + 32, x + 48, g), nibble);
    __m512i const b = _mm512_and_si512(zmm_codes(y, y + 16, y + 32, y + 48, g), nibble);
    _mm512_storeu_si512(packed, zmm_ordered_pairs(_mm512_packus_epi16(_mm512_maddubs_epi16(a, weights),
                                                                      _mm512_maddubs_epi16(b, weights))));
}

/// Neighbours in one byte: 128 values, or 16 and fewer at the end.
COMMUTANT_TARGET_AVX512BW inline void quantize_pairs_avx512(float const* x, std::size_t n, bool high_first,
                                                            quantize_constants c,
                                                            std::uint8_t* packed) noexcept {
    constexpr int offset = 8;  // of the nibble that comes to lie low, so that it is never negative
    std::size_t i = 0;
    if (is_nibble_grid(c)) {
        zmm_nibble_grid const g = make_zmm_nibble_grid(c, high_first ? 0 : offset, high_first ? offset : 0);
        __m512i const offsets = _mm512_set1_epi8(offset);
        __m512i const weights = _mm512_set1_epi16(high_first ? 0x0110 : 0x1001);
        for (; i + 128 <= n; i += 128) {
            float const* const y = x + i + 64;
            __m512i a = zmm_byte_steps(x + i, x + i + 16, x + i + 32, x + i + 48, g);
            __m512i b = zmm_byte_steps(y, y + 16, y + 32, y + 48, g);
            if (!are_sure(a, b)) [[unlikely]] {
                quantize_128_pairs(x + i, high_first, c, packed + i / 2);
                continue;
            }
            // 16 high + low, where high has a sign
            a = _mm512_maddubs_epi16(weights, zmm_nibbles(a, g));
            b = _mm512_maddubs_epi16(weights, zmm_nibbles(b, g));
            __m512i const bytes = _mm512_xor_si512(_mm512_packs_epi16(a, b), offsets);
            _mm512_storeu_si512(packed + i / 2, zmm_ordered_pairs(bytes));
        }
    }
    for (; i + 128 <= n; i += 128) quantize_128_pairs(x + i, high_first, c, packed + i / 2);
    for (; i < n; i += 16) {
        std::size_t const left = n - i < 16 ? n - i : 16;
        __mmask16 const some = static_cast<__mmask16>(first_lanes(left));
        __m512i const q = _mm512_and_si512(zmm_some_codes(x + i, some, c), _mm512_set1_epi32(15));
        __m512i const pair = high_first ? _mm512_or_si512(_mm512_slli_epi64(q, 4), _mm512_srli_epi64(q, 32))
                                        : _mm512_or_si512(q, _mm512_srli_epi64(q, 28));
        _mm512_mask_cvtepi64_storeu_epi8(packed + i / 2, static_cast<__mmask8>(first_lanes((left + 1) / 2)),
                                         pair);
    }
}

/// Halves of a block in one byte; block / 2 is a multiple of 16, so each 16 bytes are made from two runs of values.
COMMUTANT_TARGET_AVX512BW inline void quantize_halves_avx512(float const* x, std::size_t n, std::size_t block,
                                                             quantize_constants c,
                                                             std::uint8_t* packed) noexcept {
    zmm_grid const any = make_zmm_grid(c);
    zmm_nibble_grid const g = make_zmm_nibble_grid(c, 0, 0);
    bool const fits = is_nibble_grid(c);
    std::size_t const half = block / 2;
    __m512i const order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
    low_half_cursor cursor{half};
    std::size_t i = 0;  // bytes
    for (; i + 64 <= n / 2; i += 64) {
        float const *from[4], *far[4];
        for (int k = 0; k < 4; ++k) from[k] = x + cursor.next(16), far[k] = from[k] + half;
        __m512i low = zmm_byte_steps(from[0], from[1], from[2], from[3], g);
        __m512i high = zmm_byte_steps(far[0], far[1], far[2], far[3], g);
        if (fits && are_sure(low, high)) [[likely]] {
            low = zmm_nibbles(low, g);
            high = zmm_nibbles(high, g);
        } else {
            low = zmm_codes(from[0], from[1], from[2], from[3], any);
            high = zmm_codes(far[0], far[1], far[2], far[3], any);
        }
        // 0xca: the bits of low where the mask is set, else those of high
        __m512i const bytes =
            _mm512_ternarylogic_epi32(_mm512_set1_epi8(15), low, _mm512_slli_epi16(high, 4), 0xca);
        _mm512_storeu_si512(packed + i, _mm512_permutexvar_epi32(order, bytes));
    }
    for (; i < n / 2; i += 16) {
        float const* const from = x + i / half * block + i % half;
        __m512i const low = _mm512_and_si512(zmm_some_codes(from, 0xffff, c), _mm512_set1_epi32(15));
        __m512i const high = _mm512_slli_epi32(zmm_some_codes(from + half, 0xffff, c), 4);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(packed + i),
                         _mm512_cvtepi32_epi8(_mm512_or_si512(low, high)));
    }
}

COMMUTANT_TARGET_AVX512BW inline void quantize_packed_avx512(float const* x, nibble_run run,
                                                             quantize_constants c,
                                                             std::uint8_t* packed) noexcept {
    if (run.order != nibble_order::half_split)
        return quantize_pairs_avx512(x, run.n, run.order == nibble_order::interleaved_high_first, c, packed);
    if (run.block % 32 == 0) return quantize_halves_avx512(x, run.n, run.block, c, packed);
    quantize_packed_scalar(x, run, c, packed);
}

/// min and max pass their second operand on if the first is NaN.
COMMUTANT_TARGET_AVX512BW inline float_range range_avx512(float const* x, std::size_t n) noexcept {
    __m512 low[4], high[4];
    for (int k = 0; k < 4; ++k) low[k] = high[k] = _mm512_setzero_ps();
    std::size_t i = 0;
    for (; i + 64 <= n; i += 64) {
#pragma GCC unroll 4
        for (std::size_t k = 0; k < 4; ++k) {
            __m512 const v = _mm512_loadu_ps(x + i + 16 * k);
            low[k] = _mm512_min_ps(v, low[k]);
            high[k] = _mm512_max_ps(v, high[k]);
        }
    }
    for (; i < n; i += 16) {
        __m512 const v = _mm512_maskz_loadu_ps(static_cast<__mmask16>(first_lanes(n - i)), x + i);
        low[0] = _mm512_min_ps(v, low[0]);
        high[0] = _mm512_max_ps(v, high[0]);
    }
    __m512 const min = _mm512_min_ps(_mm512_min_ps(low[0], low[1]), _mm512_min_ps(low[2], low[3]));
    __m512 const max = _mm512_max_ps(_mm512_max_ps(high[0], high[1]), _mm512_max_ps(high[2], high[3]));
    return {_mm512_reduce_min_ps(min), _mm512_reduce_max_ps(max)};
}

/// Row r of a result whose range is known: x times factor, quantised.
COMMUTANT_TARGET_AVX512BW inline void write_known_row_avx512(code_sink const& sink, std::size_t r,
                                                             float const* x, std::size_t n, float factor,
                                                             float_range range) noexcept {
    quantize_constants const c = sink_constants(sink, r, range, factor);
    if (sink.codes != nullptr)
        quantize_avx512(x, n, c, sink.codes + r * n);
    else
        quantize_packed_avx512(x, nibble_run{n, sink.order, sink.block}, c, sink.packed + r * ((n + 1) / 2));
}

COMMUTANT_TARGET_AVX512BW inline void write_row_avx512(code_sink const& sink, std::size_t r, float const* x,
                                                       std::size_t n, float factor) noexcept {
    write_known_row_avx512(sink, r, x, n, factor, sink.is_dynamic() ? range_avx512(x, n) : float_range{});
}

COMMUTANT_TARGET_AVX512BW inline void quantize_rows_avx512(float const* x, std::size_t n_rows, std::size_t n,
                                                           code_sink const& sink) noexcept {
    for (std::size_t r = 0; r < n_rows; ++r) write_row_avx512(sink, r, x + r * n, n, 1.0F);
}

}  // namespace commutant::kernels::detail

#endif
