// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/isa.hpp>

#if defined(COMMUTANT_KERNELS_X86)

#include <cstddef>
#include <cstdint>

#include <commutant/kernels/detail/attention_product.hpp>

namespace commutant::kernels::detail {

/// Products in 512-bit registers: a lane block is one of them.
///
/// A word's numbers come out one after the other, the word moving down. One grid for all nibbles is a table of 16 floats
/// that a permutation looks up; else the code is put below the exponent of 2^23 and the offset taken from it.
template <kv_storage Storage, offset_kind Kind> struct attention_avx512 {
    static constexpr std::size_t n = lanes_per_block, per_word = codes_per_word(Storage);
    static constexpr bool is_float = Storage == kv_storage::float32;
    static constexpr bool has_table = Storage == kv_storage::int4 && Kind == offset_kind::one;
    /// Bytes: packed words come from memory, faster than what runs ahead by itself fetches them.
    static constexpr std::size_t prefetch_distance = 8192;
    static constexpr int code_bits = Storage == kv_storage::int4 ? 4 : 8;

    /// What goes with one lane block through all terms: its offsets, or the table.
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static __m512 constants(operand const* o,
                                                                       std::size_t block) noexcept {
        if constexpr (is_float || Kind == offset_kind::per_term) return _mm512_setzero_ps();
        if constexpr (has_table)
            return _mm512_sub_ps(_mm512_castsi512_ps(_mm512_or_si512(
                                     _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
                                     _mm512_set1_epi32(static_cast<int>(code_as_float)))),
                                 _mm512_set1_ps(o->offsets[0]));
        return _mm512_loadu_ps(o->offsets + block * o->offset_step);
    }

    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static __m512 number(__m512i word, __m512 constant) noexcept {
        if constexpr (is_float) return _mm512_castsi512_ps(word);
        if constexpr (has_table) return _mm512_permutexvar_ps(word, constant);
        constexpr int and_or = 0xEA;
        return _mm512_sub_ps(_mm512_castsi512_ps(_mm512_ternarylogic_epi32(
                                 word, _mm512_set1_epi32((1 << code_bits) - 1),
                                 _mm512_set1_epi32(static_cast<int>(code_as_float)), and_or)),
                             constant);
    }

    /// The next n_terms numbers of a word of each lane block, times the coefficients of each row.
    template <std::size_t Rows, std::size_t Blocks>
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static void step(operand const* o, std::size_t group,
                                                                std::size_t n_terms,
                                                                float const* coefficients, std::size_t stride,
                                                                __m512 const (&constant)[Blocks],
                                                                __m512 (&sum)[Rows][Blocks]) noexcept {
        __m512i word[Blocks];
#pragma GCC unroll 8
        for (std::size_t b = 0; b < Blocks; ++b) {
            std::byte const* const at = o->words + 4 * (b * o->lane_stride + group * o->group_stride);
            word[b] = _mm512_loadu_si512(at);
            if constexpr (!is_float || Rows <= 4) _mm_prefetch(at + prefetch_distance, _MM_HINT_T0);
        }
        float const* const c = coefficients + group * per_word;
#pragma GCC unroll 8
        for (std::size_t t = 0; t < n_terms; ++t) {
            __m512 offset{};
            if constexpr (Kind == offset_kind::per_term)
                offset = _mm512_set1_ps(o->offsets[(group * per_word + t) * o->offset_step]);
            __m512 x[Blocks];
#pragma GCC unroll 8
            for (std::size_t b = 0; b < Blocks; ++b) {
                x[b] = number(word[b], Kind == offset_kind::per_term ? offset : constant[b]);
                if constexpr (!is_float) word[b] = _mm512_srli_epi32(word[b], code_bits);
            }
#pragma GCC unroll 16
            for (std::size_t r = 0; r < Rows; ++r) {
                __m512 const a = _mm512_set1_ps(c[r * stride + t]);
#pragma GCC unroll 8
                for (std::size_t b = 0; b < Blocks; ++b) sum[r][b] = _mm512_fmadd_ps(a, x[b], sum[r][b]);
            }
        }
    }

    template <std::size_t Rows, std::size_t Blocks>
    COMMUTANT_TARGET_AVX512BW static void tile(product const* p, operand const* whole, std::size_t row,
                                               std::size_t block) noexcept {
        operand o = *whole;
        o.words += 4 * block * o.lane_stride;
        if constexpr (Kind == offset_kind::per_lane) o.offsets += block * o.offset_step;
        __m512 constant[Blocks];
#pragma GCC unroll 8
        for (std::size_t b = 0; b < Blocks; ++b) constant[b] = constants(&o, b);
        float* const out = p->out + row * p->out_stride + block * n;
        __m512 sum[Rows][Blocks];
#pragma GCC unroll 16
        for (std::size_t r = 0; r < Rows; ++r)
#pragma GCC unroll 8
            for (std::size_t b = 0; b < Blocks; ++b)
                sum[r][b] =
                    p->accumulate ? _mm512_loadu_ps(out + r * p->out_stride + b * n) : _mm512_setzero_ps();
        float const* const c = p->coefficients + row * p->coefficient_stride;
        std::size_t const groups = p->terms / per_word;
        for (std::size_t g = 0; g < groups; ++g)
            step<Rows, Blocks>(&o, g, per_word, c, p->coefficient_stride, constant, sum);
        if (per_word != 1 && p->terms % per_word != 0)
            step<Rows, Blocks>(&o, groups, p->terms % per_word, c, p->coefficient_stride, constant, sum);
#pragma GCC unroll 16
        for (std::size_t r = 0; r < Rows; ++r)
#pragma GCC unroll 8
            for (std::size_t b = 0; b < Blocks; ++b)
                _mm512_storeu_ps(out + r * p->out_stride + b * n, sum[r][b]);
    }

    /// All rows, for some lane blocks. Few rows take more blocks at once: sums enough to hide the latency of each.
    template <std::size_t Rows, std::size_t Blocks>
    COMMUTANT_TARGET_AVX512BW static void rows(product const* p, operand const* o,
                                               std::size_t block) noexcept {
        std::size_t row = 0;
        for (; row + Rows <= p->rows; row += Rows) tile<Rows, Blocks>(p, o, row, block);
        if constexpr (Rows > 4)
            if (row + 4 <= p->rows) tile<4, Blocks>(p, o, row, block), row += 4;
        if constexpr (Rows > 2)
            if (row + 2 <= p->rows) tile<2, Blocks>(p, o, row, block), row += 2;
        if (row < p->rows) tile<1, Blocks>(p, o, row, block);
    }

    COMMUTANT_TARGET_AVX512BW static void multiply(product const* p, operand const* o) noexcept {
        constexpr std::size_t many = is_float ? 6 : 8, together = is_float ? 4 : 2;
        std::size_t b = 0;
        if (!is_float && p->rows <= 4)
            for (; b + 4 <= p->lane_blocks; b += 4) rows<4, 4>(p, o, b);
        for (; b + together <= p->lane_blocks; b += together) rows<many, together>(p, o, b);
        if constexpr (together > 2)
            if (b + 2 <= p->lane_blocks) rows<many, 2>(p, o, b), b += 2;
        if (b < p->lane_blocks) rows<many, 1>(p, o, b);
    }

    COMMUTANT_TARGET_AVX512BW static void expand(operand const* o, std::size_t terms, std::size_t lane_blocks,
                                                 float* tile) noexcept {
        for (std::size_t b = 0; b < lane_blocks; ++b) {
            __m512 const constant = constants(o, b);
            for (std::size_t t = 0; t < terms; t += per_word) {
                __m512i word =
                    _mm512_loadu_si512(o->words + 4 * (b * o->lane_stride + t / per_word * o->group_stride));
                std::size_t const m = terms - t < per_word ? terms - t : per_word;
#pragma GCC unroll 8
                for (std::size_t i = 0; i < m; ++i, tile += n) {
                    __m512 offset{};
                    if constexpr (Kind == offset_kind::per_term)
                        offset = _mm512_set1_ps(o->offsets[(t + i) * o->offset_step]);
                    _mm512_storeu_ps(tile, number(word, Kind == offset_kind::per_term ? offset : constant));
                    if constexpr (!is_float) word = _mm512_srli_epi32(word, code_bits);
                }
            }
        }
    }
};

inline void multiply_avx512(product const* p, operand const* o) noexcept {
    with_kinds<attention_avx512>(o, [&](auto body) noexcept { decltype(body)::multiply(p, o); });
}
inline void expand_avx512(operand const* o, std::size_t terms, std::size_t lane_blocks,
                          float* tile) noexcept {
    with_kinds<attention_avx512>(
        o, [&](auto body) noexcept { decltype(body)::expand(o, terms, lane_blocks, tile); });
}

}  // namespace commutant::kernels::detail

#endif
