// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "commutant/kernels/isa.hpp"

#if defined(COMMUTANT_KERNELS_X86)

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "commutant/kernels/detail/int4_gemm_driver.hpp"
#include "commutant/kernels/detail/int4_gemm_job.hpp"

namespace commutant::kernels::detail {

/// What the 256-bit bodies share around their tiles of 16 columns, two registers each.
struct int4_avx2_common {
    static constexpr std::size_t max_streamed_rows = 4;
    static constexpr std::size_t block_inputs = 1024;
    static constexpr std::size_t block_rows = 480;
    static constexpr std::size_t main_rows = 6;
    static constexpr bool unpacks_in_tiles = false;

    [[nodiscard]] static std::size_t rows_in_place(std::size_t n) noexcept {
        return n - n % int4_gemm_job::row_unit;
    }
    [[nodiscard]] static std::size_t streamed_rows(std::size_t n) noexcept { return n <= 2 ? n : 4; }
    [[nodiscard]] static std::size_t panel_tiles(bool) noexcept { return 1; }
    [[nodiscard]] static std::size_t streamed_tiles(bool, std::size_t) noexcept { return 1; }
    [[nodiscard]] static std::size_t panel_rows(std::size_t left) noexcept {
        return left <= 4 || left == 7 || left == 8 ? 4 : 6;
    }

    static void unpack_row(std::uint8_t const* packed, std::size_t k, std::int8_t* codes) noexcept {
        int4_unpack_row(packed, k, codes);
    }

    /// corrections[r, g] = -8 times the sum of a group of codes of a row.
    COMMUTANT_TARGET_AVX2 static void row_sums(std::int8_t const* rows, std::size_t stride,
                                               std::size_t n_rows, std::size_t k, std::size_t group,
                                               std::int32_t* corrections) noexcept {
        for (std::size_t r = 0; r < n_rows; ++r, rows += stride)
            for (std::size_t begin = 0; begin < k; begin += group)
                *corrections++ = -8 * sum(rows + begin, group);
    }
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static std::int32_t sum(std::int8_t const* codes,
                                                                   std::size_t n) noexcept {
        // Sums of absolute differences take unsigned bytes: x + 128, whose excess is known.
        __m256i const top = _mm256_set1_epi8(-128), zero = _mm256_setzero_si256();
        __m256i sums = zero;
        std::size_t i = 0;
        for (; i + 32 <= n; i += 32) {
            __m256i const x = _mm256_loadu_si256(reinterpret_cast<__m256i const*>(codes + i));
            sums = _mm256_add_epi64(sums, _mm256_sad_epu8(_mm256_xor_si256(x, top), zero));
        }
        alignas(32) std::array<std::int64_t, 4> parts{};
        _mm256_store_si256(reinterpret_cast<__m256i*>(parts.data()), sums);
        std::int64_t total = parts[0] + parts[1] + parts[2] + parts[3] - 128 * static_cast<std::int64_t>(i);
        for (; i < n; ++i) total += codes[i];
        return static_cast<std::int32_t>(total);
    }

    COMMUTANT_TARGET_AVX2 static void unpack(std::uint8_t const* lines, std::size_t, std::size_t,
                                             std::size_t n_steps, std::uint8_t* panel) noexcept {
        __m256i const low = _mm256_set1_epi8(15);
        for (std::size_t s = 0; s < n_steps; ++s, lines += 64, panel += 128)
            for (std::size_t h = 0; h < 64; h += 32) {
                __m256i const line = _mm256_load_si256(reinterpret_cast<__m256i const*>(lines + h));
                _mm256_store_si256(reinterpret_cast<__m256i*>(panel + h), _mm256_and_si256(line, low));
                _mm256_store_si256(reinterpret_cast<__m256i*>(panel + 64 + h),
                                   _mm256_and_si256(_mm256_srli_epi16(line, 4), low));
            }
    }

