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

/// vpmaddubsw on 512 bits: products of pairs summed in 16 bits, 8 of them for 8-bit activations (at most 2 *
/// 15 * 128 each) and 64 for 4-bit ones (at most 2 * 15 * 15 each), before they are widened.
struct int4_avx512bw : int4_avx512 {
    static constexpr std::size_t max_streamed_rows = 4;
    static constexpr std::size_t block_inputs = 1024;
    static constexpr std::size_t block_rows = 480;
    static constexpr std::size_t main_rows = 6;
    static constexpr bool unpacks_in_tiles = false;

    [[nodiscard]] static std::size_t rows_in_place(std::size_t n) noexcept {
        return n - n % int4_gemm_job::row_unit;
    }
    [[nodiscard]] static std::size_t streamed_rows(std::size_t n) noexcept { return n <= 2 ? n : 4; }
    [[nodiscard]] static std::size_t panel_tiles(bool) noexcept { return 4; }
    [[nodiscard]] static std::size_t streamed_tiles(bool, std::size_t) noexcept { return 2; }
    [[nodiscard]] static std::size_t panel_rows(std::size_t left) noexcept {
        return left <= 4 || left == 7 || left == 8 ? 4 : 6;
    }

    template <std::size_t Tiles, std::size_t... T>
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static void clear_row(__m512i (&sums)[Tiles],
                                                                     std::index_sequence<T...>) noexcept {
        ((sums[T] = _mm512_setzero_si512()), ...);
    }
    template <std::size_t Rows, std::size_t Tiles, std::size_t... R>
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static void clear(__m512i (&sums)[Rows][Tiles],
                                                                 std::index_sequence<R...>) noexcept {
        (clear_row(sums[R], std::make_index_sequence<Tiles>{}), ...);
    }
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static void add_one(__m512i& sum, __m512i w,
                                                                   __m512i codes) noexcept {
        // By name: GCC would form all products first, and move or even store the sums for want of registers.
        __m512i const pairs = _mm512_maddubs_epi16(w, codes);
        __asm__ volatile("vpaddw\t{%1, %0, %0|%0, %0, %1}" : "+v"(sum) : "v"(pairs));
    }
    template <std::size_t Tiles, std::size_t... T>
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static void add_row(__m512i (&sums)[Tiles],
                                                                   __m512i const (&w)[Tiles],
                                                                   std::int8_t const* a,
                                                                   std::index_sequence<T...>) noexcept {
        std::int32_t four = 0;
        std::memcpy(&four, a, 4);
        __m512i const codes = _mm512_set1_epi32(four);
        (add_one(sums[T], w[T], codes), ...);
    }
    template <std::size_t Rows, std::size_t Tiles, std::size_t... R>
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static void add_rows(__m512i (&sums)[Rows][Tiles],
                                                                    __m512i const (&w)[Tiles],
                                                                    std::int8_t const* const (&a)[2],
                                                                    std::size_t stride, std::size_t offset,
                                                                    std::index_sequence<R...>) noexcept {
        (add_row(sums[R], w, a[R / 3] + R % 3 * stride + offset, std::make_index_sequence<Tiles>{}), ...);
    }
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static void widen_one(__m512i sum,
                                                                     std::int32_t* wide) noexcept {
        __m512i const pairs = _mm512_madd_epi16(sum, _mm512_set1_epi16(1));
        _mm512_store_si512(wide, _mm512_add_epi32(_mm512_load_si512(wide), pairs));
    }
    template <std::size_t Tiles, std::size_t... T>
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static void widen_row(__m512i const (&sums)[Tiles],
                                                                     std::int32_t* wide,
                                                                     std::index_sequence<T...>) noexcept {
        (widen_one(sums[T], wide + T * 16), ...);
    }
    template <std::size_t Rows, std::size_t Tiles, std::size_t... R>
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static void widen(__m512i const (&sums)[Rows][Tiles],
                                                                 std::int32_t* wide,
                                                                 std::index_sequence<R...>) noexcept {
        (widen_row(sums[R], wide + R * Tiles * 16, std::make_index_sequence<Tiles>{}), ...);
    }
    template <std::size_t Tiles, std::size_t... T>
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static void load_panel(__m512i (&w)[Tiles],
                                                                      std::uint8_t const* p,
                                                                      std::index_sequence<T...>) noexcept {
        ((w[T] = _mm512_load_si512(p + T * 64)), ...);
    }
    template <std::size_t Tiles, std::size_t... T>
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static void load_lines(__m512i (&low)[Tiles],
                                                                      __m512i (&high)[Tiles],
                                                                      std::uint8_t const* p,
                                                                      std::size_t stride,
                                                                      std::index_sequence<T...>) noexcept {
        __m512i const mask = _mm512_set1_epi8(15);
        ((high[T] = _mm512_load_si512(p + T * stride)), ...);
        ((low[T] = _mm512_and_si512(high[T], mask)), ...);
        ((high[T] = _mm512_and_si512(_mm512_srli_epi16(high[T], 4), mask)), ...);
    }

