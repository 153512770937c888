// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "commutant/kernels/isa.hpp"

#if defined(COMMUTANT_KERNELS_X86)

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "commutant/kernels/detail/int4_gemm_avx512.hpp"
#include "commutant/kernels/detail/int4_gemm_driver.hpp"

namespace commutant::kernels::detail {

/// vpdpbusd on registers of 16 columns: weights are the unsigned operand, four activations the broadcast one.
///
/// Every tile splits its lines into nibbles in registers: masks and shifts have ports of their own beside those of the
/// dots, and half the bytes come from cache. So there is no unpacked panel, and inputs need no blocks.
struct int4_avx512_vnni : int4_avx512 {
    /// Rows and column tiles of a tile.
    static constexpr std::size_t most_rows = 6, grouped_rows = 3, most_tiles = 4;
    /// Rows, at most, that pass over all columns before the next ones do: few enough to stay in the second cache.
    static constexpr std::size_t block_rows = 144;
    /// Up to so many rows wait for memory, and ask for the lines of a later step. More rows ask for the lines of the next panel,
    /// two in a step at most, and have two row tiles or more to do so.
    static constexpr std::size_t waiting_rows = 9, waiting_grouped_rows = 5;
    /// Steps from the lines that are read to those that are asked for, where rows wait. Zen 5 reads from DRAM at the rate of
    /// plain loads with 32; Zen 4 reads 1.2 to 1.3 times as fast with 6 as with 32, at 1 to 4 rows.
    [[nodiscard]] static std::size_t steps_ahead() noexcept {
        static std::size_t const steps = is_amd_family_19h() ? 6 : 32;
        return steps;
    }

    [[nodiscard]] static std::size_t rows_in_place(std::size_t n) noexcept { return n; }

    /// Some columns and a block of rows: what its tiles have in common.
    struct panel {
        int4_gemm_job const* job;
        std::size_t copied_from;  ///< rows from here on are read from their copies
        std::size_t first_tile;   ///< column tile of 16
        std::uint8_t const* lines;
        std::size_t line_stride;  ///< bytes between the lines of neighbouring column tiles
        std::size_t n_groups;
        std::size_t n_steps;        ///< in a group
        std::size_t distance;       ///< bytes from lines to those that rows which wait ask for
        std::size_t turn;           ///< the last steps of a column tile, that ask for lines of the next panel
        std::int32_t* sums;         ///< rows of panel_columns, for those that are finished apart
        bool direct;                ///< finished in registers
        bool by_row;                ///< rows differ in scales or zero points
        std::uint8_t const* ahead;  ///< lines of the next panel: to be asked for
        std::size_t ahead_step;     ///< bytes of them in a step
        std::int8_t const* rows_ahead;  ///< codes of the next tile's rows: to be asked for
        std::array<column_factors, most_rows> factors;
    };

    static void run(int4_gemm_job const& job, int4_gemm_part const& part) noexcept {
        if (part.what == int4_gemm_part::stage::preparation)
            return int4_gemm_driver<int4_avx512_vnni>::prepare(job, part);
        int4_weights_view const& w = job.weights;
        std::size_t const n_rows = part.end_row - part.begin_row,
                          most = w.per_channel ? most_rows : grouped_rows;
        std::size_t const n_blocks = (n_rows + block_rows - 1) / block_rows;
        std::size_t const block = (n_rows + n_blocks - 1) / n_blocks;
        panel p{};
        p.job = &job;
        p.copied_from = int4_gemm_driver<int4_avx512_vnni>::first_copy(job);
        p.line_stride = w.n_steps() * w.line_bytes;
        p.n_groups = w.n_groups();
        p.n_steps = w.n_steps() / p.n_groups;
        p.distance = 64 * steps_ahead();
        p.turn = w.n_steps() < 2 * steps_ahead() ? 0 : steps_ahead();
        p.sums = reinterpret_cast<std::int32_t*>(part.scratch);
        p.by_row = job.scale_step != 0 || job.zero_point_step != 0;
        for (std::size_t top = part.begin_row; top < part.end_row; top += block) {
            std::size_t const rows = std::min(block, part.end_row - top);
            // Tiles of nearly equal height, the higher ones first.
            std::size_t const n_row_tiles = (rows + most - 1) / most;
            std::size_t const height = rows / n_row_tiles, n_higher = rows % n_row_tiles;
            bool const waits = rows <= (w.per_channel ? waiting_rows : waiting_grouped_rows);
            std::size_t tiles = 0;
            for (std::size_t t = part.begin_tile; t < part.end_tile; t += tiles) {
                tiles = tiles_at(t, part.end_tile);
                p.first_tile = t;
                p.lines = w.lines + t * p.line_stride;
                p.direct = finishes_whole(job, t, tiles);
                if (p.direct && !p.by_row) set_factors(job, top, t, tiles, p.factors[0]);
                // The next columns' lines, or the first ones' for the next rows, spread over these tiles.
                bool const is_last = t + tiles == part.end_tile;
                bool const is_end = is_last && top + rows == part.end_row;
                std::size_t const next = is_last ? part.begin_tile : t + tiles;
                p.ahead = is_end ? p.lines : w.lines + next * p.line_stride;
                p.ahead_step =
                    is_end ? 0
                           : (tiles_at(next, part.end_tile) * w.line_bytes + n_row_tiles - 1) / n_row_tiles;
                if (n_higher != 0) function(w.per_channel, waits, height + 1, tiles)(p, top, n_higher);
                function(w.per_channel, waits, height, tiles)(p, top + n_higher * (height + 1),
                                                              n_row_tiles - n_higher);
            }
        }
    }

