// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "commutant/kernels/isa.hpp"

#if defined(COMMUTANT_KERNELS_NEON)

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "commutant/kernels/detail/int4_gemm_driver.hpp"
#include "commutant/kernels/detail/int4_gemm_job.hpp"

namespace commutant::kernels::detail {

/// What the bodies for aarch64 share around their tiles of 16 columns, four registers each.
struct int4_neon_common {
    static constexpr std::size_t max_streamed_rows = 4;
    static constexpr std::size_t block_inputs = 1024;
    static constexpr std::size_t block_rows = 480;
    static constexpr std::size_t main_rows = 4;
    static constexpr bool unpacks_in_tiles = false;

    [[nodiscard]] static std::size_t rows_in_place(std::size_t n) noexcept {
        return n - n % int4_gemm_job::row_unit;
    }
    [[nodiscard]] static std::size_t streamed_rows(std::size_t n) noexcept { return n <= 2 ? n : 4; }
    [[nodiscard]] static std::size_t panel_tiles(bool) noexcept { return 1; }
    [[nodiscard]] static std::size_t streamed_tiles(bool, std::size_t) noexcept { return 1; }
    [[nodiscard]] static std::size_t panel_rows(std::size_t) noexcept { return 4; }

    static void unpack_row(std::uint8_t const* packed, std::size_t k, std::int8_t* codes) noexcept {
        int4_unpack_row(packed, k, codes);
    }

    /// corrections[r, g] = -8 times the sum of a group of codes of a row.
    static void row_sums(std::int8_t const* rows, std::size_t stride, std::size_t n_rows, std::size_t k,
                         std::size_t group, std::int32_t* corrections) noexcept {
        for (std::size_t r = 0; r < n_rows; ++r, rows += stride)
            for (std::size_t begin = 0; begin < k; begin += group) {
                int32x4_t sum = vdupq_n_s32(0);
                std::size_t i = 0;
                for (; i + 16 <= group; i += 16)
                    sum = vpadalq_s16(sum, vpaddlq_s8(vld1q_s8(rows + begin + i)));
                std::int32_t total = vaddvq_s32(sum);
                for (; i < group; ++i) total += rows[begin + i];
                *corrections++ = -8 * total;
            }
    }

    static void unpack(std::uint8_t const* lines, std::size_t, std::size_t, std::size_t n_steps,
                       std::uint8_t* panel) noexcept {
        uint8x16_t const low = vdupq_n_u8(15);
        for (std::size_t s = 0; s < n_steps; ++s, lines += 64, panel += 128)
            for (std::size_t h = 0; h < 64; h += 16) {
                uint8x16_t const line = vld1q_u8(lines + h);
                vst1q_u8(panel + h, vandq_u8(line, low));
                vst1q_u8(panel + 64 + h, vshrq_n_u8(line, 4));
            }
    }

    /// Four sums to floats: the expressions of int4_gemm_scalar.
    COMMUTANT_INLINE static float32x4_t finished(int4_gemm_job const& job, std::int32_t const* c,
                                                 std::size_t m, std::size_t n, float32x4_t addend) noexcept {
        int4_weights_view const& w = job.weights;
        if (w.per_channel) {
            // A column's sum is low + 256 high, in 16 bits each.
            int32x4_t const pairs = vreinterpretq_s32_s16(vld1q_s16(w.column_sums + 2 * n));
            int32x4_t const low = vshrq_n_s32(vshlq_n_s32(pairs, 16), 16), high = vshrq_n_s32(pairs, 16);
            int32x4_t const column_sums = vaddq_s32(low, vshlq_n_s32(high, 8));
            int32x4_t const sum = vmlsq_s32(vld1q_s32(c), column_sums, vdupq_n_s32(job.zero_point(m)));
            return vfmaq_f32(addend, vcvtq_f32_s32(sum),
                             vmulq_f32(vdupq_n_f32(job.scale(m)), vld1q_f32(w.scales + n)));
        }
        float32x4_t const sum = vfmaq_f32(vld1q_f32(reinterpret_cast<float const*>(c)),
                                          vdupq_n_f32(-static_cast<float>(job.zero_point(m))),
                                          vld1q_f32(w.scaled_column_sums + n));
        return vfmaq_f32(addend, sum, vdupq_n_f32(job.scale(m)));
    }

