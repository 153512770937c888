// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "commutant/kernels/isa.hpp"

#if defined(COMMUTANT_KERNELS_X86)

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "commutant/kernels/detail/int4_gemm_avx512.hpp"
#include "commutant/kernels/detail/int4_gemm_driver.hpp"

namespace commutant::kernels::detail {

/// vpdpbusd on registers of 16 columns: weights are the unsigned operand, four activations the broadcast one.
struct int4_avx512_vnni : int4_avx512 {
    static constexpr std::size_t max_streamed_rows = 24;
    static constexpr std::size_t block_inputs = 2048;
    static constexpr std::size_t block_rows = 480;
    static constexpr std::size_t main_rows = 6;
    static constexpr bool unpacks_in_tiles = true;
    [[nodiscard]] static std::size_t unpacking_rows(std::size_t) noexcept { return main_rows; }

    [[nodiscard]] static bool copies(int4_gemm_job const&) noexcept { return false; }

    [[nodiscard]] static std::size_t streamed_rows(std::size_t n) noexcept {
        if (n <= 2) return n;
        if (n <= 4) return 4;
        if (n <= 6) return 6;
        if (n <= 8) return 8;
        if (n <= 12) return 12;
        return n <= 16 ? 8 : 12;
    }
    [[nodiscard]] static std::size_t streamed_tiles(bool, std::size_t rows) noexcept {
        return rows <= 6 ? 4 : 2;
    }
    [[nodiscard]] static std::size_t panel_tiles(bool) noexcept { return 4; }

    /// Rows of the next tile: sixes, and at the end fours where they fit better.
    [[nodiscard]] static std::size_t panel_rows(std::size_t left) noexcept {
        return left <= 4 || left == 7 || left == 8 ? 4 : 6;
    }

    using row_index = std::make_index_sequence<12>;

    /// Address of row R from pointers to every third row: the others are at one or two strides in the address
    /// itself.
    template <std::size_t R>
    COMMUTANT_INLINE static std::int8_t const* row(std::int8_t const* const (&a)[4],
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
                                                                       std::int8_t const* const (&a)[4],
                                                                       std::size_t stride, std::size_t offset,
                                                                       std::index_sequence<R...>) noexcept {
        (add_row(sums[R], w, row<R>(a, stride) + offset, std::make_index_sequence<Tiles>{}), ...);
    }

    template <std::size_t Tiles, std::size_t... T>
    COMMUTANT_TARGET_AVX512_VNNI COMMUTANT_INLINE static void load_panel(__m512i (&w)[Tiles],
                                                                         std::uint8_t const* p,
                                                                         std::index_sequence<T...>) noexcept {
        ((w[T] = _mm512_load_si512(p + T * 64)), ...);
        // The panel streams from the second cache, faster than the hardware's own look ahead.
        (_mm_prefetch(reinterpret_cast<char const*>(p + 1024 + T * 64), _MM_HINT_T0), ...);
    }
    template <std::size_t Tiles, std::size_t... T>
    COMMUTANT_TARGET_AVX512_VNNI COMMUTANT_INLINE static void load_lines(__m512i (&low)[Tiles],
                                                                         __m512i (&high)[Tiles],
                                                                         std::uint8_t const* p,
                                                                         std::size_t stride,
                                                                         std::index_sequence<T...>) noexcept {
        __m512i const mask = _mm512_set1_epi8(15);
        ((high[T] = _mm512_load_si512(p + T * stride)), ...);
        ((low[T] = _mm512_and_si512(high[T], mask)), ...);
        ((high[T] = _mm512_and_si512(_mm512_srli_epi16(high[T], 4), mask)), ...);
    }

    template <std::size_t... T>
    COMMUTANT_TARGET_AVX512_VNNI COMMUTANT_INLINE static void prefetch_lines(
        std::uint8_t const* p, std::index_sequence<T...>) noexcept {
        (_mm_prefetch(reinterpret_cast<char const*>(p + T * 64), _MM_HINT_T1), ...);
    }

