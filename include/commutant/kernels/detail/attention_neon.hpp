// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/isa.hpp>

#if defined(COMMUTANT_KERNELS_NEON)

#include <cstddef>
#include <cstdint>

#include <commutant/kernels/detail/attention_product.hpp>

namespace commutant::kernels::detail {

/// Products in 128-bit registers, four to a lane block; see attention_avx512.
///
/// Five rows of sums take 20 of the 32 registers; numbers and words of one lane block take eight.
template <kv_storage Storage, offset_kind Kind> struct attention_neon {
    static constexpr std::size_t n = lanes_per_block, parts = 4, quarter = 4,
                                 per_word = codes_per_word(Storage);
    static constexpr bool is_float = Storage == kv_storage::float32;
    static constexpr int code_bits = Storage == kv_storage::int4 ? 4 : 8;
    static constexpr std::size_t prefetch_distance = 8192;

    COMMUTANT_INLINE static float32x4_t number(uint32x4_t word, float32x4_t offset) noexcept {
        if constexpr (is_float) return vreinterpretq_f32_u32(word);
        uint32x4_t const code = vandq_u32(word, vdupq_n_u32((1U << code_bits) - 1));
        return vsubq_f32(vreinterpretq_f32_u32(vorrq_u32(code, vdupq_n_u32(code_as_float))), offset);
    }
    COMMUTANT_INLINE static uint32x4_t load(operand const& o, std::size_t group, std::size_t part) noexcept {
        return vreinterpretq_u32_u8(vld1q_u8(
            reinterpret_cast<std::uint8_t const*>(o.words + 4 * (group * o.group_stride + part * quarter))));
    }
    /// Offsets of term t of a group, or those that stay the same through all terms.
    COMMUTANT_INLINE static float32x4_t offset(operand const& o, std::size_t term,
                                               std::size_t part) noexcept {
        if constexpr (is_float) return vdupq_n_f32(0);
        if constexpr (Kind == offset_kind::per_term) return vdupq_n_f32(o.offsets[term * o.offset_step]);
        return vld1q_f32(o.offsets + part * quarter);
    }

    template <std::size_t Rows>
    COMMUTANT_INLINE static void step(operand const& o, std::size_t group, std::size_t n_terms,
                                      float const* coefficients, std::size_t stride,
                                      float32x4_t (&sum)[Rows][parts]) noexcept {
        uint32x4_t word[parts];
#pragma GCC unroll 4
        for (std::size_t i = 0; i < parts; ++i) word[i] = load(o, group, i);
        if constexpr (!is_float || Rows <= 4)
            __builtin_prefetch(o.words + 4 * group * o.group_stride + prefetch_distance);
        float const* const c = coefficients + group * per_word;
#pragma GCC unroll 8
        for (std::size_t t = 0; t < n_terms; ++t) {
            float32x4_t x[parts];
#pragma GCC unroll 4
            for (std::size_t i = 0; i < parts; ++i) {
                x[i] = number(word[i], offset(o, group * per_word + t, i));
                if constexpr (!is_float) word[i] = vshrq_n_u32(word[i], code_bits);
            }
#pragma GCC unroll 8
            for (std::size_t r = 0; r < Rows; ++r) {
                float const a = c[r * stride + t];
#pragma GCC unroll 4
                for (std::size_t i = 0; i < parts; ++i) sum[r][i] = vfmaq_n_f32(sum[r][i], x[i], a);
            }
        }
    }

    template <std::size_t Rows>
    static void tile(product const* p, operand const* whole, std::size_t row, std::size_t block) noexcept {
        operand o = *whole;
        o.words += 4 * block * o.lane_stride;
        if constexpr (!is_float && Kind == offset_kind::per_lane) o.offsets += block * o.offset_step;
        float* const out = p->out + row * p->out_stride + block * n;
        float32x4_t sum[Rows][parts];
#pragma GCC unroll 8
        for (std::size_t r = 0; r < Rows; ++r)
#pragma GCC unroll 4
            for (std::size_t i = 0; i < parts; ++i)
                sum[r][i] = p->accumulate ? vld1q_f32(out + r * p->out_stride + i * quarter) : vdupq_n_f32(0);
        float const* const c = p->coefficients + row * p->coefficient_stride;
        std::size_t const groups = p->terms / per_word;
        for (std::size_t g = 0; g < groups; ++g) step<Rows>(o, g, per_word, c, p->coefficient_stride, sum);
        if (per_word != 1 && p->terms % per_word != 0)
            step<Rows>(o, groups, p->terms % per_word, c, p->coefficient_stride, sum);
#pragma GCC unroll 8
        for (std::size_t r = 0; r < Rows; ++r)
#pragma GCC unroll 4
            for (std::size_t i = 0; i < parts; ++i)
                vst1q_f32(out + r * p->out_stride + i * quarter, sum[r][i]);
    }

    static void multiply(product const* p, operand const* o) noexcept {
        constexpr std::size_t many = is_float ? 5 : 4;
        for (std::size_t b = 0; b < p->lane_blocks; ++b) {
            std::size_t row = 0;
            for (; row + many <= p->rows; row += many) tile<many>(p, o, row, b);
            if (many > 4 && row + 4 <= p->rows) tile<4>(p, o, row, b), row += 4;
            if (row + 2 <= p->rows) tile<2>(p, o, row, b), row += 2;
            if (row < p->rows) tile<1>(p, o, row, b);
        }
    }

    static void expand(operand const* whole, std::size_t terms, std::size_t lane_blocks,
                       float* tile) noexcept {
        for (std::size_t b = 0; b < lane_blocks; ++b) {
            operand o = *whole;
            o.words += 4 * b * o.lane_stride;
            if constexpr (!is_float && Kind == offset_kind::per_lane) o.offsets += b * o.offset_step;
            for (std::size_t t = 0; t < terms; t += per_word) {
                uint32x4_t word[parts];
                for (std::size_t i = 0; i < parts; ++i) word[i] = load(o, t / per_word, i);
                std::size_t const m = terms - t < per_word ? terms - t : per_word;
                for (std::size_t k = 0; k < m; ++k, tile += n)
#pragma GCC unroll 4
                    for (std::size_t i = 0; i < parts; ++i) {
                        vst1q_f32(tile + i * quarter, number(word[i], offset(o, t + k, i)));
                        if constexpr (!is_float) word[i] = vshrq_n_u32(word[i], code_bits);
                    }
            }
        }
    }
};

inline void multiply_neon(product const* p, operand const* o) noexcept {
    with_kinds<attention_neon>(o, [&](auto body) noexcept { decltype(body)::multiply(p, o); });
}
inline void expand_neon(operand const* o, std::size_t terms, std::size_t lane_blocks, float* tile) noexcept {
    with_kinds<attention_neon>(
        o, [&](auto body) noexcept { decltype(body)::expand(o, terms, lane_blocks, tile); });
}

}  // namespace commutant::kernels::detail

#endif