    template <bool Grouped>
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static void begin(int4_tile const& tile, std::size_t rows,
                                                                 std::size_t tiles, std::size_t g,
                                                                 std::int32_t* wide) noexcept {
        for (std::size_t r = 0; r < rows; ++r)
            for (std::size_t t = 0; t < tiles; ++t) {
                __m512i const start =
                    Grouped || tile.first
                        ? _mm512_set1_epi32(tile.corrections[r * tile.correction_stride + g])
                        : _mm512_loadu_si512(tile.c + r * int4_gemm_job::panel_columns + t * 16);
                _mm512_store_si512(wide + (r * tiles + t) * 16, start);
            }
    }
    template <bool Grouped>
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static void end(int4_tile const& tile, std::size_t rows,
                                                               std::size_t tiles, std::size_t g,
                                                               std::int32_t const* wide) noexcept {
        for (std::size_t r = 0; r < rows; ++r)
            for (std::size_t t = 0; t < tiles; ++t) {
                std::int32_t* const c = tile.c + r * int4_gemm_job::panel_columns + t * 16;
                __m512i const sum = _mm512_load_si512(wide + (r * tiles + t) * 16);
                if constexpr (Grouped) {
                    __m512 const scale = _mm512_load_ps(tile.scales + g * tile.scale_stride + t * 16);
                    _mm512_storeu_ps(c, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scale, _mm512_loadu_ps(c)));
                } else {
                    _mm512_storeu_si512(c, sum);
                }
            }
    }

    template <bool Streamed, bool Grouped, std::size_t Rows, std::size_t Tiles>
    COMMUTANT_TARGET_AVX512BW static void multiply(int4_tile const& tile) noexcept {
        constexpr auto rows = std::make_index_sequence<Rows>{};
        constexpr auto tiles = std::make_index_sequence<Tiles>{};
        std::size_t const stride = tile.a_stride, most = tile.narrow ? 32 : 4;
        std::int8_t const* a[2] = {tile.a, tile.a + 3 * stride};
        std::uint8_t const* w = Streamed ? tile.w : tile.panel;
        std::uint8_t const* ahead = tile.ahead;
        alignas(64) std::int32_t wide[Rows * Tiles * 16];
        for (std::size_t g = 0; g < tile.n_groups; ++g) {
            begin<Grouped>(tile, Rows, Tiles, g, wide);
            for (std::size_t s = 0; s < tile.n_steps;) {
                std::size_t const n = tile.n_steps - s < most ? tile.n_steps - s : most;
                __m512i sums[Rows][Tiles];
                clear(sums, rows);
                if constexpr (Streamed) {
                    for (std::size_t i = 0; i < n; ++i) {
                        __m512i low[Tiles], high[Tiles];
                        load_lines(low, high, w, tile.w_stride, tiles);
                        add_rows(sums, low, a, stride, 0, rows);
                        add_rows(sums, high, a, stride, 4, rows);
                        a[0] += 8, a[1] += 8;
                        w += 64;
                    }
                } else {
                    for (std::size_t i = 0; i < 2 * n; ++i) {
                        __m512i four[Tiles];
                        load_panel(four, w, tiles);
                        add_rows(sums, four, a, stride, 0, rows);
                        a[0] += 4, a[1] += 4;
                        w += Tiles * 64;
                        _mm_prefetch(reinterpret_cast<char const*>(ahead), _MM_HINT_T1);
                        ahead += tile.ahead_stride;
                    }
                }
                s += n;
                widen(sums, wide, rows);
            }
            end<Grouped>(tile, Rows, Tiles, g, wide);
        }
    }

    template <bool Grouped, std::size_t Rows>
    [[nodiscard]] static int4_tile_function* streamed(std::size_t tiles) noexcept {
        return tiles == 2 ? &multiply<true, Grouped, Rows, 2> : &multiply<true, Grouped, Rows, 1>;
    }
    template <bool Grouped, std::size_t Rows>
    [[nodiscard]] static int4_tile_function* panelled(std::size_t tiles) noexcept {
        if (tiles == 4) return &multiply<false, Grouped, Rows, 4>;
        return tiles == 2 ? &multiply<false, Grouped, Rows, 2> : &multiply<false, Grouped, Rows, 1>;
    }
    template <bool Grouped>
    [[nodiscard]] static int4_tile_function* with_rows(int4_source source, std::size_t rows,
                                                       std::size_t tiles) noexcept {
        if (source == int4_source::panel)
            return rows == 4 ? panelled<Grouped, 4>(tiles) : panelled<Grouped, 6>(tiles);
        if (rows == 1) return streamed<Grouped, 1>(tiles);
        return rows == 2 ? streamed<Grouped, 2>(tiles) : streamed<Grouped, 4>(tiles);
    }
    [[nodiscard]] static int4_tile_function* tile(int4_source source, bool grouped, std::size_t rows,
                                                  std::size_t tiles) noexcept {
        return grouped ? with_rows<true>(source, rows, tiles) : with_rows<false>(source, rows, tiles);
    }
};

}  // namespace commutant::kernels::detail

#endif