    template <bool Fresh, std::size_t Tiles, std::size_t... T>
    COMMUTANT_TARGET_AVX512_VNNI COMMUTANT_INLINE static void begin_row(__m512i (&sums)[Tiles],
                                                                        int4_tile const& tile, std::size_t r,
                                                                        std::size_t g,
                                                                        std::index_sequence<T...>) noexcept {
        if (Fresh || tile.first) {
            __m512i const correction = _mm512_set1_epi32(tile.corrections[r * tile.correction_stride + g]);
            ((sums[T] = correction), ...);
        } else {
            ((sums[T] = _mm512_loadu_si512(tile.c + r * int4_gemm_job::panel_columns + T * 16)), ...);
        }
    }
    template <bool Fresh, std::size_t Rows, std::size_t Tiles, std::size_t... R>
    COMMUTANT_TARGET_AVX512_VNNI COMMUTANT_INLINE static void begin_rows(__m512i (&sums)[Rows][Tiles],
                                                                         int4_tile const& tile, std::size_t g,
                                                                         std::index_sequence<R...>) noexcept {
        (begin_row<Fresh>(sums[R], tile, R, g, std::make_index_sequence<Tiles>{}), ...);
    }
    template <std::size_t Tiles, std::size_t... T>
    COMMUTANT_TARGET_AVX512_VNNI COMMUTANT_INLINE static void end_row(__m512i const (&sums)[Tiles],
                                                                      std::int32_t* c,
                                                                      std::index_sequence<T...>) noexcept {
        (_mm512_storeu_si512(c + T * 16, sums[T]), ...);
    }
    template <std::size_t Rows, std::size_t Tiles, std::size_t... R>
    COMMUTANT_TARGET_AVX512_VNNI COMMUTANT_INLINE static void end_rows(__m512i const (&sums)[Rows][Tiles],
                                                                       std::int32_t* c,
                                                                       std::index_sequence<R...>) noexcept {
        (end_row(sums[R], c + R * int4_gemm_job::panel_columns, std::make_index_sequence<Tiles>{}), ...);
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
    COMMUTANT_TARGET_AVX512_VNNI COMMUTANT_INLINE static void store_panel(
        __m512i const (&low)[Tiles], __m512i const (&high)[Tiles], std::uint8_t* p,
        std::index_sequence<T...>) noexcept {
        (_mm512_store_si512(p + T * 64, low[T]), ...);
        (_mm512_store_si512(p + (Tiles + T) * 64, high[T]), ...);
    }

    /// The inner loop: all steps of a group.
    template <int4_source Source, std::size_t Rows, std::size_t Tiles>
    COMMUTANT_TARGET_AVX512_VNNI COMMUTANT_INLINE static void add_steps(
        __m512i (&sums)[Rows][Tiles], int4_tile const& tile, std::int8_t const* (&a)[4],
        std::uint8_t const*& w, std::uint8_t const*& ahead, std::uint8_t*& panel) noexcept {
        constexpr auto rows = std::make_index_sequence<Rows>{};
        constexpr auto tiles = std::make_index_sequence<Tiles>{};
        std::size_t const stride = tile.a_stride;
        if constexpr (Source != int4_source::panel) {
            for (std::size_t s = 0; s < tile.n_steps; ++s) {
                __m512i low[Tiles], high[Tiles];
                load_lines(low, high, w, tile.w_stride, tiles);
                if constexpr (Source == int4_source::lines_to_panel) {
                    store_panel(low, high, panel, tiles);
                    panel += Tiles * 128;
                    _mm_prefetch(reinterpret_cast<char const*>(ahead), _MM_HINT_T1);
                    _mm_prefetch(reinterpret_cast<char const*>(ahead + tile.ahead_stride), _MM_HINT_T1);
                    ahead += 2 * tile.ahead_stride;
                }
                add_rows(sums, low, a, stride, 0, rows);
                add_rows(sums, high, a, stride, 4, rows);
                if constexpr (Source == int4_source::lines && Rows > 4) {
                    // Up to four rows wait for memory only, and the hardware's own look ahead suffices.
                    prefetch_lines(ahead, tiles);
                    ahead += tile.ahead_stride;
                }
                w += 64;
                a[0] += 8, a[1] += 8, a[2] += 8, a[3] += 8;
            }
        } else {
            for (std::size_t s = 0; s < 2 * tile.n_steps; ++s) {
                __m512i weights[Tiles];
                load_panel(weights, w, tiles);
                add_rows(sums, weights, a, stride, 0, rows);
                w += Tiles * 64;
                a[0] += 4, a[1] += 4;
                _mm_prefetch(reinterpret_cast<char const*>(ahead), _MM_HINT_T1);
                ahead += tile.ahead_stride;
            }
        }
    }

    template <int4_source Source, bool Grouped, std::size_t Rows, std::size_t Tiles>
    COMMUTANT_TARGET_AVX512_VNNI static void multiply(int4_tile const& tile) noexcept {
        constexpr auto rows = std::make_index_sequence<Rows>{};
        std::size_t const stride = tile.a_stride;
        std::int8_t const* a[4] = {tile.a, tile.a + 3 * stride, tile.a + 6 * stride, tile.a + 9 * stride};
        std::uint8_t const* w = Source == int4_source::panel ? tile.panel : tile.w;
        std::uint8_t const* ahead = tile.ahead;
        std::uint8_t* panel = tile.panel;
        if constexpr (Grouped) {
            for (std::size_t g = 0; g < tile.n_groups; ++g) {
                __m512i sums[Rows][Tiles];
                begin_rows<true>(sums, tile, g, rows);
                add_steps<Source>(sums, tile, a, w, ahead, panel);
                add_scaled_rows(sums, tile.c, tile.scales + g * tile.scale_stride, rows);
            }
        } else {
            __m512i sums[Rows][Tiles];
            begin_rows<false>(sums, tile, 0, rows);
            add_steps<Source>(sums, tile, a, w, ahead, panel);
            end_rows(sums, tile.c, rows);
        }
    }

    template <int4_source Source, bool Grouped, std::size_t Rows>
    [[nodiscard]] static int4_tile_function* with_tiles(std::size_t tiles) noexcept {
        if constexpr (Rows <= 6) {
            if (tiles == 4) return &multiply<Source, Grouped, Rows, 4>;
        }
        return tiles == 2 ? &multiply<Source, Grouped, Rows, 2> : &multiply<Source, Grouped, Rows, 1>;
    }
    template <bool Grouped>
    [[nodiscard]] static int4_tile_function* with_rows(int4_source source, std::size_t rows,
                                                       std::size_t tiles) noexcept {
        using enum int4_source;
        if (source == panel)
            return rows == 4 ? with_tiles<panel, Grouped, 4>(tiles) : with_tiles<panel, Grouped, 6>(tiles);
        if (source == lines_to_panel) return with_tiles<lines_to_panel, Grouped, 6>(tiles);
        switch (rows) {
            case 1:
                return with_tiles<lines, Grouped, 1>(tiles);
            case 2:
                return with_tiles<lines, Grouped, 2>(tiles);
            case 4:
                return with_tiles<lines, Grouped, 4>(tiles);
            case 6:
                return with_tiles<lines, Grouped, 6>(tiles);
            case 8:
                return with_tiles<lines, Grouped, 8>(tiles);
            default:
                return with_tiles<lines, Grouped, 12>(tiles);
        }
    }
    [[nodiscard]] static int4_tile_function* tile(int4_source source, bool grouped, std::size_t rows,
                                                  std::size_t tiles) noexcept {
        return grouped ? with_rows<true>(source, rows, tiles) : with_rows<false>(source, rows, tiles);
    }
};

}  // namespace commutant::kernels::detail

#endif
