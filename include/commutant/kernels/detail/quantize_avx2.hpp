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

/// A grid in registers; steps are bounded above as floats, below by saturation and one byte-wise maximum.
struct ymm_grid {
    __m256 inverse_scale, high;
    __m256i zero_point_words, lo_bytes;
};

COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE ymm_grid make_ymm_grid(quantize_constants c) noexcept {
    return {_mm256_set1_ps(c.inverse_scale), _mm256_set1_ps(c.high),
            _mm256_set1_epi16(static_cast<short>(c.zero_point)),
            _mm256_set1_epi8(static_cast<char>(static_cast<int>(c.low) + c.zero_point))};
}

/// Rounded steps of 8 values, at most high. min passes its second operand on if that is NaN.
COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE __m256i ymm_steps(float const* x, ymm_grid const& g) noexcept {
    return _mm256_cvtps_epi32(_mm256_min_ps(g.high, _mm256_mul_ps(_mm256_loadu_ps(x), g.inverse_scale)));
}

/// Codes of four times 8 values; in each half of the register four of the first, of the second, ...
COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE __m256i ymm_codes(float const* a, float const* b, float const* c,
                                                         float const* d, ymm_grid const& g) noexcept {
    __m256i const ab = _mm256_packs_epi32(ymm_steps(a, g), ymm_steps(b, g));
    __m256i const cd = _mm256_packs_epi32(ymm_steps(c, g), ymm_steps(d, g));
    __m256i const codes = _mm256_packs_epi16(_mm256_adds_epi16(ab, g.zero_point_words),
                                             _mm256_adds_epi16(cd, g.zero_point_words));
    return _mm256_max_epi8(codes, g.lo_bytes);
}

/// The same in the order of the values.
COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE __m256i ymm_ordered(__m256i codes) noexcept {
    return _mm256_permutevar8x32_epi32(codes, _mm256_set_epi32(7, 3, 6, 2, 5, 1, 4, 0));
}

COMMUTANT_TARGET_AVX2 inline void quantize_avx2(float const* x, std::size_t n, quantize_constants c,
                                                std::int8_t* codes) noexcept {
    ymm_grid const g = make_ymm_grid(c);
    std::size_t i = 0;
    for (; i + 32 <= n; i += 32)
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes + i),
                            ymm_ordered(ymm_codes(x + i, x + i + 8, x + i + 16, x + i + 24, g)));
    for (; i + 8 <= n; i += 8) {
        __m256i const q = ymm_ordered(ymm_codes(x + i, x + i, x + i, x + i, g));  // four copies in turn
        __m128i const low = _mm256_castsi256_si128(q);
        _mm_storel_epi64(reinterpret_cast<__m128i*>(codes + i), low);
    }
    quantize_scalar(x + i, n - i, c, codes + i);
}

/// Neighbours in one byte, 64 values at a time.
COMMUTANT_TARGET_AVX2 inline void quantize_pairs_avx2(float const* x, std::size_t n, nibble_order order,
                                                      quantize_constants c, std::uint8_t* packed) noexcept {
    ymm_grid const g = make_ymm_grid(c);
    __m256i const nibble = _mm256_set1_epi8(15);
    __m256i const weights =
        _mm256_set1_epi16(order == nibble_order::interleaved_high_first ? 0x0110 : 0x1001);
    std::size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        __m256i const a = ymm_codes(x + i, x + i + 8, x + i + 16, x + i + 24, g);
        __m256i const b = ymm_codes(x + i + 32, x + i + 40, x + i + 48, x + i + 56, g);
        __m256i const bytes = _mm256_packus_epi16(_mm256_maddubs_epi16(_mm256_and_si256(a, nibble), weights),
                                                  _mm256_maddubs_epi16(_mm256_and_si256(b, nibble), weights));
        // A half holds two bytes of each of eight times 8 values.
        __m128i const first = _mm256_castsi256_si128(bytes);
        __m128i const second = _mm256_extracti128_si256(bytes, 1);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(packed + i / 2), _mm_unpacklo_epi16(first, second));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(packed + i / 2 + 16), _mm_unpackhi_epi16(first, second));
    }
    quantize_packed_scalar(x + i, nibble_run{n - i, order, 2}, c, packed + i / 2);
}

