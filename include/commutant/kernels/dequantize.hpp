// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/detail/dequantize_avx2.hpp>
#include <commutant/kernels/detail/dequantize_avx512.hpp>
#include <commutant/kernels/detail/dequantize_avx512_vbmi.hpp>
#include <commutant/kernels/detail/dequantize_scalar.hpp>
#include <commutant/kernels/int4_pack.hpp>
#include <commutant/kernels/isa.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace commutant::kernels {

/// How packed 4-bit values lie, and whether they are [-8, 7] or [0, 15].
struct int4_layout {
    nibble_order order = nibble_order::interleaved;
    std::size_t block = default_nibble_block;  ///< of half_split
    bool is_signed = true;
};

namespace detail {

template <class Out> using dequantize_function = void(dequantize_job const&, Out*) noexcept;

template <class Out> inline constexpr std::array dequantize_bodies {
#if defined(COMMUTANT_KERNELS_X86)
    body<dequantize_function<Out>>{isa::avx512_vbmi, dequantize_avx512_vbmi<Out>},
        body<dequantize_function<Out>>{isa::avx512bw, dequantize_avx512<Out>},
        body<dequantize_function<Out>>{isa::avx2, dequantize_avx2<Out>},
#endif
        body<dequantize_function<Out>>{isa::scalar, dequantize_scalar<Out>},
};

template <class Out>
inline void run_dequantize(std::span<std::uint8_t const> packed, int4_layout layout, std::size_t group_size,
                           float const* scale, std::int32_t const* zero_point, std::span<Out> x) noexcept {
    if (x.empty()) return;
    dequantize_job const job{
        packed.data(), {x.size(), layout.order, layout.block}, layout.is_signed, group_size, scale,
        zero_point};
    dispatched<dequantize_bodies<Out>>{}.template operator()<dequantize_job const&, Out*>(job, x.data());
}

}  // namespace detail

/// Packed 4-bit codes to float, on one grid: a tensor, or one channel of it.
///
/// Equation  x = scale (q - zero_point), rounded once
/// Shape     packed: [packed_int4_size(n)]; x: [n]
/// Alias     packed and x lie apart
/// Tail      any n; half_split: block is even and n a multiple of it
inline void dequantize_int4(std::span<std::uint8_t const> packed, int4_layout layout, float scale,
                            std::int32_t zero_point, std::span<float> x) noexcept {
    detail::run_dequantize(packed, layout, x.size(), &scale, &zero_point, x);
}

/// The same to the bits of bfloat16: the float result, rounded once more to nearest even.
inline void dequantize_int4(std::span<std::uint8_t const> packed, int4_layout layout, float scale,
                            std::int32_t zero_point, std::span<std::uint16_t> x) noexcept {
    detail::run_dequantize(packed, layout, x.size(), &scale, &zero_point, x);
}

/// Packed 4-bit codes to float, with a grid for each group of neighbours.
///
/// Equation  x_i = scale_g (q_i - zero_point_g), g = i / group_size
/// Shape     packed: [packed_int4_size(n)]; scale, zero_point: [ceil(n / group_size)]; zero_point empty: zero; x: [n]
/// Layout    groups follow the order of the values, whatever the order of the nibbles
/// Alias     packed and x lie apart
/// Tail      any n; the last group may be short
/// Note      odd groups, and half_split groups or halves that are no multiples of 16, run in the scalar body
inline void dequantize_int4_groups(std::span<std::uint8_t const> packed, int4_layout layout,
                                   std::size_t group_size, std::span<float const> scale,
                                   std::span<std::int32_t const> zero_point, std::span<float> x) noexcept {
    detail::run_dequantize(packed, layout, group_size, scale.data(),
                           zero_point.empty() ? nullptr : zero_point.data(), x);
}

/// The same to the bits of bfloat16.
inline void dequantize_int4_groups(std::span<std::uint8_t const> packed, int4_layout layout,
                                   std::size_t group_size, std::span<float const> scale,
                                   std::span<std::int32_t const> zero_point,
                                   std::span<std::uint16_t> x) noexcept {
    detail::run_dequantize(packed, layout, group_size, scale.data(),
                           zero_point.empty() ? nullptr : zero_point.data(), x);
}

}  // namespace commutant::kernels
