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
#include <utility>

#include "commutant/kernels/detail/int4_gemm_avx512.hpp"
#include "commutant/kernels/detail/int4_gemm_driver.hpp"

namespace commutant::kernels::detail {

/// vpdpbusd on registers of 16 columns: weights are the unsigned operand, four activations the broadcast one.
///
/// Every tile splits its lines into nibbles in registers: masks and shifts have ports of their own beside those of the
/// dots, and half the bytes come from cache. So there is no unpacked panel, and inputs need no blocks.
struct int4_avx512_vnni : int4_avx512 {
    static constexpr std::size_t most_rows = 6, most_tiles = 4;

    [[nodiscard]] static std::size_t rows_in_place(std::size_t n) noexcept { return n; }

    /// corrections[g] = -8 times the sum of a group of codes.
    COMMUTANT_TARGET_AVX512_VNNI static void row_sums(std::int8_t const* row, std::size_t k,
                                                      std::size_t group, std::int32_t* corrections) noexcept {
        __m512i const ones = _mm512_set1_epi8(1);
        for (std::size_t begin = 0; begin < k; begin += group, ++corrections) {
            __m512i sum = _mm512_setzero_si512();
            std::size_t i = 0;
            for (; i + 64 <= group; i += 64)
                sum = _mm512_dpbusd_epi32(sum, ones, _mm512_loadu_si512(row + begin + i));
            if (i < group) {
                __mmask64 const rest = ~std::uint64_t{0} >> (64 - (group - i));
                sum = _mm512_dpbusd_epi32(sum, ones, _mm512_maskz_loadu_epi8(rest, row + begin + i));
            }
            *corrections = -8 * _mm512_reduce_add_epi32(sum);
        }
    }

    /// Some columns and a block of rows: what its tiles have in common.
    struct panel {
        int4_gemm_job const* job;
        std::size_t copied_from;  ///< rows from here on are read from their copies
        std::size_t first_tile;   ///< column tile of 16
        std::uint8_t const* lines;
        std::size_t line_stride;  ///< bytes between the lines of neighbouring column tiles
        std::size_t n_groups;
        std::size_t n_steps;  ///< in a group
        std::int32_t* sums;   ///< rows of panel_columns: floats of groups, or sums that are finished apart
        bool direct;          ///< whole columns, one scale each, nothing added: finished in registers
        bool by_row;          ///< rows differ in scales or zero points
        std::uint8_t const* ahead;  ///< the next columns' lines up to ahead_end: to be asked for
        std::uint8_t const* ahead_end;
        std::size_t ahead_step;  ///< bytes of them in a chunk of steps
        std::array<column_factors, most_rows> factors;
    };
    /// Steps between requests for lines ahead.
    static constexpr std::size_t chunk_steps = 4;
    /// Up to so many rows wait for memory: bytes in front of each column tile's lines to ask for.
    static constexpr std::size_t waiting_rows = 4, prefetch_distance = 2048;

    static void run(int4_gemm_job const& job, int4_gemm_part const& part) noexcept {
        if (part.what == int4_gemm_part::stage::prepare)
            return int4_gemm_driver<int4_avx512_vnni>::prepare(job, part);
        int4_weights_view const& w = job.weights;
        std::size_t const block = block_rows(w.in_features);
        panel p{};
        p.job = &job;
        p.copied_from = int4_gemm_driver<int4_avx512_vnni>::first_copy(job);
        p.line_stride = w.n_steps() * w.line_bytes;
        p.n_groups = w.n_groups();
        p.n_steps = w.n_steps() / p.n_groups;
        p.sums = reinterpret_cast<std::int32_t*>(part.scratch);
        p.by_row = job.scale_step != 0 || job.zero_point_step != 0;
        for (std::size_t top = part.begin_row; top < part.end_row; top += block) {
            std::size_t const rows = std::min(block, part.end_row - top);
            // Tiles of nearly equal height, the higher ones first.
            std::size_t const n_row_tiles = (rows + most_rows - 1) / most_rows;
            std::size_t const height = rows / n_row_tiles, n_higher = rows % n_row_tiles;
            std::size_t tiles = 0;
            for (std::size_t t = part.begin_tile; t < part.end_tile; t += tiles) {
                tiles = std::min(most_tiles, part.end_tile - t);
                p.first_tile = t;
                p.lines = w.lines + t * p.line_stride;
                p.direct = finishes_whole(job, t, tiles);
                if (p.direct && !p.by_row) set_factors(job, top, t, tiles, p.factors[0]);
                // Spread over these columns' tiles.
                p.ahead = p.lines + tiles * p.line_stride;
                p.ahead_end = rows <= waiting_rows ? p.ahead : p.ahead + tiles * p.line_stride;
                p.ahead_step = (tiles * chunk_steps + n_row_tiles - 1) / n_row_tiles * w.line_bytes;
                if (n_higher != 0) function(!w.per_channel, height + 1, tiles)(p, top, n_higher);
                function(!w.per_channel, height, tiles)(p, top + n_higher * (height + 1),
                                                        n_row_tiles - n_higher);
            }
        }
    }

