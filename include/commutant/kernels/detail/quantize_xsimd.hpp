// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/detail/int4_pack_scalar.hpp>
#include <commutant/kernels/detail/quantize_sink.hpp>
#include <commutant/kernels/isa.hpp>

#if !defined(COMMUTANT_SCALAR)
#include <xsimd/xsimd.hpp>
#endif

#if !defined(COMMUTANT_SCALAR) && !defined(XSIMD_NO_SUPPORTED_ARCHITECTURE)
#define COMMUTANT_KERNELS_XSIMD 1

#include <cstddef>
#include <cstdint>

namespace commutant::kernels::detail {

using float_batch = xsimd::batch<float>;
using int_batch = xsimd::batch<std::int32_t>;

/// Codes of 64 values. Comparisons send NaN to low; narrowing is left to the compiler, as shuffles differ by version.
inline void quantize_64_xsimd(float const* x, quantize_constants c, std::int8_t* codes) noexcept {
    alignas(64) std::int32_t steps[64];
    float_batch const inverse(c.inverse_scale), low(c.low), high(c.high);
    for (std::size_t i = 0; i < 64; i += float_batch::size) {
        float_batch u = float_batch::load_unaligned(x + i) * inverse;
        u = xsimd::select(u > low, u, low);
        u = xsimd::select(u < high, u, high);
        xsimd::nearbyint_as_int(u).store_aligned(steps + i);
    }
    for (std::size_t i = 0; i < 64; ++i) codes[i] = static_cast<std::int8_t>(steps[i] + c.zero_point);
}

inline void quantize_xsimd(float const* x, std::size_t n, quantize_constants c, std::int8_t* codes) noexcept {
    std::size_t i = 0;
    for (; i + 64 <= n; i += 64) quantize_64_xsimd(x + i, c, codes + i);
    quantize_scalar(x + i, n - i, c, codes + i);
}

inline void quantize_packed_xsimd(float const* x, nibble_run run, quantize_constants c,
                                  std::uint8_t* packed) noexcept {
    std::size_t i = 0;
    if (run.order != nibble_order::half_split || 64 % run.block == 0) {
        for (; i + 64 <= run.n; i += 64) {
            std::int8_t codes[64];
            quantize_64_xsimd(x + i, c, codes);
            pack_int4_scalar(reinterpret_cast<std::uint8_t const*>(codes), {64, run.order, run.block},
                             packed + i / 2);
        }
    }
    quantize_packed_scalar(x + i, {run.n - i, run.order, run.block}, c, packed + i / 2);
}

inline float_range range_xsimd(float const* x, std::size_t n) noexcept {
    float_batch low(0.0F), high(0.0F);
    std::size_t i = 0;
    for (; i + float_batch::size <= n; i += float_batch::size) {
        float_batch const v = float_batch::load_unaligned(x + i);
        low = xsimd::select(v < low, v, low);
        high = xsimd::select(v > high, v, high);
    }
    float ends[2 * float_batch::size];
    low.store_unaligned(ends);
    high.store_unaligned(ends + float_batch::size);
    float_range const a = range_scalar(ends, 2 * float_batch::size), b = range_scalar(x + i, n - i);
    return {b.min < a.min ? b.min : a.min, b.max > a.max ? b.max : a.max};
}

/// Row r of a result: x times factor, quantised.
inline void write_row_xsimd(code_sink const& sink, std::size_t r, float const* x, std::size_t n,
                            float factor) noexcept {
    float_range const range = sink.is_dynamic() ? range_xsimd(x, n) : float_range{};
    quantize_constants const c = sink_constants(sink, r, range, factor);
    if (sink.codes != nullptr)
        quantize_xsimd(x, n, c, sink.codes + r * n);
    else
        quantize_packed_xsimd(x, nibble_run{n, sink.order, sink.block}, c, sink.packed + r * ((n + 1) / 2));
}

inline void quantize_rows_xsimd(float const* x, std::size_t n_rows, std::size_t n,
                                code_sink const& sink) noexcept {
    for (std::size_t r = 0; r < n_rows; ++r) write_row_xsimd(sink, r, x + r * n, n, 1.0F);
}

}  // namespace commutant::kernels::detail

#endif