    static void finish(int4_gemm_job const& job, std::int32_t const* sums, std::size_t m, std::size_t n_rows,
                       std::size_t tile, std::size_t) noexcept {
        for (std::size_t r = 0; r < n_rows; ++r, ++m, sums += int4_gemm_job::panel_columns)
            for (std::size_t h = 0; h < 16; h += 4) {
                std::size_t const n = tile * int4_weights_view::tile_columns + h;
                if (n >= job.weights.out_features) break;
                std::size_t const left = std::min<std::size_t>(4, job.weights.out_features - n);
                float residual[4] = {0.0f, 0.0f, 0.0f, 0.0f}, bias[4] = {0.0f, 0.0f, 0.0f, 0.0f}, y[4];
                if (job.residual != nullptr)
                    std::memcpy(residual, job.residual + m * job.residual_stride + n, left * sizeof(float));
                float32x4_t addend = vld1q_f32(residual);
                if (job.bias != nullptr) {
                    std::memcpy(bias, job.bias + n, left * sizeof(float));
                    addend = vfmaq_f32(addend, vdupq_n_f32(job.bias_scale(m)), vld1q_f32(bias));
                }
                vst1q_f32(y, finished(job, sums + h, m, n, addend));
                std::memcpy(job.y + m * job.y_stride + n, y, left * sizeof(float));
            }
    }

    COMMUTANT_INLINE static void begin(bool fresh, int4_tile const& tile, std::size_t r, std::size_t g,
                                       int32x4_t (&sums)[4]) noexcept {
        std::int32_t const* const c = tile.c + r * int4_gemm_job::panel_columns;
        for (std::size_t i = 0; i < 4; ++i)
            sums[i] =
                fresh ? vdupq_n_s32(tile.corrections[r * tile.correction_stride + g]) : vld1q_s32(c + i * 4);
    }
    template <bool Grouped>
    COMMUTANT_INLINE static void end(int4_tile const& tile, std::size_t r, std::size_t g,
                                     int32x4_t const (&sums)[4]) noexcept {
        std::int32_t* const c = tile.c + r * int4_gemm_job::panel_columns;
        for (std::size_t i = 0; i < 4; ++i) {
            if constexpr (Grouped) {
                auto* const f = reinterpret_cast<float*>(c + i * 4);
                float32x4_t const before = vld1q_f32(f);
                vst1q_f32(f, vfmaq_f32(before, vcvtq_f32_s32(sums[i]),
                                       vld1q_f32(tile.scales + g * tile.scale_stride + i * 4)));
            } else {
                vst1q_s32(c + i * 4, sums[i]);
            }
        }
    }

    /// A step's weights in [0, 15]: inputs 0 to 3 of four times four columns, then inputs 4 to 7.
    template <bool Streamed>
    COMMUTANT_INLINE static void load(std::uint8_t const* w, int8x16_t (&low)[4],
                                      int8x16_t (&high)[4]) noexcept {
        for (std::size_t i = 0; i < 4; ++i) {
            uint8x16_t const line = vld1q_u8(w + i * 16);
            low[i] = vreinterpretq_s8_u8(Streamed ? vandq_u8(line, vdupq_n_u8(15)) : line);
            high[i] = vreinterpretq_s8_u8(Streamed ? vshrq_n_u8(line, 4) : vld1q_u8(w + 64 + i * 16));
        }
    }
    COMMUTANT_INLINE static int8x16_t four_codes(std::int8_t const* a) noexcept {
        std::int32_t four = 0;
        std::memcpy(&four, a, 4);
        return vreinterpretq_s8_s32(vdupq_n_s32(four));
    }
};

/// smull and sadalp: products of 16 bits, added in pairs to sums of 32.
struct int4_neon : int4_neon_common {
    COMMUTANT_INLINE static int32x4_t dot(int32x4_t sum, int8x16_t w, int8x16_t codes) noexcept {
        // A column's four products are two neighbouring pairs: a pairwise addition to 16 bits, at most 2 * 15
        // * 128, and one to 32.
        int16x8_t const left = vmull_s8(vget_low_s8(w), vget_low_s8(codes));
        int16x8_t const right = vmull_s8(vget_high_s8(w), vget_high_s8(codes));
        return vpadalq_s16(sum, vpaddq_s16(left, right));
    }