/// Halves of a block in one byte; block / 2 is a multiple of 8.
COMMUTANT_TARGET_AVX2 inline void quantize_halves_avx2(float const* x, std::size_t n, std::size_t block,
                                                       quantize_constants c, std::uint8_t* packed) noexcept {
    ymm_grid const g = make_ymm_grid(c);
    __m256i const nibble = _mm256_set1_epi8(15);
    std::size_t const half = block / 2;
    low_half_cursor cursor{half};
    std::size_t i = 0;  // bytes
    for (; i + 32 <= n / 2; i += 32) {
        float const* from[4];
        for (float const*& f : from) f = x + cursor.next(8);
        __m256i const low = ymm_codes(from[0], from[1], from[2], from[3], g);
        __m256i const high = ymm_codes(from[0] + half, from[1] + half, from[2] + half, from[3] + half, g);
        __m256i const bytes = _mm256_or_si256(_mm256_and_si256(low, nibble),
                                              _mm256_andnot_si256(nibble, _mm256_slli_epi16(high, 4)));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(packed + i), ymm_ordered(bytes));
    }
    for (; i < n / 2; ++i) {
        std::size_t const at = i / half * block + i % half;
        packed[i] = two_nibbles(static_cast<unsigned>(code_of(x[at], c)),
                                static_cast<unsigned>(code_of(x[at + half], c)));
    }
}

COMMUTANT_TARGET_AVX2 inline void quantize_packed_avx2(float const* x, nibble_run run, quantize_constants c,
                                                       std::uint8_t* packed) noexcept {
    if (run.order != nibble_order::half_split) return quantize_pairs_avx2(x, run.n, run.order, c, packed);
    if (run.block % 16 == 0) return quantize_halves_avx2(x, run.n, run.block, c, packed);
    quantize_packed_scalar(x, run, c, packed);
}

COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE float_range ymm_range(__m256 low, __m256 high) noexcept {
    __m128 a = _mm_min_ps(_mm256_castps256_ps128(low), _mm256_extractf128_ps(low, 1));
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(high), _mm256_extractf128_ps(high, 1));
    a = _mm_min_ps(a, _mm_movehl_ps(a, a));
    b = _mm_max_ps(b, _mm_movehl_ps(b, b));
    a = _mm_min_ss(a, _mm_movehdup_ps(a));
    b = _mm_max_ss(b, _mm_movehdup_ps(b));
    return {_mm_cvtss_f32(a), _mm_cvtss_f32(b)};
}

[[nodiscard]] inline float_range joined(float_range a, float_range b) noexcept {
    return {b.min < a.min ? b.min : a.min, b.max > a.max ? b.max : a.max};
}

/// min and max pass their second operand on if the first is NaN.
COMMUTANT_TARGET_AVX2 inline float_range range_avx2(float const* x, std::size_t n) noexcept {
    __m256 low[4], high[4];
    for (int k = 0; k < 4; ++k) low[k] = high[k] = _mm256_setzero_ps();
    std::size_t i = 0;
    for (; i + 32 <= n; i += 32) {
#pragma GCC unroll 4
        for (std::size_t k = 0; k < 4; ++k) {
            __m256 const v = _mm256_loadu_ps(x + i + 8 * k);
            low[k] = _mm256_min_ps(v, low[k]);
            high[k] = _mm256_max_ps(v, high[k]);
        }
    }
    float_range const vectors =
        ymm_range(_mm256_min_ps(_mm256_min_ps(low[0], low[1]), _mm256_min_ps(low[2], low[3])),
                  _mm256_max_ps(_mm256_max_ps(high[0], high[1]), _mm256_max_ps(high[2], high[3])));
    return joined(vectors, range_scalar(x + i, n - i));
}

/// Row r of a result whose range is known: x times factor, quantised.
COMMUTANT_TARGET_AVX2 inline void write_known_row_avx2(code_sink const& sink, std::size_t r, float const* x,
                                                       std::size_t n, float factor,
                                                       float_range range) noexcept {
    quantize_constants const c = sink_constants(sink, r, range, factor);
    if (sink.codes != nullptr)
        quantize_avx2(x, n, c, sink.codes + r * n);
    else
        quantize_packed_avx2(x, nibble_run{n, sink.order, sink.block}, c, sink.packed + r * ((n + 1) / 2));
}

COMMUTANT_TARGET_AVX2 inline void write_row_avx2(code_sink const& sink, std::size_t r, float const* x,
                                                 std::size_t n, float factor) noexcept {
    write_known_row_avx2(sink, r, x, n, factor, sink.is_dynamic() ? range_avx2(x, n) : float_range{});
}

COMMUTANT_TARGET_AVX2 inline void quantize_rows_avx2(float const* x, std::size_t n_rows, std::size_t n,
                                                     code_sink const& sink) noexcept {
    for (std::size_t r = 0; r < n_rows; ++r) write_row_avx2(sink, r, x + r * n, n, 1.0F);
}

}  // namespace commutant::kernels::detail

#endif