    /// Rows that pass over all columns before the next ones do.
    [[nodiscard]] static std::size_t block_rows(std::size_t in_features) noexcept {
        return in_features <= 4096 ? 240 : 480;
    }

    /// Address of row R from pointers to rows 0 and 3: the others are at one or two strides in the address itself.
    template <std::size_t R>
    COMMUTANT_INLINE static std::int8_t const* row(std::int8_t const* const (&a)[2],
                                                   std::size_t stride) noexcept {
        return a[R / 3] + R % 3 * stride;
    }

    template <std::size_t Tiles, std::size_t... T>
    COMMUTANT_TARGET_AVX512_VNNI COMMUTANT_INLINE static void add_row(__m512i (&sums)[Tiles],
                                                                      __m512i const (&w)[Tiles],
                                                                      std::int8_t const* a,
                                                                      std::index_sequence<T...>) noexcept {
        std::int32_t four = 0;
        std::memcpy(&four, a, 4);
        __m512i const codes = _mm512_set1_epi32(four);
        ((sums[T] = _mm512_dpbusd_epi32(sums[T], w[T], codes)), ...);
    }
    template <std::size_t Rows, std::size_t Tiles, std::size_t... R>
    COMMUTANT_TARGET_AVX512_VNNI COMMUTANT_INLINE static void add_rows(__m512i (&sums)[Rows][Tiles],
                                                                       __m512i const (&w)[Tiles],
                                                                       std::int8_t const* const (&a)[2],
                                                                       std::size_t stride, std::size_t offset,
                                                                       std::index_sequence<R...>) noexcept {
        (add_row(sums[R], w, row<R>(a, stride) + offset, std::make_index_sequence<Tiles>{}), ...);
    }

    template <bool Waits, std::size_t Tiles, std::size_t... T>
    COMMUTANT_TARGET_AVX512_VNNI COMMUTANT_INLINE static void load_low(__m512i (&w)[Tiles],
                                                                       std::uint8_t const* lines,
                                                                       std::size_t stride,
                                                                       std::index_sequence<T...>) noexcept {
        __m512i const mask = _mm512_set1_epi8(15);
        ((w[T] = _mm512_and_si512(_mm512_load_si512(lines + T * stride), mask)), ...);
        if constexpr (Waits)
            (_mm_prefetch(reinterpret_cast<char const*>(lines + T * stride + prefetch_distance), _MM_HINT_T0),
             ...);
    }
    template <std::size_t Tiles, std::size_t... T>
    COMMUTANT_TARGET_AVX512_VNNI COMMUTANT_INLINE static void load_high(__m512i (&w)[Tiles],
                                                                        std::uint8_t const* lines,
                                                                        std::size_t stride,
                                                                        std::index_sequence<T...>) noexcept {
        __m512i const mask = _mm512_set1_epi8(15);
        ((w[T] = _mm512_and_si512(_mm512_srli_epi16(_mm512_load_si512(lines + T * stride), 4), mask)), ...);
    }

    template <std::size_t Tiles, std::size_t... T>
    COMMUTANT_TARGET_AVX512_VNNI COMMUTANT_INLINE static void set_row(__m512i (&sums)[Tiles],
                                                                      std::int32_t value,
                                                                      std::index_sequence<T...>) noexcept {
        ((sums[T] = _mm512_set1_epi32(value)), ...);
    }
    template <std::size_t Rows, std::size_t Tiles, std::size_t... R>
    COMMUTANT_TARGET_AVX512_VNNI COMMUTANT_INLINE static void set_rows(__m512i (&sums)[Rows][Tiles],
                                                                       std::int32_t const* values,
                                                                       std::size_t stride,
                                                                       std::index_sequence<R...>) noexcept {
        (set_row(sums[R], values[R * stride], std::make_index_sequence<Tiles>{}), ...);
    }

