// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "commutant/kernels/isa.hpp"

#if defined(COMMUTANT_KERNELS_X86)

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "commutant/kernels/detail/int4_gemm_job.hpp"
#include "commutant/kernels/detail/int4_pack_avx512.hpp"

namespace commutant::kernels::detail {

/// What the 512-bit bodies share around their tiles.
struct int4_avx512 {
    /// corrections[r, g] = -8 times the sum of a group of codes of a row.
    COMMUTANT_TARGET_AVX512BW static void row_sums(std::int8_t const* rows, std::size_t stride,
                                                   std::size_t n_rows, std::size_t k, std::size_t group,
                                                   std::int32_t* corrections) noexcept {
        // Groups of a row, or whole rows, by four: the ends of four sums cost little more than that of one.
        bool const whole = group == k;
        std::size_t const n = whole ? n_rows : k / group, step = whole ? stride : group;
        for (std::size_t done = 0; done < n_rows; done += whole ? n : 1, corrections += n) {
            std::int8_t const* const first = rows + done * stride;
            for (std::size_t i = 0; i < n; i += 4) {
                // Beyond the last one the last again, not stored.
                auto const at = [&](std::size_t j) { return first + std::min(i + j, n - 1) * step; };
                __m128i const sums =
                    sums_of_four(sum(at(0), group), sum(at(1), group), sum(at(2), group), sum(at(3), group));
                auto const mask = static_cast<__mmask8>(n - i < 4 ? (1U << (n - i)) - 1 : 15U);
                _mm_mask_storeu_epi32(corrections + i, mask,
                                      _mm_sub_epi32(_mm_setzero_si128(), _mm_slli_epi32(sums, 3)));
            }
        }
    }
    /// Codes in sixteen partial sums.
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static __m512i sum(std::int8_t const* codes,
                                                                  std::size_t n) noexcept {
        __m512i total = _mm512_setzero_si512();
        std::size_t i = 0;
        for (; i + 64 <= n; i += 64)
            total = _mm512_add_epi32(total, sums_of_fours(_mm512_loadu_si512(codes + i)));
        if (i == n) return total;
        return _mm512_add_epi32(total, sums_of_fours(_mm512_maskz_loadu_epi8(first_bytes(n - i), codes + i)));
    }
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static __m512i sums_of_fours(__m512i codes) noexcept {
        return _mm512_madd_epi16(_mm512_maddubs_epi16(_mm512_set1_epi8(1), codes), _mm512_set1_epi16(1));
    }
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static __m128i sums_of_four(__m512i a, __m512i b, __m512i c,
                                                                           __m512i d) noexcept {
        __m512i const ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
        __m512i const cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
        __m512i const all = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
        __m256i const half = _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
        return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    }

    /// Packed codes of a row, and zeros up to whole 64.
    COMMUTANT_TARGET_AVX512BW static void unpack_row(std::uint8_t const* packed, std::size_t k,
                                                     std::int8_t* codes) noexcept {
        std::size_t i = 0;
        for (; i + 64 <= k; i += 64) {
            __m256i const pairs = _mm256_loadu_si256(reinterpret_cast<__m256i const*>(packed + i / 2));
            _mm512_store_si512(codes + i, zmm_values<true>(zmm_split_pairs(pairs, false)));
        }
        if (i == k) return;
        // The store is a whole one: a load of what a masked store has just written waits for the cache.
        __m256i const pairs =
            _mm256_maskz_loadu_epi8(static_cast<__mmask32>(first_bytes((k - i + 1) / 2)), packed + i / 2);
        __m512i const values = zmm_values<true>(zmm_split_pairs(pairs, false));
        _mm512_store_si512(codes + i, _mm512_maskz_mov_epi8(first_bytes(k - i), values));
    }

    /// Lines of neighbouring column tiles to [2 n_steps][tiles][64] bytes in [0, 15]; then zeros up to whole
    /// 64 inputs.
    COMMUTANT_TARGET_AVX512BW static void unpack(std::uint8_t const* lines, std::size_t stride,
                                                 std::size_t tiles, std::size_t n_steps,
                                                 std::uint8_t* panel) noexcept {
        __m512i const low = _mm512_set1_epi8(15);
        for (std::size_t t = 0; t < tiles; ++t) {
            std::uint8_t const* in = lines + t * stride;
            std::uint8_t* out = panel + t * 64;
            for (std::size_t s = 0; s < n_steps; ++s, in += 64, out += tiles * 128) {
                __m512i const line = _mm512_load_si512(in);
                _mm512_store_si512(out, _mm512_and_si512(line, low));
                _mm512_store_si512(out + tiles * 64, _mm512_and_si512(_mm512_srli_epi16(line, 4), low));
            }
        }
        std::size_t const spare = (8 - n_steps % 8) % 8;
        if (spare != 0) std::memset(panel + n_steps * tiles * 128, 0, spare * tiles * 128);
    }

    /// Sums to floats in y: the expressions of int4_gemm_scalar.
    COMMUTANT_TARGET_AVX512BW static void finish(int4_gemm_job const& job, std::int32_t const* sums,
                                                 std::size_t m, std::size_t n_rows, std::size_t tile,
                                                 std::size_t tiles) noexcept {
        if (finishes_whole(job, tile, tiles)) {
            finish_whole(job, sums, m, n_rows, tile, tiles);
        } else {
            finish_any(job, sums, m, n_rows, tile, tiles);
        }
    }
    [[nodiscard]] static bool finishes_whole(int4_gemm_job const& job, std::size_t tile,
                                             std::size_t tiles) noexcept {
        int4_weights_view const& w = job.weights;
        return w.per_channel && job.bias == nullptr && job.residual == nullptr &&
               (tile + tiles) * w.tile_columns <= w.out_features;
    }

