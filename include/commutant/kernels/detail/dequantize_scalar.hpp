// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/detail/int4_pack_scalar.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace commutant::kernels::detail {

/// Packed values and the scales to multiply them with.
struct dequantize_job {
    std::uint8_t const* packed;
    nibble_run run;
    bool is_signed;
    std::size_t group_size;  ///< values that share a scale
    float const* scale;
    std::int32_t const* zero_point;  ///< null: zero
};

/// Upper half of a float, rounded to nearest even; needs a number.
[[nodiscard]] inline std::uint16_t bfloat16_bits(float x) noexcept {
    std::uint32_t const bits = std::bit_cast<std::uint32_t>(x);
    return static_cast<std::uint16_t>((bits + 0x7fffU + (bits >> 16 & 1U)) >> 16);
}

template <class Out> [[nodiscard]] inline Out as_output(float x) noexcept {
    if constexpr (std::is_same_v<Out, float>)
        return x;
    else
        return bfloat16_bits(x);
}

/// What each of the 16 nibbles stands for in group g.
template <class Out> inline void fill_table(dequantize_job const& job, std::size_t g, Out* table) noexcept {
    std::int32_t const zero_point = job.zero_point == nullptr ? 0 : job.zero_point[g];
    for (int k = 0; k < 16; ++k) {
        std::int32_t const code = job.is_signed && k > 7 ? k - 16 : k;
        table[k] = as_output<Out>(job.scale[g] * static_cast<float>(code - zero_point));
    }
}

/// Values first .. last.
template <class Out>
inline void dequantize_some(dequantize_job const& job, std::size_t first, std::size_t last,
                            Out* out) noexcept {
    Out table[16];
    std::size_t known = ~std::size_t{0};
    for (std::size_t i = first; i < last; ++i) {
        std::size_t const g = i / job.group_size;
        if (g != known) fill_table(job, g, table);
        known = g;
        out[i] = table[nibble_at(job.packed, job.run, i)];
    }
}

template <class Out> inline void dequantize_scalar(dequantize_job const& job, Out* out) noexcept {
    dequantize_some(job, 0, job.run.n, out);
}

}  // namespace commutant::kernels::detail