    template <std::size_t Rows, std::size_t Tiles, std::size_t... R>
    COMMUTANT_TARGET_AVX512_VNNI COMMUTANT_INLINE static void clear_rows(__m512i (&sums)[Rows][Tiles],
                                                                         std::index_sequence<R...>) noexcept {
        (set_row(sums[R], 0, std::make_index_sequence<Tiles>{}), ...);
    }
    template <std::size_t Tiles, std::size_t... T>
    COMMUTANT_TARGET_AVX512_VNNI COMMUTANT_INLINE static void join_row(__m512i (&sums)[Tiles],
                                                                       __m512i const (&others)[Tiles],
                                                                       std::index_sequence<T...>) noexcept {
        ((sums[T] = _mm512_add_epi32(sums[T], others[T])), ...);
    }
    template <std::size_t Rows, std::size_t Tiles, std::size_t... R>
    COMMUTANT_TARGET_AVX512_VNNI COMMUTANT_INLINE static void join_rows(__m512i (&sums)[Rows][Tiles],
                                                                        __m512i const (&others)[Rows][Tiles],
                                                                        std::index_sequence<R...>) noexcept {
        (join_row(sums[R], others[R], std::make_index_sequence<Tiles>{}), ...);
    }

    COMMUTANT_TARGET_AVX512_VNNI COMMUTANT_INLINE static void add_scaled(std::int32_t* c, __m512i sum,
                                                                         float const* scales) noexcept {
        // Apart from the loop's sums, or GCC keeps those in memory.
        __asm__ volatile("" : "+v"(sum));
        _mm512_storeu_ps(
            c, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_load_ps(scales), _mm512_loadu_ps(c)));
    }
    template <std::size_t Tiles, std::size_t... T>
    COMMUTANT_TARGET_AVX512_VNNI COMMUTANT_INLINE static void add_scaled_row(
        __m512i const (&sums)[Tiles], std::int32_t* c, float const* scales,
        std::index_sequence<T...>) noexcept {
        (add_scaled(c + T * 16, sums[T], scales + T * 16), ...);
    }
    template <std::size_t Rows, std::size_t Tiles, std::size_t... R>
    COMMUTANT_TARGET_AVX512_VNNI COMMUTANT_INLINE static void add_scaled_rows(
        __m512i const (&sums)[Rows][Tiles], std::int32_t* c, float const* scales,
        std::index_sequence<R...>) noexcept {
        (add_scaled_row(sums[R], c + R * int4_gemm_job::panel_columns, scales,
                        std::make_index_sequence<Tiles>{}),
         ...);
    }

    template <std::size_t Tiles, std::size_t... T>
    COMMUTANT_TARGET_AVX512_VNNI COMMUTANT_INLINE static void store_row(__m512i const (&sums)[Tiles],
                                                                        std::int32_t* c,
                                                                        std::index_sequence<T...>) noexcept {
        (_mm512_storeu_si512(c + T * 16, sums[T]), ...);
    }
    template <std::size_t Rows, std::size_t Tiles, std::size_t... R>
    COMMUTANT_TARGET_AVX512_VNNI COMMUTANT_INLINE static void store_rows(__m512i const (&sums)[Rows][Tiles],
                                                                         std::int32_t* c,
                                                                         std::index_sequence<R...>) noexcept {
        (store_row(sums[R], c + R * int4_gemm_job::panel_columns, std::make_index_sequence<Tiles>{}), ...);
    }

    template <std::size_t Tiles, std::size_t... T>
    COMMUTANT_TARGET_AVX512_VNNI COMMUTANT_INLINE static void finish_row(__m512i const (&sums)[Tiles],
                                                                         column_factors const& f, float* y,
                                                                         std::index_sequence<T...>) noexcept {
        (_mm512_storeu_ps(y + T * 16, scaled(sums[T], f, T * 16)), ...);
    }
    template <std::size_t Rows, std::size_t Tiles, std::size_t... R>
    COMMUTANT_TARGET_AVX512_VNNI COMMUTANT_INLINE static void finish_rows(
        __m512i const (&sums)[Rows][Tiles], column_factors const* f, std::size_t f_stride, float* y,
        std::size_t y_stride, std::index_sequence<R...>) noexcept {
        (finish_row(sums[R], f[R * f_stride], y + R * y_stride, std::make_index_sequence<Tiles>{}), ...);
    }