    /// The first n of eight floats; the others are neither read nor written.
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static __m256i first_lanes(std::size_t n) noexcept {
        __m256i const index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<std::int32_t>(n < 8 ? n : 8)), index);
    }

    /// Sums to floats in y: the expressions of int4_gemm_scalar.
    COMMUTANT_TARGET_AVX2 static void finish(int4_gemm_job const& job, std::int32_t const* sums,
                                             std::size_t m, std::size_t n_rows, std::size_t tile,
                                             std::size_t) noexcept {
        int4_weights_view const& w = job.weights;
        for (std::size_t h = 0; h < 16; h += 8) {
            std::size_t const n = tile * w.tile_columns + h;
            if (n >= w.out_features) return;
            std::size_t const left = w.out_features - n;
            __m256i const mask = first_lanes(left);
            __m256 const weight_scales = w.per_channel ? _mm256_load_ps(w.scales + n) : _mm256_setzero_ps();
            __m256i const column_sums =
                _mm256_load_si256(reinterpret_cast<__m256i const*>(w.column_sums + 2 * n));
            __m256 const scaled_sums = _mm256_load_ps(w.scaled_column_sums + n);
            __m256 const bias =
                job.bias == nullptr ? _mm256_setzero_ps() : _mm256_maskload_ps(job.bias + n, mask);
            for (std::size_t r = 0; r < n_rows; ++r) {
                std::int32_t const* const c = sums + r * int4_gemm_job::panel_columns + h;
                std::int32_t const zero_point = job.zero_point(m + r);
                __m256 scale = _mm256_set1_ps(job.scale(m + r)), sum;
                if (w.per_channel) {
                    // A column's sum is low + 256 high, in 16 bits each.
                    __m256i const factors = _mm256_set1_epi32(
                        static_cast<std::int32_t>(static_cast<std::uint32_t>(zero_point) << 24 |
                                                  (static_cast<std::uint32_t>(zero_point) & 0xffff)));
                    __m256i const dots = _mm256_loadu_si256(reinterpret_cast<__m256i const*>(c));
                    sum = _mm256_cvtepi32_ps(_mm256_sub_epi32(dots, _mm256_madd_epi16(column_sums, factors)));
                    scale = _mm256_mul_ps(scale, weight_scales);
                } else {
                    sum = _mm256_fmadd_ps(_mm256_set1_ps(-static_cast<float>(zero_point)), scaled_sums,
                                          _mm256_loadu_ps(reinterpret_cast<float const*>(c)));
                }
                __m256 addend = _mm256_setzero_ps();
                if (job.residual != nullptr)
                    addend = _mm256_maskload_ps(job.residual + (m + r) * job.residual_stride + n, mask);
                if (job.bias != nullptr)
                    addend = _mm256_fmadd_ps(_mm256_set1_ps(job.bias_scale(m + r)), bias, addend);
                float* const y = job.y + (m + r) * job.y_stride + n;
                __m256 const result = _mm256_fmadd_ps(sum, scale, addend);
                if (left >= 8) {
                    _mm256_storeu_ps(y, result);
                } else {
                    _mm256_maskstore_ps(y, mask, result);
                }
            }
        }
    }

    /// What a row of a tile starts from: sums so far, or the correction.
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static void begin_row(bool fresh, int4_tile const& tile,
                                                                 std::size_t r, std::size_t g, __m256i& left,
                                                                 __m256i& right) noexcept {
        if (fresh) {
            left = right = _mm256_set1_epi32(tile.corrections[r * tile.correction_stride + g]);
        } else {
            auto const* const c = reinterpret_cast<__m256i const*>(tile.c + r * int4_gemm_job::panel_columns);
            left = _mm256_loadu_si256(c);
            right = _mm256_loadu_si256(c + 1);
        }
    }
    template <bool Grouped>
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static void end_row(int4_tile const& tile, std::size_t r,
                                                               std::size_t g, __m256i left,
                                                               __m256i right) noexcept {
        std::int32_t* const c = tile.c + r * int4_gemm_job::panel_columns;
        if constexpr (Grouped) {
            // Apart from the loop's sums, or GCC keeps those in memory.
            __asm__ volatile("" : "+x"(left), "+x"(right));
            float const* const scales = tile.scales + g * tile.scale_stride;
            auto* const f = reinterpret_cast<float*>(c);
            _mm256_storeu_ps(
                f, _mm256_fmadd_ps(_mm256_cvtepi32_ps(left), _mm256_load_ps(scales), _mm256_loadu_ps(f)));
            _mm256_storeu_ps(f + 8, _mm256_fmadd_ps(_mm256_cvtepi32_ps(right), _mm256_load_ps(scales + 8),
                                                    _mm256_loadu_ps(f + 8)));
        } else {
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(c), left);
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(c + 8), right);
        }
    }

    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static __m256i four_codes(std::int8_t const* a) noexcept {
        std::int32_t four = 0;
        std::memcpy(&four, a, 4);
        return _mm256_set1_epi32(four);
    }
    /// Both halves of 16 columns from a line, for inputs 0 to 3 and 4 to 7 of a step.
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static void load_line(std::uint8_t const* w, __m256i (&low)[2],
                                                                 __m256i (&high)[2]) noexcept {
        auto const* const p = reinterpret_cast<__m256i const*>(w);
        __m256i const mask = _mm256_set1_epi8(15), left = _mm256_load_si256(p),
                      right = _mm256_load_si256(p + 1);
        low[0] = _mm256_and_si256(left, mask);
        low[1] = _mm256_and_si256(right, mask);
        high[0] = _mm256_and_si256(_mm256_srli_epi16(left, 4), mask);
        high[1] = _mm256_and_si256(_mm256_srli_epi16(right, 4), mask);
    }
    /// The same from a panel, for four inputs.
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static void load_panel(std::uint8_t const* w,
                                                                  __m256i (&four)[2]) noexcept {
        auto const* const p = reinterpret_cast<__m256i const*>(w);
        four[0] = _mm256_load_si256(p);
        four[1] = _mm256_load_si256(p + 1);
    }
};