    /// Column tiles of the panel that begins at one of them.
    [[nodiscard]] static std::size_t tiles_at(std::size_t tile, std::size_t end) noexcept {
        std::size_t const tiles = std::min(most_tiles, end - tile);
        return tiles == 3 ? 2 : tiles;
    }

    /// Dots of four inputs. In assembly, as a sum then stays in its register: GCC moved some of them to another one, with
    /// groups in every step.
    template <std::size_t Rows, std::size_t Tiles>
    COMMUTANT_TARGET_AVX512_VNNI COMMUTANT_INLINE static void add(__m512i (&sums)[Rows][Tiles],
                                                                  __m512i const (&w)[Tiles],
                                                                  std::int8_t const* a,
                                                                  std::size_t stride) noexcept {
        // Rows from 3 on have their own pointer, so that every address has its one or two strides in itself.
        std::int8_t const* const middle = a + (Rows > 3 ? 3 * stride : 0);
#pragma GCC unroll 8
        for (std::size_t r = 0; r < Rows; ++r) {
            std::int32_t four = 0;
            std::memcpy(&four, (r < 3 ? a : middle) + r % 3 * stride, 4);
            __m512i const codes = _mm512_set1_epi32(four);
#pragma GCC unroll 8
            for (std::size_t t = 0; t < Tiles; ++t)
                __asm__("vpdpbusd\t{%2, %1, %0|%0, %1, %2}" : "+v"(sums[r][t]) : "v"(w[t]), "v"(codes));
        }
    }

    /// Whether a step's halves go to sums of their own: few of them would make each dot wait for the one before.
    template <std::size_t Rows, std::size_t Tiles> static constexpr bool by_two = Rows* Tiles <= 8;

    /// A step of 8 inputs.
    /// distance    bytes in front of the lines to ask for
    template <bool Waits, std::size_t Rows, std::size_t Tiles>
    COMMUTANT_TARGET_AVX512_VNNI COMMUTANT_INLINE static void add_step(
        __m512i (&sums)[Rows][Tiles], __m512i (&others)[Rows][Tiles], std::uint8_t const* lines,
        std::size_t line_stride, std::size_t distance, std::int8_t const* a, std::size_t a_stride) noexcept {
        __m512i const mask = _mm512_set1_epi8(15);
        __m512i w[Tiles];
#pragma GCC unroll 8
        for (std::size_t t = 0; t < Tiles; ++t) {
            std::uint8_t const* const line = lines + t * line_stride;
            w[t] = _mm512_and_si512(_mm512_load_si512(line), mask);
            if constexpr (Waits) _mm_prefetch(line + distance, _MM_HINT_T0);
        }
        add(sums, w, a, a_stride);
        // Loaded again: there are no registers to keep the lines in.
        __asm__("" : "+r"(lines));
#pragma GCC unroll 8
        for (std::size_t t = 0; t < Tiles; ++t)
            w[t] = _mm512_and_si512(_mm512_srli_epi16(_mm512_load_si512(lines + t * line_stride), 4), mask);
        if constexpr (by_two<Rows, Tiles>) {
            add(others, w, a + 4, a_stride);
        } else {
            add(sums, w, a + 4, a_stride);
        }
    }