    /// The inner loop: all steps of a group. Few sums go by two, or each dot would wait for the one before.
    template <std::size_t Rows, std::size_t Tiles>
    COMMUTANT_TARGET_AVX512_VNNI COMMUTANT_INLINE static void add_steps(__m512i (&sums)[Rows][Tiles],
                                                                        panel& p, std::int8_t const* (&a)[2],
                                                                        std::size_t a_stride,
                                                                        std::uint8_t const*& lines) noexcept {
        constexpr auto rows = std::make_index_sequence<Rows>{};
        constexpr auto tiles = std::make_index_sequence<Tiles>{};
        constexpr bool by_two = Rows * Tiles <= 8;
        std::size_t const line_stride = p.line_stride;
        __m512i others[Rows][Tiles];
        if constexpr (by_two) clear_rows(others, rows);
        for (std::size_t left = p.n_steps; left != 0;) {
            std::uint8_t const* const asked = std::min(p.ahead + p.ahead_step, p.ahead_end);
            for (; p.ahead < asked; p.ahead += 64)
                _mm_prefetch(reinterpret_cast<char const*>(p.ahead), _MM_HINT_T1);
            std::size_t const n = std::min(left, chunk_steps);
            left -= n;
            for (std::size_t s = 0; s < n; ++s) {
                __m512i w[Tiles];
                load_low<(Rows <= waiting_rows)>(w, lines, line_stride, tiles);
                add_rows(sums, w, a, a_stride, 0, rows);
                load_high(w, lines, line_stride, tiles);
                add_rows(by_two ? others : sums, w, a, a_stride, 4, rows);
                lines += 64;
                a[0] += 8, a[1] += 8;
            }
        }
        if constexpr (by_two) join_rows(sums, others, rows);
    }

    /// Row tiles of one height, from row m on.
    template <bool Grouped, std::size_t Rows, std::size_t Tiles>
    COMMUTANT_TARGET_AVX512_VNNI static void multiply(panel& p, std::size_t m,
                                                      std::size_t n_row_tiles) noexcept {
        constexpr auto rows = std::make_index_sequence<Rows>{};
        int4_gemm_job const& job = *p.job;
        bool const copied = m >= p.copied_from;
        std::size_t const stride = copied ? job.copy_stride() : job.row_stride;
        std::int8_t const* top = copied ? job.copies + (m - p.copied_from) * stride : job.codes + m * stride;
        std::int32_t const* corrections = job.corrections + m * p.n_groups;
        for (std::size_t i = 0; i < n_row_tiles;
             ++i, m += Rows, top += Rows * stride, corrections += Rows * p.n_groups) {
            std::int8_t const* a[2] = {top, top + 3 * stride};
            std::uint8_t const* lines = p.lines;
            if constexpr (Grouped) {
                std::memset(p.sums, 0, Rows * int4_gemm_job::panel_columns * sizeof(float));
                float const* scales = job.weights.scales + p.first_tile * 16;
                for (std::size_t g = 0; g < p.n_groups; ++g, scales += job.weights.n_columns_padded()) {
                    __m512i sums[Rows][Tiles];
                    set_rows(sums, corrections + g, p.n_groups, rows);
                    add_steps(sums, p, a, stride, lines);
                    add_scaled_rows(sums, p.sums, scales, rows);
                }
                finish(job, p.sums, m, Rows, p.first_tile, Tiles);
            } else {
                if (p.direct && p.by_row)
                    for (std::size_t r = 0; r < Rows; ++r)
                        set_factors(job, m + r, p.first_tile, Tiles, p.factors[r]);
                __m512i sums[Rows][Tiles];
                set_rows(sums, corrections, 1, rows);
                add_steps(sums, p, a, stride, lines);
                if (p.direct) {
                    finish_rows(sums, p.factors.data(), p.by_row ? 1 : 0,
                                job.y + m * job.y_stride + p.first_tile * 16, job.y_stride, rows);
                } else {
                    store_rows(sums, p.sums, rows);
                    finish(job, p.sums, m, Rows, p.first_tile, Tiles);
                }
            }
        }
    }

    using tile_function = void(panel&, std::size_t m, std::size_t n_row_tiles) noexcept;

    template <bool Grouped, std::size_t Rows>
    static constexpr std::array<tile_function*, most_tiles> with_rows{
        &multiply<Grouped, Rows, 1>, &multiply<Grouped, Rows, 2>, &multiply<Grouped, Rows, 3>,
        &multiply<Grouped, Rows, 4>};
    template <bool Grouped>
    [[nodiscard]] static tile_function* with_groups(std::size_t rows, std::size_t tiles) noexcept {
        static constexpr std::array all{&with_rows<Grouped, 1>, &with_rows<Grouped, 2>,
                                        &with_rows<Grouped, 3>, &with_rows<Grouped, 4>,
                                        &with_rows<Grouped, 5>, &with_rows<Grouped, 6>};
        return (*all[rows - 1])[tiles - 1];
    }
    [[nodiscard]] static tile_function* function(bool grouped, std::size_t rows, std::size_t tiles) noexcept {
        return grouped ? with_groups<true>(rows, tiles) : with_groups<false>(rows, tiles);
    }
};

}  // namespace commutant::kernels::detail

#endif