/// vpmaddubsw: products of pairs summed in 16 bits, 8 of them for 8-bit activations (at most 2 * 15 * 128
/// each) and 64 for 4-bit ones (at most 2 * 15 * 15 each), before they are widened.
struct int4_avx2 : int4_avx2_common {
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static void add_pairs(__m256i& sum, __m256i pairs) noexcept {
        // By name: GCC would form all products first, and move or even store the sums for want of registers.
        __asm__ volatile("vpaddw\t{%1, %0, %0|%0, %0, %1}" : "+x"(sum) : "x"(pairs));
    }
    /// First    the sums begin with these products
    template <bool First>
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static void add_row(__m256i (&sums)[2], __m256i const (&w)[2],
                                                               std::int8_t const* a) noexcept {
        __m256i const codes = four_codes(a);
        for (std::size_t h = 0; h < 2; ++h) {
            __m256i const pairs = _mm256_maddubs_epi16(w[h], codes);
            if constexpr (First) {
                sums[h] = pairs;
            } else {
                add_pairs(sums[h], pairs);
            }
        }
    }
    template <bool First, std::size_t... R>
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static void add_rows(__m256i (&sums)[sizeof...(R)][2],
                                                                __m256i const (&w)[2],
                                                                std::int8_t const* const (&a)[2],
                                                                std::size_t stride, std::size_t offset,
                                                                std::index_sequence<R...>) noexcept {
        (add_row<First>(sums[R], w, a[R / 3] + R % 3 * stride + offset), ...);
    }
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static void widen_row(__m256i const (&sums)[2],
                                                                 std::int32_t* wide) noexcept {
        __m256i const ones = _mm256_set1_epi16(1);
        auto* const p = reinterpret_cast<__m256i*>(wide);
        _mm256_store_si256(p, _mm256_add_epi32(_mm256_load_si256(p), _mm256_madd_epi16(sums[0], ones)));
        _mm256_store_si256(p + 1,
                           _mm256_add_epi32(_mm256_load_si256(p + 1), _mm256_madd_epi16(sums[1], ones)));
    }
    template <std::size_t... R>
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static void widen_rows(__m256i const (&sums)[sizeof...(R)][2],
                                                                  std::int32_t* wide,
                                                                  std::index_sequence<R...>) noexcept {
        (widen_row(sums[R], wide + R * 16), ...);
    }