    /// All steps of a group.
    /// behind    steps of the groups behind it
    template <bool Waits, std::size_t Rows, std::size_t Tiles>
    COMMUTANT_TARGET_AVX512_VNNI COMMUTANT_INLINE static void add_group(__m512i (&sums)[Rows][Tiles],
                                                                        panel& p, std::int8_t const* a,
                                                                        std::size_t a_stride,
                                                                        std::uint8_t const* lines,
                                                                        std::size_t behind) noexcept {
        __m512i others[Rows][Tiles];
#pragma GCC unroll 8
        for (std::size_t r = 0; r < Rows; ++r)
#pragma GCC unroll 8
            for (std::size_t t = 0; t < Tiles; ++t) others[r][t] = _mm512_setzero_si512();
        std::uint8_t const* ahead = p.ahead;
        std::int8_t const* rows_ahead = p.rows_ahead;
        std::size_t const turn = Waits ? p.turn : 0;
        for (std::size_t left = p.n_steps; left != 0;) {
            // The last steps ask for the first lines of the next panel's tiles, which begin as many tiles further on.
            bool const is_end = left + behind <= turn;
            std::size_t const until = !is_end && behind < turn ? turn - behind : 0;
            std::size_t const distance = p.distance + (is_end ? (Tiles - 1) * p.line_stride : 0);
            for (; left != until; --left, lines += 64, a += 8) {
                if constexpr (!Waits) {
                    _mm_prefetch(ahead, _MM_HINT_T1);
                    _mm_prefetch(ahead + 64, _MM_HINT_T1);
                    _mm_prefetch(rows_ahead, _MM_HINT_T0);
                    ahead += p.ahead_step, rows_ahead += 8 * Rows;
                }
                add_step<Waits>(sums, others, lines, p.line_stride, distance, a, a_stride);
            }
        }
        p.ahead = ahead, p.rows_ahead = rows_ahead;
        if constexpr (by_two<Rows, Tiles>)
#pragma GCC unroll 8
            for (std::size_t r = 0; r < Rows; ++r)
#pragma GCC unroll 8
                for (std::size_t t = 0; t < Tiles; ++t)
                    sums[r][t] = _mm512_add_epi32(sums[r][t], others[r][t]);
    }

    /// Row tiles of one height, from row m on.
    template <bool Waits, std::size_t Rows, std::size_t Tiles>
    COMMUTANT_TARGET_AVX512_VNNI static void multiply(panel& p, std::size_t m,
                                                      std::size_t n_row_tiles) noexcept {
        int4_gemm_job const& job = *p.job;
        rows_of const at(p, m);
        for (std::size_t i = 0; i < n_row_tiles; ++i, m += Rows) {
            if (p.direct && p.by_row)
                for (std::size_t r = 0; r < Rows; ++r)
                    set_factors(job, m + r, p.first_tile, Tiles, p.factors[r]);
            __m512i sums[Rows][Tiles];
#pragma GCC unroll 8
            for (std::size_t r = 0; r < Rows; ++r)
#pragma GCC unroll 8
                for (std::size_t t = 0; t < Tiles; ++t)
                    sums[r][t] = _mm512_set1_epi32(job.corrections[m + r]);
            std::int8_t const* const a = at.codes + i * Rows * at.stride;
            p.rows_ahead = a + Rows * at.stride;
            add_group<Waits>(sums, p, a, at.stride, p.lines, 0);
            if (p.direct) {
                float* const y = job.y + m * job.y_stride + p.first_tile * 16;
                std::size_t const y_stride = job.y_stride, by_row = p.by_row ? 1 : 0;
#pragma GCC unroll 8
                for (std::size_t r = 0; r < Rows; ++r)
#pragma GCC unroll 8
                    for (std::size_t t = 0; t < Tiles; ++t)
                        _mm512_storeu_ps(y + r * y_stride + t * 16,
                                         scaled(sums[r][t], p.factors[r * by_row], t * 16));
            } else {
#pragma GCC unroll 8
                for (std::size_t r = 0; r < Rows; ++r)
#pragma GCC unroll 8
                    for (std::size_t t = 0; t < Tiles; ++t)
                        _mm512_store_si512(p.sums + r * int4_gemm_job::panel_columns + t * 16, sums[r][t]);
                finish(job, p.sums, m, Rows, p.first_tile, Tiles);
            }
        }
    }

