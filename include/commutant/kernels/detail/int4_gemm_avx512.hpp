// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "commutant/kernels/isa.hpp"

#if defined(COMMUTANT_KERNELS_X86)

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "commutant/kernels/detail/int4_gemm_job.hpp"

namespace commutant::kernels::detail {

/// What the 512-bit bodies share around their tiles.
struct int4_avx512 {
    /// corrections[g] = -8 times the sum of a group of codes.
    COMMUTANT_TARGET_AVX512BW static void row_sums(std::int8_t const* row, std::size_t k, std::size_t group,
                                                   std::int32_t* corrections) noexcept {
        __m512i const top = _mm512_set1_epi8(-128), zero = _mm512_setzero_si512();
        for (std::size_t begin = 0; begin < k; begin += group, ++corrections) {
            // Sums of absolute differences take unsigned bytes: x + 128, whose excess is known.
            __m512i sum = zero;
            std::size_t i = 0;
            for (; i + 64 <= group; i += 64)
                sum = _mm512_add_epi64(
                    sum, _mm512_sad_epu8(_mm512_xor_si512(_mm512_loadu_si512(row + begin + i), top), zero));
            if (i < group) {
                __mmask64 const rest = ~std::uint64_t{0} >> (64 - (group - i));
                __m512i const x = _mm512_xor_si512(_mm512_maskz_loadu_epi8(rest, row + begin + i), top);
                sum = _mm512_add_epi64(sum, _mm512_sad_epu8(_mm512_maskz_mov_epi8(rest, x), zero));
            }
            std::int64_t const total = _mm512_reduce_add_epi64(sum) - 128 * static_cast<std::int64_t>(group);
            *corrections = static_cast<std::int32_t>(-8 * total);
        }
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