    /// A line's eight inputs, or four of a panel: one half at a time, as twelve sums leave four registers.
    template <bool Streamed, bool First, std::size_t... R>
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static void add_inputs(
        __m256i (&sums)[sizeof...(R)][2], std::uint8_t const*& w, std::int8_t const* (&a)[2],
        std::size_t stride, std::uint8_t const*& ahead, std::size_t ahead_stride,
        std::index_sequence<R...> rows) noexcept {
        if constexpr (Streamed) {
            __m256i low[2], high[2];
            load_line(w, low, high);
            add_rows<First>(sums, low, a, stride, 0, rows);
            add_rows<false>(sums, high, a, stride, 4, rows);
            a[0] += 8, a[1] += 8;
        } else {
            __m256i four[2];
            load_panel(w, four);
            add_rows<First>(sums, four, a, stride, 0, rows);
            a[0] += 4, a[1] += 4;
            _mm_prefetch(reinterpret_cast<char const*>(ahead), _MM_HINT_T1);
            ahead += ahead_stride;
        }
        w += 64;
    }

    template <bool Streamed, bool Grouped, std::size_t Rows>
    COMMUTANT_TARGET_AVX2 static void multiply(int4_tile const& tile) noexcept {
        constexpr auto rows = std::make_index_sequence<Rows>{};
        std::size_t const stride = tile.a_stride, most = tile.narrow ? 32 : 4;
        std::int8_t const* a[2] = {tile.a, tile.a + 3 * stride};
        std::uint8_t const* w = Streamed ? tile.w : tile.panel;
        std::uint8_t const* ahead = tile.ahead;
        alignas(32) std::int32_t in_memory[Rows * 16];
        std::int32_t* wide = in_memory;
        __asm__ volatile(""
                         : "+r"(wide)
                         :
                         : "memory");  // or GCC takes some of them for registers, and spills them
        for (std::size_t g = 0; g < tile.n_groups; ++g) {
            for (std::size_t r = 0; r < Rows; ++r) {
                __m256i left, right;
                begin_row(Grouped || tile.first, tile, r, g, left, right);
                _mm256_store_si256(reinterpret_cast<__m256i*>(wide + r * 16), left);
                _mm256_store_si256(reinterpret_cast<__m256i*>(wide + r * 16 + 8), right);
            }
            for (std::size_t s = 0; s < tile.n_steps;) {
                std::size_t const end = s + most < tile.n_steps ? s + most : tile.n_steps;
                __m256i sums[Rows][2];
                add_inputs<Streamed, true>(sums, w, a, stride, ahead, tile.ahead_stride, rows);
                for (std::size_t left = (Streamed ? 1 : 2) * (end - s) - 1; left != 0; --left)
                    add_inputs<Streamed, false>(sums, w, a, stride, ahead, tile.ahead_stride, rows);
                s = end;
                widen_rows(sums, wide, rows);
            }
            for (std::size_t r = 0; r < Rows; ++r)
                end_row<Grouped>(tile, r, g,
                                 _mm256_load_si256(reinterpret_cast<__m256i const*>(wide + r * 16)),
                                 _mm256_load_si256(reinterpret_cast<__m256i const*>(wide + r * 16 + 8)));
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
