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
    static constexpr std::size_t prefetch_distance = 8192;

    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static __m256 number(__m256i word, __m256 offset) noexcept {
        if constexpr (is_float) return _mm256_castsi256_ps(word);
        __m256i const code = _mm256_and_si256(word, _mm256_set1_epi32((1 << code_bits) - 1));
        return _mm256_sub_ps(
            _mm256_castsi256_ps(_mm256_or_si256(code, _mm256_set1_epi32(static_cast<int>(code_as_float)))),
            offset);
    }
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static __m256i load(operand const& o, std::size_t group,
                                                               std::size_t part) noexcept {
        return _mm256_loadu_si256(
            reinterpret_cast<__m256i const*>(o.words + 4 * (group * o.group_stride + part * half)));
    }
    /// Offsets that stay the same through all terms.
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static __m256 lane_offsets(operand const& o,
                                                                      std::size_t part) noexcept {
        if constexpr (is_float || Kind == offset_kind::per_term) return _mm256_setzero_ps();
        return _mm256_loadu_ps(o.offsets + part * half);
    }

    template <std::size_t Rows>
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static void step(operand const& o, std::size_t group,
                                                            std::size_t n_terms, float const* coefficients,
                                                            std::size_t stride, __m256 const (&constant)[2],
                                                            __m256 (&sum)[Rows][2]) noexcept {
        __m256i low = load(o, group, 0), high = load(o, group, 1);
        if constexpr (!is_float || Rows <= 4)
            _mm_prefetch(o.words + 4 * group * o.group_stride + prefetch_distance, _MM_HINT_T0);
        float const* const c = coefficients + group * per_word;
#pragma GCC unroll 8
        for (std::size_t t = 0; t < n_terms; ++t) {
            __m256 first = constant[0], second = constant[1];
            if constexpr (Kind == offset_kind::per_term)
                first = second = _mm256_set1_ps(o.offsets[(group * per_word + t) * o.offset_step]);
            first = number(low, first), second = number(high, second);
            if constexpr (!is_float)
                low = _mm256_srli_epi32(low, code_bits), high = _mm256_srli_epi32(high, code_bits);
#pragma GCC unroll 8
            for (std::size_t r = 0; r < Rows; ++r) {
                __m256 const a = _mm256_set1_ps(c[r * stride + t]);
                sum[r][0] = _mm256_fmadd_ps(a, first, sum[r][0]);
                sum[r][1] = _mm256_fmadd_ps(a, second, sum[r][1]);
            }
        }
    }

    template <std::size_t Rows>
    COMMUTANT_TARGET_AVX2 static void tile(product const* p, operand const* whole, std::size_t row,
                                           std::size_t block) noexcept {
        operand o = *whole;
        o.words += 4 * block * o.lane_stride;
        if constexpr (!is_float && Kind == offset_kind::per_lane) o.offsets += block * o.offset_step;
        __m256 const constant[2] = {lane_offsets(o, 0), lane_offsets(o, 1)};
        float* const out = p->out + row * p->out_stride + block * n;
        __m256 sum[Rows][2];
#pragma GCC unroll 8
        for (std::size_t r = 0; r < Rows; ++r) {
            sum[r][0] = p->accumulate ? _mm256_loadu_ps(out + r * p->out_stride) : _mm256_setzero_ps();
            sum[r][1] = p->accumulate ? _mm256_loadu_ps(out + r * p->out_stride + half) : _mm256_setzero_ps();
        }
        float const* const c = p->coefficients + row * p->coefficient_stride;
        std::size_t const groups = p->terms / per_word;
        for (std::size_t g = 0; g < groups; ++g)
            step<Rows>(o, g, per_word, c, p->coefficient_stride, constant, sum);
        if (per_word != 1 && p->terms % per_word != 0)
            step<Rows>(o, groups, p->terms % per_word, c, p->coefficient_stride, constant, sum);
#pragma GCC unroll 8
        for (std::size_t r = 0; r < Rows; ++r) {
            _mm256_storeu_ps(out + r * p->out_stride, sum[r][0]);
            _mm256_storeu_ps(out + r * p->out_stride + half, sum[r][1]);
        }
    }

    COMMUTANT_TARGET_AVX2 static void multiply(product const* p, operand const* o) noexcept {
        constexpr std::size_t many = is_float ? 6 : 4;
        for (std::size_t b = 0; b < p->lane_blocks; ++b) {
            std::size_t row = 0;
            for (; row + many <= p->rows; row += many) tile<many>(p, o, row, b);
            if (many > 4 && row + 4 <= p->rows) tile<4>(p, o, row, b), row += 4;
            if (row + 2 <= p->rows) tile<2>(p, o, row, b), row += 2;
            if (row < p->rows) tile<1>(p, o, row, b);
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
