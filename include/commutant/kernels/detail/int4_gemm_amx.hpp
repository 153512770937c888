// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "commutant/kernels/isa.hpp"

#if defined(COMMUTANT_KERNELS_X86)

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "commutant/kernels/detail/int4_gemm_avx512.hpp"
#include "commutant/kernels/detail/int4_gemm_avx512_vnni.hpp"
#include "commutant/kernels/detail/int4_gemm_driver.hpp"

namespace commutant::kernels::detail {

/// int8 tiles, two by two: 32 rows by 32 columns of sums at a time. Panels hold codes less their 8, so that
/// nothing is left to correct. Few rows go to vpdpbusd.
struct int4_amx : int4_avx512 {
    static constexpr std::size_t max_streamed_rows = 0;
    static constexpr std::size_t few_rows = 8;
    static constexpr std::size_t block_inputs = 256;
    static constexpr std::size_t block_rows = 480;
    static constexpr std::size_t main_rows = 32;
    static constexpr bool unpacks_in_tiles = true;

    /// The body: tiles are this thread's between its first and last line.
    static void run(int4_gemm_job const& job, int4_gemm_part const& part) noexcept {
        int4_weights_view const& w = job.weights;
        bool const cuts_groups = !w.per_channel && w.group_size % 32 != 0;
        if (job.n_rows <= few_rows || cuts_groups) {
            int4_avx512_vnni::run(job, part);
        } else if (part.what == int4_gemm_part::stage::preparation) {
            int4_gemm_driver<int4_amx>::run(job, part);
        } else {
            configure(w.per_channel || w.group_size % 64 == 0 ? 64 : 32);
            int4_gemm_driver<int4_amx>::run(job, part);
            release();
        }
    }

    /// Rows an odd number of lines apart: sixteen of them would share a cache set otherwise.
    [[nodiscard]] static std::size_t rows_in_place(std::size_t) noexcept { return 0; }
    [[nodiscard]] static std::size_t panel_rows(std::size_t left) noexcept { return left <= 16 ? 16 : 32; }
    [[nodiscard]] static std::size_t unpacking_rows(std::size_t left) noexcept { return panel_rows(left); }
    [[nodiscard]] static std::size_t streamed_rows(std::size_t) noexcept { return 32; }
    [[nodiscard]] static std::size_t panel_tiles(bool) noexcept { return 4; }
    [[nodiscard]] static std::size_t streamed_tiles(bool, std::size_t) noexcept { return 4; }
    static void row_sums(std::int8_t const*, std::size_t, std::size_t, std::size_t, std::size_t,
                         std::int32_t*) noexcept {}

    /// Tiles 0 to 3 are sums, 4 and 5 activations of so many inputs, 6 and 7 weights.
    COMMUTANT_TARGET_AMX static void configure(std::size_t inputs) noexcept {
        struct alignas(64) configuration {
            std::uint8_t palette = 1;
            std::uint8_t start_row = 0;
            std::array<std::uint8_t, 14> reserved{};
            std::array<std::uint16_t, 16> column_bytes{};
            std::array<std::uint8_t, 16> rows{};
        } c;
        for (std::size_t i = 0; i < 8; ++i) {
            c.column_bytes[i] = static_cast<std::uint16_t>(i == 4 || i == 5 ? inputs : 64);
            c.rows[i] = static_cast<std::uint8_t>(i == 6 || i == 7 ? inputs / 4 : 16);
        }
        // The intrinsic names eight of the bytes it reads; without this the compiler drops the others.
        __asm__ volatile("" : : "r"(&c) : "memory");
        _tile_loadconfig(&c);
    }
    COMMUTANT_TARGET_AMX static void release() noexcept { _tile_release(); }

