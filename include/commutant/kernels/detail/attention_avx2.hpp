// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/isa.hpp>

#if defined(COMMUTANT_KERNELS_X86)

#include <cstddef>
#include <cstdint>

#include <commutant/kernels/detail/attention_product.hpp>

namespace commutant::kernels::detail {

/// Products in 256-bit registers, two to a lane block; see attention_avx512.
///
/// Six rows and their two parts leave four of the 16 registers for numbers and coefficients.
template <kv_storage Storage, offset_kind Kind> struct attention_avx2 {
    static constexpr std::size_t n = lanes_per_block, half = 8, per_word = codes_per_word(Storage);
    static constexpr bool is_float = Storage == kv_storage::float32;
    static constexpr int code_bits = Storage == kv_storage::int4 ? 4 : 8;
    static constexpr std::size_t prefetch_distance = 8192;  ///< bytes

    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static __m256 number(__m256i word, __m256 offset) noexcept {
        if constexpr (is_float) return _mm256_castsi256_ps(word);
        __m256i const code = _mm256_and_si256(word, _mm256_set1_epi32((1 << code_bits) - 1));
        return _mm256_sub_ps(
            _mm256_castsi256_ps(_mm256_or_si256(code, _mm256_set1_epi32(static_cast<int>(code_as_float)))),
            offset);
    }
    /// Half i of neighbouring lane blocks.
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static __m256i load(operand const& o, std::size_t group,
                                                               std::size_t i) noexcept {
        return _mm256_loadu_si256(reinterpret_cast<__m256i const*>(
            o.words + 4 * (i / 2 * o.lane_stride + group * o.group_stride + i % 2 * half)));
    }
    /// Offsets that stay the same through all terms.
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static __m256 lane_offsets(operand const& o,
                                                                      std::size_t i) noexcept {
        if constexpr (is_float || Kind == offset_kind::per_term) return _mm256_setzero_ps();
        return _mm256_loadu_ps(o.offsets + i / 2 * o.offset_step + i % 2 * half);
    }

    template <std::size_t Rows, std::size_t Halves>
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static void step(operand const& o, std::size_t group,
                                                            std::size_t n_terms, float const* coefficients,
                                                            std::size_t stride,
                                                            __m256 const (&constant)[Halves],
                                                            __m256 (&sum)[Rows][Halves]) noexcept {
        __m256i word[Halves];
#pragma GCC unroll 4
        for (std::size_t i = 0; i < Halves; ++i) word[i] = load(o, group, i);
        if constexpr (!is_float || Rows <= 4)
#pragma GCC unroll 2
            for (std::size_t b = 0; b < Halves / 2; ++b)
                _mm_prefetch(o.words + 4 * (b * o.lane_stride + group * o.group_stride) + prefetch_distance,
                             _MM_HINT_T0);
        float const* const c = coefficients + group * per_word;
#pragma GCC unroll 8
        for (std::size_t t = 0; t < n_terms; ++t) {
            __m256 offset{};
            if constexpr (Kind == offset_kind::per_term)
                offset = _mm256_set1_ps(o.offsets[(group * per_word + t) * o.offset_step]);
            __m256 x[Halves];
#pragma GCC unroll 4
            for (std::size_t i = 0; i < Halves; ++i) {
                x[i] = number(word[i], Kind == offset_kind::per_term ? offset : constant[i]);
                if constexpr (!is_float) word[i] = _mm256_srli_epi32(word[i], code_bits);
            }
#pragma GCC unroll 8
            for (std::size_t r = 0; r < Rows; ++r) {
                __m256 const a = _mm256_set1_ps(c[r * stride + t]);
#pragma GCC unroll 4
                for (std::size_t i = 0; i < Halves; ++i) sum[r][i] = _mm256_fmadd_ps(a, x[i], sum[r][i]);
            }
        }
    }

    template <std::size_t Rows, std::size_t Blocks>
    COMMUTANT_TARGET_AVX2 static void tile(product const* p, operand const* whole, std::size_t row,
                                           std::size_t block) noexcept {
        constexpr std::size_t halves = 2 * Blocks;
        operand o = *whole;
        o.words += 4 * block * o.lane_stride;
        if constexpr (!is_float && Kind == offset_kind::per_lane) o.offsets += block * o.offset_step;
        __m256 constant[halves];
#pragma GCC unroll 4
        for (std::size_t i = 0; i < halves; ++i) constant[i] = lane_offsets(o, i);
        float* const out = p->out + row * p->out_stride + block * n;
        __m256 sum[Rows][halves];
#pragma GCC unroll 8
        for (std::size_t r = 0; r < Rows; ++r)
#pragma GCC unroll 4
            for (std::size_t i = 0; i < halves; ++i)
                sum[r][i] =
                    p->accumulate ? _mm256_loadu_ps(out + r * p->out_stride + i * half) : _mm256_setzero_ps();
        float const* const c = p->coefficients + row * p->coefficient_stride;
        std::size_t const groups = p->terms / per_word;
        for (std::size_t g = 0; g < groups; ++g)
            step<Rows, halves>(o, g, per_word, c, p->coefficient_stride, constant, sum);
        if (per_word != 1 && p->terms % per_word != 0)
            step<Rows, halves>(o, groups, p->terms % per_word, c, p->coefficient_stride, constant, sum);
#pragma GCC unroll 8
        for (std::size_t r = 0; r < Rows; ++r)
#pragma GCC unroll 4
            for (std::size_t i = 0; i < halves; ++i)
                _mm256_storeu_ps(out + r * p->out_stride + i * half, sum[r][i]);
    }

    COMMUTANT_TARGET_AVX2 static void multiply(product const* p, operand const* o) noexcept {
        constexpr std::size_t many = is_float ? 6 : 4;
        std::size_t b = 0;
        // One row alone would wait for its sums.
        if (p->rows == 1)
            for (; b + 2 <= p->lane_blocks; b += 2) tile<1, 2>(p, o, 0, b);
        for (; b < p->lane_blocks; ++b) {
            std::size_t row = 0;
            for (; row + many <= p->rows; row += many) tile<many, 1>(p, o, row, b);
            if (many > 4 && row + 4 <= p->rows) tile<4, 1>(p, o, row, b), row += 4;
            if (row + 2 <= p->rows) tile<2, 1>(p, o, row, b), row += 2;
            if (row < p->rows) tile<1, 1>(p, o, row, b);
        }
    }

    COMMUTANT_TARGET_AVX2 static void expand(operand const* whole, std::size_t terms, std::size_t lane_blocks,
                                             float* tile) noexcept {
        for (std::size_t b = 0; b < lane_blocks; ++b) {
            operand o = *whole;
            o.words += 4 * b * o.lane_stride;
            if constexpr (!is_float && Kind == offset_kind::per_lane) o.offsets += b * o.offset_step;
            __m256 const constant[2] = {lane_offsets(o, 0), lane_offsets(o, 1)};
            for (std::size_t t = 0; t < terms; t += per_word) {
                __m256i low = load(o, t / per_word, 0), high = load(o, t / per_word, 1);
                std::size_t const m = terms - t < per_word ? terms - t : per_word;
#pragma GCC unroll 8
                for (std::size_t i = 0; i < m; ++i, tile += n) {
                    __m256 first = constant[0], second = constant[1];
                    if constexpr (Kind == offset_kind::per_term)
                        first = second = _mm256_set1_ps(o.offsets[(t + i) * o.offset_step]);
                    _mm256_storeu_ps(tile, number(low, first));
                    _mm256_storeu_ps(tile + half, number(high, second));
                    if constexpr (!is_float)
                        low = _mm256_srli_epi32(low, code_bits), high = _mm256_srli_epi32(high, code_bits);
                }
            }
        }
    }
};

inline void multiply_avx2(product const* p, operand const* o) noexcept {
    with_kinds<attention_avx2>(o, [&](auto body) noexcept { decltype(body)::multiply(p, o); });
}
inline void expand_avx2(operand const* o, std::size_t terms, std::size_t lane_blocks, float* tile) noexcept {
    with_kinds<attention_avx2>(
        o, [&](auto body) noexcept { decltype(body)::expand(o, terms, lane_blocks, tile); });
}

}  // namespace commutant::kernels::detail

#endif