    template <bool Streamed, bool Grouped, std::size_t Rows>
    static void multiply(int4_tile const& tile) noexcept {
        std::int8_t const* a = tile.a;
        std::uint8_t const* w = Streamed ? tile.w : tile.panel;
        for (std::size_t g = 0; g < tile.n_groups; ++g) {
            int32x4_t sums[Rows][4];
            for (std::size_t r = 0; r < Rows; ++r) begin(Grouped || tile.first, tile, r, g, sums[r]);
            for (std::size_t s = 0; s < tile.n_steps; ++s, a += 8, w += Streamed ? 64 : 128) {
                int8x16_t low[4], high[4];
                load<Streamed>(w, low, high);
                for (std::size_t r = 0; r < Rows; ++r) {
                    int8x16_t const first = four_codes(a + r * tile.a_stride);
                    int8x16_t const second = four_codes(a + r * tile.a_stride + 4);
                    for (std::size_t i = 0; i < 4; ++i) {
                        sums[r][i] = dot(sums[r][i], low[i], first);
                        sums[r][i] = dot(sums[r][i], high[i], second);
                    }
                }
            }
            for (std::size_t r = 0; r < Rows; ++r) end<Grouped>(tile, r, g, sums[r]);
        }
    }

    template <bool Grouped>
    [[nodiscard]] static int4_tile_function* with_rows(int4_source source, std::size_t rows) noexcept {
        if (source == int4_source::panel) return &multiply<false, Grouped, 4>;
        if (rows == 1) return &multiply<true, Grouped, 1>;
        return rows == 2 ? &multiply<true, Grouped, 2> : &multiply<true, Grouped, 4>;
    }
    [[nodiscard]] static int4_tile_function* tile(int4_source source, bool grouped, std::size_t rows,
                                                  std::size_t) noexcept {
        return grouped ? with_rows<true>(source, rows) : with_rows<false>(source, rows);
    }
};

/// sdot: weights in [0, 15] are signed bytes too.
struct int4_neon_dotprod : int4_neon_common {
    template <bool Streamed, bool Grouped, std::size_t Rows>
    COMMUTANT_TARGET_NEON_DOTPROD static void multiply(int4_tile const& tile) noexcept {
        std::int8_t const* a = tile.a;
        std::uint8_t const* w = Streamed ? tile.w : tile.panel;
        for (std::size_t g = 0; g < tile.n_groups; ++g) {
            int32x4_t sums[Rows][4];
            for (std::size_t r = 0; r < Rows; ++r) begin(Grouped || tile.first, tile, r, g, sums[r]);
            for (std::size_t s = 0; s < tile.n_steps; ++s, a += 8, w += Streamed ? 64 : 128) {
                int8x16_t low[4], high[4];
                load<Streamed>(w, low, high);
                for (std::size_t r = 0; r < Rows; ++r) {
                    int8x16_t const first = four_codes(a + r * tile.a_stride);
                    int8x16_t const second = four_codes(a + r * tile.a_stride + 4);
                    for (std::size_t i = 0; i < 4; ++i) {
                        sums[r][i] = vdotq_s32(sums[r][i], low[i], first);
                        sums[r][i] = vdotq_s32(sums[r][i], high[i], second);
                    }
                }
            }
            for (std::size_t r = 0; r < Rows; ++r) end<Grouped>(tile, r, g, sums[r]);
        }
    }

    template <bool Grouped>
    [[nodiscard]] static int4_tile_function* with_rows(int4_source source, std::size_t rows) noexcept {
        if (source == int4_source::panel) return &multiply<false, Grouped, 4>;
        if (rows == 1) return &multiply<true, Grouped, 1>;
        return rows == 2 ? &multiply<true, Grouped, 2> : &multiply<true, Grouped, 4>;
    }
    [[nodiscard]] static int4_tile_function* tile(int4_source source, bool grouped, std::size_t rows,
                                                  std::size_t) noexcept {
        return grouped ? with_rows<true>(source, rows) : with_rows<false>(source, rows);
    }
};

}  // namespace commutant::kernels::detail

#endif