    /// Some steps of lines of neighbouring column tiles to a panel.
    template <std::size_t Tiles>
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static void unpack(std::uint8_t const* lines,
                                                                  std::size_t stride, std::size_t n_steps,
                                                                  std::uint8_t* panel,
                                                                  std::size_t panel_stride) noexcept {
        __m512i const low = _mm512_set1_epi8(15), eight = _mm512_set1_epi8(8);
        for (std::size_t s = 0; s < n_steps; ++s, lines += 64, panel += 2 * panel_stride)
            for (std::size_t t = 0; t < Tiles; ++t) {
                __m512i const line = _mm512_load_si512(lines + t * stride);
                _mm512_store_si512(panel + t * 64, _mm512_sub_epi8(_mm512_and_si512(line, low), eight));
                _mm512_store_si512(panel + panel_stride + t * 64,
                                   _mm512_sub_epi8(_mm512_and_si512(_mm512_srli_epi16(line, 4), low), eight));
            }
    }

    /// The compiler does not see what tile loads read.
    COMMUTANT_INLINE static void memory_is_written() noexcept { __asm__ volatile("" ::: "memory"); }

    /// Where a tile's inputs are.
    struct operands {
        std::int8_t const* a;
        std::size_t a_stride;
        std::uint8_t* w;
        std::size_t w_stride;
        std::uint8_t const* lines;
        std::size_t line_stride;
        std::uint8_t const* ahead;
        std::size_t ahead_bytes;  ///< to ask for per unit
    };