    /// A zero point and 256 times it, to multiply the two parts of a column's sum with.
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static __m512i zero_point_factors(
        std::int32_t zero_point) noexcept {
        auto const z = static_cast<std::uint32_t>(zero_point);
        return _mm512_set1_epi32(static_cast<std::int32_t>(z << 24 | (z & 0xffff)));
    }

    /// What finishing a row per channel needs for each column.
    struct column_factors {
        alignas(64) std::int32_t offsets[int4_gemm_job::panel_columns];  ///< zero point times column sum
        alignas(64) float scales[int4_gemm_job::panel_columns];          ///< of the row times of the column
    };
    COMMUTANT_TARGET_AVX512BW static void set_factors(int4_gemm_job const& job, std::size_t m,
                                                      std::size_t tile, std::size_t tiles,
                                                      column_factors& f) noexcept {
        __m512i const zero_point = zero_point_factors(job.zero_point(m));
        __m512 const row_scale = _mm512_set1_ps(job.scale(m));
        for (std::size_t c = 0; c < tiles * 16; c += 16) {
            std::size_t const n = tile * 16 + c;
            _mm512_store_si512(
                f.offsets + c,
                _mm512_madd_epi16(_mm512_load_si512(job.weights.column_sums + 2 * n), zero_point));
            _mm512_store_ps(f.scales + c, _mm512_mul_ps(row_scale, _mm512_load_ps(job.weights.scales + n)));
        }
    }
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static __m512 scaled(__m512i sum, column_factors const& f,
                                                                    std::size_t column) noexcept {
        __m512i const whole = _mm512_sub_epi32(sum, _mm512_load_si512(f.offsets + column));
        return _mm512_fmadd_ps(_mm512_cvtepi32_ps(whole), _mm512_load_ps(f.scales + column),
                               _mm512_setzero_ps());
    }

    /// Whole tiles of a product per channel to which nothing is added: most of a model's, and on few inputs a
    /// noticeable part of its time.
    COMMUTANT_TARGET_AVX512BW static void finish_whole(int4_gemm_job const& job, std::int32_t const* sums,
                                                       std::size_t m, std::size_t n_rows, std::size_t tile,
                                                       std::size_t tiles) noexcept {
        column_factors f;
        bool const by_row = job.scale_step != 0 || job.zero_point_step != 0;
        for (std::size_t r = 0; r < n_rows; ++r, ++m, sums += int4_gemm_job::panel_columns) {
            if (r == 0 || by_row) set_factors(job, m, tile, tiles, f);
            float* const y = job.y + m * job.y_stride + tile * 16;
            for (std::size_t c = 0; c < tiles * 16; c += 16)
                _mm512_storeu_ps(y + c, scaled(_mm512_loadu_si512(sums + c), f, c));
        }
    }

    COMMUTANT_TARGET_AVX512BW static void finish_any(int4_gemm_job const& job, std::int32_t const* sums,
                                                     std::size_t m, std::size_t n_rows, std::size_t tile,
                                                     std::size_t tiles) noexcept {
        int4_weights_view const& w = job.weights;
        std::size_t const n = tile * w.tile_columns, left = w.out_features - n;
        auto const last_mask = static_cast<__mmask16>(left >= tiles * 16 ? 0xffff : (1u << left % 16) - 1);
        for (std::size_t r = 0; r < n_rows; ++r, ++m, sums += int4_gemm_job::panel_columns) {
            std::int32_t const zero_point = job.zero_point(m);
            __m512i const factors = zero_point_factors(zero_point);
            __m512 const minus_zero_point = _mm512_set1_ps(-static_cast<float>(zero_point));
            __m512 const row_scale = _mm512_set1_ps(job.scale(m)),
                         bias_scale = _mm512_set1_ps(job.bias_scale(m));
            float* const y = job.y + m * job.y_stride + n;
            float const* const residual =
                job.residual == nullptr ? nullptr : job.residual + m * job.residual_stride + n;
            for (std::size_t t = 0; t < tiles; ++t) {
                __mmask16 const mask = t + 1 == tiles ? last_mask : static_cast<__mmask16>(0xffff);
                std::size_t const c = t * 16;
                __m512 addend = _mm512_setzero_ps();
                if (residual != nullptr) addend = _mm512_maskz_loadu_ps(mask, residual + c);
                if (job.bias != nullptr)
                    addend =
                        _mm512_fmadd_ps(bias_scale, _mm512_maskz_loadu_ps(mask, job.bias + n + c), addend);
                __m512 sum, scale = row_scale;
                if (w.per_channel) {
                    __m512i const column_sums = _mm512_load_si512(w.column_sums + 2 * (n + c));
                    sum = _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_loadu_si512(sums + c),
                                                              _mm512_madd_epi16(column_sums, factors)));
                    scale = _mm512_mul_ps(scale, _mm512_load_ps(w.scales + n + c));
                } else {
                    sum = _mm512_fmadd_ps(minus_zero_point, _mm512_load_ps(w.scaled_column_sums + n + c),
                                          _mm512_loadu_ps(sums + c));
                }
                _mm512_mask_storeu_ps(y + c, mask, _mm512_fmadd_ps(sum, scale, addend));
            }
        }
    }
};

}  // namespace commutant::kernels::detail

#endif
