// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/detail/quantize_avx2.hpp>
#include <commutant/kernels/detail/quantize_avx512.hpp>
#include <commutant/kernels/detail/quantize_scalar.hpp>
#include <commutant/kernels/detail/quantize_sink.hpp>
#include <commutant/kernels/detail/quantize_xsimd.hpp>
#include <commutant/kernels/int4_pack.hpp>
#include <commutant/kernels/isa.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace commutant::kernels {
namespace detail {

using range_function = float_range(float const*, std::size_t) noexcept;
using quantize_rows_function = void(float const*, std::size_t, std::size_t, code_sink const&) noexcept;

inline constexpr std::array range_bodies {
#if defined(COMMUTANT_KERNELS_X86)
    body<range_function>{isa::avx512bw, range_avx512}, body<range_function>{isa::avx2, range_avx2},
#endif
#if defined(COMMUTANT_KERNELS_XSIMD)
        body<range_function>{isa::xsimd, range_xsimd},
#endif
        body<range_function>{isa::scalar, range_scalar},
};
inline constexpr std::array quantize_rows_bodies {
#if defined(COMMUTANT_KERNELS_X86)
    body<quantize_rows_function>{isa::avx512bw, quantize_rows_avx512},
        body<quantize_rows_function>{isa::avx2, quantize_rows_avx2},
#endif
#if defined(COMMUTANT_KERNELS_XSIMD)
        body<quantize_rows_function>{isa::xsimd, quantize_rows_xsimd},
#endif
        body<quantize_rows_function>{isa::scalar, quantize_rows_scalar},
};

}  // namespace detail

/// Smallest and largest of some values and zero.
///
/// Shape     x: [n]
/// Note      NaN is passed over
[[nodiscard]] inline float_range range_of(std::span<float const> x) noexcept {
    return dispatched<detail::range_bodies>{}(x.data(), x.size());
}

/// Codes of values on a static grid.
///
/// Equation  q = clamp(round(x * (1 / scale)) + zero_point, lo, hi), round half to even
/// Shape     x, out.codes: [n]
/// Alias     out and x lie apart
/// Tail      any n
/// Note      1 / scale is a float: codes differ from those of a division only where x / scale is within two ulp of a
///           tie. NaN takes lo, infinities the end codes.
inline void quantize(std::span<float const> x, static_codes out) noexcept {
    dispatched<detail::quantize_rows_bodies>{}(x.data(), std::size_t{1}, x.size(), detail::sink_of(out));
}

/// The same, packed two to a byte.
///
/// Shape     x: [n]; out.packed: [packed_int4_size(n)]
/// Tail      n odd: the last nibble is zero
inline void quantize(std::span<float const> x, static_nibbles out) noexcept {
    dispatched<detail::quantize_rows_bodies>{}(x.data(), std::size_t{1}, x.size(), detail::sink_of(out));
}

/// Codes of rows, each on its own grid.
///
/// Equation  as above, with the scale and zero point of min_max_code_grid for each row
/// Shape     x: [n_rows, x.size() / n_rows]
/// Alias     out and x lie apart
inline void quantize_rows(std::span<float const> x, std::size_t n_rows, dynamic_codes out) noexcept {
    if (n_rows == 0) return;
    dispatched<detail::quantize_rows_bodies>{}(x.data(), n_rows, x.size() / n_rows, detail::sink_of(out));
}
inline void quantize_rows(std::span<float const> x, std::size_t n_rows, dynamic_nibbles out) noexcept {
    if (n_rows == 0) return;
    dispatched<detail::quantize_rows_bodies>{}(x.data(), n_rows, x.size() / n_rows, detail::sink_of(out));
}

/// Codes of rows on one grid, those of quantize row by row.
///
/// Shape     x: [n_rows, x.size() / n_rows]
/// Alias     out and x lie apart
/// Tail      nibbles of an odd row size: the last one of each row is zero
inline void quantize_rows(std::span<float const> x, std::size_t n_rows, static_codes out) noexcept {
    if (n_rows == 0) return;
    quantize(x.first(x.size() / n_rows * n_rows), out);  // rows are not worth a start each
}
inline void quantize_rows(std::span<float const> x, std::size_t n_rows, static_nibbles out) noexcept {
    if (n_rows == 0) return;
    std::size_t const row_size = x.size() / n_rows;
    if (row_size % 2 == 0)
        return quantize(x.first(n_rows * row_size), out);  // every row begins at a byte: one run
    dispatched<detail::quantize_rows_bodies>{}(x.data(), n_rows, row_size, detail::sink_of(out));
}

}  // namespace commutant::kernels