    /// Adds products over n_steps steps of 8 inputs, unit inputs at a time, to the sums in tiles 0 to 3.
    /// Unpacks: the panel's next unit is written while this one is multiplied.
    template <bool Unpacks, std::size_t Rows, std::size_t Tiles>
    COMMUTANT_TARGET_AMX COMMUTANT_INLINE static void add(operands& o, std::size_t n_steps,
                                                          std::size_t unit) noexcept {
        auto const a_step = static_cast<long>(o.a_stride), w_step = static_cast<long>(o.w_stride);
        std::size_t const unit_steps = unit / 8;
        if constexpr (Unpacks) {
            unpack<Tiles>(o.lines, o.line_stride, n_steps < unit_steps ? n_steps : unit_steps, o.w,
                          o.w_stride);
            memory_is_written();
        }
        for (std::size_t s = 0; s < n_steps; s += unit_steps) {
            std::uint8_t* const next = o.w + unit / 4 * o.w_stride;
            _tile_loadd(6, o.w, w_step);
            _tile_loadd(4, o.a, a_step);
            _tile_dpbssd(0, 4, 6);
            if constexpr (Tiles == 2) {
                _tile_loadd(7, o.w + 64, w_step);
                _tile_dpbssd(1, 4, 7);
            }
            if constexpr (Rows == 32) {
                _tile_loadd(5, o.a + 16 * o.a_stride, a_step);
                _tile_dpbssd(2, 5, 6);
                if constexpr (Tiles == 2) _tile_dpbssd(3, 5, 7);
            }
            if constexpr (Unpacks) {
                o.lines += unit_steps * 64;
                if (s + unit_steps < n_steps) {
                    std::size_t const left = n_steps - s - unit_steps;
                    unpack<Tiles>(o.lines, o.line_stride, left < unit_steps ? left : unit_steps, next,
                                  o.w_stride);
                }
                memory_is_written();
            }
            std::uint8_t const* const end = o.ahead + o.ahead_bytes;
            for (; o.ahead < end; o.ahead += 64)
                _mm_prefetch(reinterpret_cast<char const*>(o.ahead), _MM_HINT_T1);
            o.ahead = end;
            o.w = next;
            o.a += unit;
        }
    }
    COMMUTANT_TARGET_AMX COMMUTANT_INLINE static void zero() noexcept {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    template <std::size_t Rows, std::size_t Tiles>
    COMMUTANT_TARGET_AMX COMMUTANT_INLINE static void load(std::int32_t const* c,
                                                           std::size_t stride) noexcept {
        auto const step = static_cast<long>(stride * 4);
        _tile_loadd(0, c, step);
        if constexpr (Tiles == 2) _tile_loadd(1, c + 16, step);
        if constexpr (Rows == 32) _tile_loadd(2, c + 16 * stride, step);
        if constexpr (Rows == 32 && Tiles == 2) _tile_loadd(3, c + 16 * stride + 16, step);
    }
    template <std::size_t Rows, std::size_t Tiles>
    COMMUTANT_TARGET_AMX COMMUTANT_INLINE static void store(std::int32_t* c, std::size_t stride) noexcept {
        auto const step = static_cast<long>(stride * 4);
        _tile_stored(0, c, step);
        if constexpr (Tiles == 2) _tile_stored(1, c + 16, step);
        if constexpr (Rows == 32) _tile_stored(2, c + 16 * stride, step);
        if constexpr (Rows == 32 && Tiles == 2) _tile_stored(3, c + 16 * stride + 16, step);
    }
    template <bool Unpacks, bool Grouped, std::size_t Rows, std::size_t Tiles>
    COMMUTANT_TARGET_AMX static void multiply(int4_tile const& tile) noexcept {
        constexpr std::size_t width = int4_gemm_job::panel_columns, pair = Tiles == 1 ? 1 : 2;
        std::size_t const unit = Grouped && tile.n_steps % 8 != 0 ? 32 : 64;
        operands o{};
        o.a_stride = tile.a_stride;
        o.w_stride = Tiles * 64;
        o.line_stride = tile.w_stride;
        o.ahead = tile.ahead;
        o.ahead_bytes = tile.ahead_stride * 2 * (unit / 8) / (Tiles / pair);
        memory_is_written();
        for (std::size_t t = 0; t < Tiles; t += pair) {
            o.a = tile.a;
            o.w = tile.panel + t * 64;
            o.lines = tile.w + t * tile.w_stride;
            std::int32_t* const c = tile.c + t * 16;
            if constexpr (!Grouped) {
                if (tile.first) {
                    zero();
                } else {
                    load<Rows, pair>(c, width);
                }
                // Beyond the last input activations are 0, and the panel may hold anything.
                add<Unpacks, Rows, pair>(o, tile.n_steps, unit);
                store<Rows, pair>(c, width);
            } else {
                for (std::size_t g = 0; g < tile.n_groups; ++g) {
                    alignas(64) std::int32_t sums[Rows * pair * 16];
                    zero();
                    add<Unpacks, Rows, pair>(o, tile.n_steps, unit);
                    store<Rows, pair>(sums, pair * 16);
                    add_group<Rows, pair>(sums, tile.scales + g * tile.scale_stride + t * 16, c);
                }
            }
        }
        memory_is_written();
    }

    template <std::size_t Rows, std::size_t Tiles>
    COMMUTANT_TARGET_AMX COMMUTANT_INLINE static void add_group(std::int32_t const* sums, float const* scales,
                                                                std::int32_t* c) noexcept {
        for (std::size_t t = 0; t < Tiles; ++t) {
            __m512 const scale = _mm512_load_ps(scales + t * 16);
            for (std::size_t r = 0; r < Rows; ++r) {
                std::int32_t* const out = c + r * int4_gemm_job::panel_columns + t * 16;
                __m512 const sum = _mm512_cvtepi32_ps(_mm512_load_si512(sums + (r * Tiles + t) * 16));
                _mm512_storeu_ps(out, _mm512_fmadd_ps(sum, scale, _mm512_loadu_ps(out)));
            }
        }
    }

    template <bool Unpacks, bool Grouped, std::size_t Rows>
    [[nodiscard]] static int4_tile_function* with_tiles(std::size_t tiles) noexcept {
        if (tiles == 4) return &multiply<Unpacks, Grouped, Rows, 4>;
        return tiles == 2 ? &multiply<Unpacks, Grouped, Rows, 2> : &multiply<Unpacks, Grouped, Rows, 1>;
    }
    template <bool Unpacks>
    [[nodiscard]] static int4_tile_function* with_rows(bool grouped, std::size_t rows,
                                                       std::size_t tiles) noexcept {
        if (rows == 16)
            return grouped ? with_tiles<Unpacks, true, 16>(tiles) : with_tiles<Unpacks, false, 16>(tiles);
        return grouped ? with_tiles<Unpacks, true, 32>(tiles) : with_tiles<Unpacks, false, 32>(tiles);
    }
    [[nodiscard]] static int4_tile_function* tile(int4_source source, bool grouped, std::size_t rows,
                                                  std::size_t tiles) noexcept {
        return source == int4_source::panel ? with_rows<false>(grouped, rows, tiles)
                                            : with_rows<true>(grouped, rows, tiles);
    }
};

}  // namespace commutant::kernels::detail

#endif
