// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "commutant/kernels/isa.hpp"

#if defined(COMMUTANT_KERNELS_X86)

#include <cstddef>
#include <cstdint>
#include <utility>

#include "commutant/kernels/detail/int4_gemm_avx2.hpp"
#include "commutant/kernels/detail/int4_gemm_driver.hpp"

namespace commutant::kernels::detail {

/// vpdpbusd on 256 bits: weights are the unsigned operand, four activations the broadcast one.
struct int4_avx_vnni : int4_avx2_common {
    COMMUTANT_TARGET_AVX_VNNI COMMUTANT_INLINE static void add_row(__m256i (&sums)[2], __m256i const (&w)[2],
                                                                   std::int8_t const* a) noexcept {
        __m256i const codes = four_codes(a);
        sums[0] = _mm256_dpbusd_avx_epi32(sums[0], w[0], codes);
        sums[1] = _mm256_dpbusd_avx_epi32(sums[1], w[1], codes);
    }
    template <std::size_t... R>
    COMMUTANT_TARGET_AVX_VNNI COMMUTANT_INLINE static void add_rows(__m256i (&sums)[sizeof...(R)][2],
                                                                    __m256i const (&w)[2],
                                                                    std::int8_t const* const (&a)[2],
                                                                    std::size_t stride, std::size_t offset,
                                                                    std::index_sequence<R...>) noexcept {
        (add_row(sums[R], w, a[R / 3] + R % 3 * stride + offset), ...);
    }
    template <bool Grouped, std::size_t... R>
    COMMUTANT_TARGET_AVX_VNNI COMMUTANT_INLINE static void begin_rows(__m256i (&sums)[sizeof...(R)][2],
                                                                      int4_tile const& tile, std::size_t g,
                                                                      std::index_sequence<R...>) noexcept {
        (begin_row(Grouped || tile.first, tile, R, g, sums[R][0], sums[R][1]), ...);
    }
    template <bool Grouped, std::size_t... R>
    COMMUTANT_TARGET_AVX_VNNI COMMUTANT_INLINE static void end_rows(__m256i const (&sums)[sizeof...(R)][2],
                                                                    int4_tile const& tile, std::size_t g,
                                                                    std::index_sequence<R...>) noexcept {
        (end_row<Grouped>(tile, R, g, sums[R][0], sums[R][1]), ...);
    }

    template <bool Streamed, bool Grouped, std::size_t Rows>
    COMMUTANT_TARGET_AVX_VNNI static void multiply(int4_tile const& tile) noexcept {
        constexpr auto rows = std::make_index_sequence<Rows>{};
        std::size_t const stride = tile.a_stride;
        std::int8_t const* a[2] = {tile.a, tile.a + 3 * stride};
        std::uint8_t const* w = Streamed ? tile.w : tile.panel;
        std::uint8_t const* ahead = tile.ahead;
        for (std::size_t g = 0; g < tile.n_groups; ++g) {
            __m256i sums[Rows][2];
            begin_rows<Grouped>(sums, tile, g, rows);
            if constexpr (Streamed) {
                for (std::size_t s = 0; s < tile.n_steps; ++s) {
                    __m256i low[2], high[2];
                    load_line(w, low, high);
                    add_rows(sums, low, a, stride, 0, rows);
                    add_rows(sums, high, a, stride, 4, rows);
                    a[0] += 8, a[1] += 8;
                    w += 64;
                }
            } else {
                for (std::size_t h = 0; h < 2 * tile.n_steps; ++h) {
                    // One half at a time: twelve sums leave four registers.
                    __m256i four[2];
                    load_panel(w, four);
                    add_rows(sums, four, a, stride, 0, rows);
                    a[0] += 4, a[1] += 4;
                    w += 64;
                    _mm_prefetch(reinterpret_cast<char const*>(ahead), _MM_HINT_T1);
                    ahead += tile.ahead_stride;
                }
            }
            end_rows<Grouped>(sums, tile, g, rows);
        }
    }

    template <bool Grouped>
    [[nodiscard]] static int4_tile_function* with_rows(int4_source source, std::size_t rows) noexcept {
        if (source == int4_source::panel)
            return rows == 4 ? &multiply<false, Grouped, 4> : &multiply<false, Grouped, 6>;
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