    /// The same with groups, whose floats stay in registers too: with half as many sums there is room for both, and a group's
    /// end is a conversion beside the dots and a multiplication for each sum, without loads and stores.
    template <bool Waits, std::size_t Rows, std::size_t Tiles>
    COMMUTANT_TARGET_AVX512_VNNI static void multiply_groups(panel& p, std::size_t m,
                                                             std::size_t n_row_tiles) noexcept {
        int4_gemm_job const& job = *p.job;
        rows_of const at(p, m);
        for (std::size_t i = 0; i < n_row_tiles; ++i, m += Rows) {
            __m512 totals[Rows][Tiles];
#pragma GCC unroll 8
            for (std::size_t r = 0; r < Rows; ++r)
#pragma GCC unroll 8
                for (std::size_t t = 0; t < Tiles; ++t) totals[r][t] = _mm512_setzero_ps();
            std::int8_t const* a = at.codes + i * Rows * at.stride;
            p.rows_ahead = a + Rows * at.stride;
            std::uint8_t const* lines = p.lines;
            std::int32_t const* corrections = job.corrections + m * p.n_groups;
            float const* scales = job.weights.scales + p.first_tile * 16;
            for (std::size_t g = 0; g < p.n_groups; ++g) {
                __m512i sums[Rows][Tiles];
#pragma GCC unroll 8
                for (std::size_t r = 0; r < Rows; ++r)
#pragma GCC unroll 8
                    for (std::size_t t = 0; t < Tiles; ++t)
                        sums[r][t] = _mm512_set1_epi32(corrections[r * p.n_groups + g]);
                add_group<Waits>(sums, p, a, at.stride, lines, (p.n_groups - 1 - g) * p.n_steps);
#pragma GCC unroll 8
                for (std::size_t r = 0; r < Rows; ++r)
#pragma GCC unroll 8
                    for (std::size_t t = 0; t < Tiles; ++t)
                        totals[r][t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[r][t]),
                                                       _mm512_load_ps(scales + t * 16), totals[r][t]);
                a += p.n_steps * 8, lines += p.n_steps * 64, scales += job.weights.n_columns_padded();
            }
#pragma GCC unroll 8
            for (std::size_t r = 0; r < Rows; ++r)
#pragma GCC unroll 8
                for (std::size_t t = 0; t < Tiles; ++t)
                    _mm512_store_ps(p.sums + r * int4_gemm_job::panel_columns + t * 16, totals[r][t]);
            finish(job, p.sums, m, Rows, p.first_tile, Tiles);
        }
    }

    /// Where the codes of row m and those behind it are.
    struct rows_of {
        std::size_t stride;
        std::int8_t const* codes;

        rows_of(panel const& p, std::size_t m) noexcept
            : stride(m >= p.copied_from ? p.job->copy_stride() : p.job->row_stride),
              codes(m >= p.copied_from ? p.job->copies + (m - p.copied_from) * stride
                                       : p.job->codes + m * stride) {}
    };

    using tile_function = void(panel&, std::size_t m, std::size_t n_row_tiles) noexcept;

    template <bool Waits, std::size_t Rows>
    static constexpr std::array<tile_function*, 3> with_rows{
        &multiply<Waits, Rows, 1>, &multiply<Waits, Rows, 2>, &multiply<Waits, Rows, 4>};
    template <bool Waits, std::size_t Rows>
    static constexpr std::array<tile_function*, 3> grouped_with_rows{
        &multiply_groups<Waits, Rows, 1>, &multiply_groups<Waits, Rows, 2>, &multiply_groups<Waits, Rows, 4>};
    /// The least heights that more rows than the waiting ones divide into.
    static constexpr std::size_t least_rows = 4, least_grouped_rows = 2;
    [[nodiscard]] static constexpr bool divide_into(std::size_t least, std::size_t most, std::size_t above) {
        for (std::size_t rows = above + 1; rows <= block_rows; ++rows)
            if (std::size_t const n = (rows + most - 1) / most; n < 2 || rows / n < least) return false;
        return true;
    }
    [[nodiscard]] static tile_function* function(bool per_channel, bool waits, std::size_t rows,
                                                 std::size_t tiles) noexcept {
        static_assert(divide_into(least_rows, most_rows, waiting_rows) &&
                      divide_into(least_grouped_rows, grouped_rows, waiting_grouped_rows));
        static constexpr std::array waiting{with_rows<true, 1>, with_rows<true, 2>, with_rows<true, 3>,
                                            with_rows<true, 4>, with_rows<true, 5>, with_rows<true, 6>};
        static constexpr std::array moving{with_rows<false, 4>, with_rows<false, 5>, with_rows<false, 6>};
        static constexpr std::array grouped_waiting{grouped_with_rows<true, 1>, grouped_with_rows<true, 2>,
                                                    grouped_with_rows<true, 3>};
        static constexpr std::array grouped_moving{grouped_with_rows<false, 2>, grouped_with_rows<false, 3>};
        if (per_channel) return waits ? waiting[rows - 1][tiles / 2] : moving[rows - least_rows][tiles / 2];
        return waits ? grouped_waiting[rows - 1][tiles / 2]
                     : grouped_moving[rows - least_grouped_rows][tiles / 2];
    }
};

}  // namespace commutant::kernels::detail

#endif
