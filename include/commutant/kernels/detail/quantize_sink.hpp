// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/detail/quantize_scalar.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

namespace commutant::kernels {

/// Rows become int8 codes on one grid, known beforehand.
///
/// Shape     codes: [n_rows, row_size]
struct static_codes {
    code_grid grid;
    std::span<std::int8_t> codes;
};

/// Rows become packed 4-bit codes on one grid, known beforehand; grid.num_bits is at most 4.
///
/// Shape     packed: [n_rows, packed_int4_size(row_size)]
struct static_nibbles {
    code_grid grid;
    std::span<std::uint8_t> packed;
    nibble_order order = nibble_order::interleaved;
    std::size_t block = 32;  ///< of half_split: even, and row_size is a multiple of it
};

/// Every row becomes int8 codes on the smallest grid that covers it (min_max_code_grid).
///
/// Shape     codes: [n_rows, row_size]; scale, zero_point: [n_rows], written
/// Note      NaN takes no part in the range and becomes the lowest code; a row with an infinity has an infinite scale
struct dynamic_codes {
    int num_bits = 8;
    bool symmetric = false;
    std::span<std::int8_t> codes;
    std::span<float> scale;
    std::span<std::int32_t> zero_point;
};

/// The same with packed 4-bit codes; num_bits is at most 4.
///
/// Shape     packed: [n_rows, packed_int4_size(row_size)]; scale, zero_point: [n_rows], written
struct dynamic_nibbles {
    int num_bits = 4;
    bool symmetric = false;
    std::span<std::uint8_t> packed;
    std::span<float> scale;
    std::span<std::int32_t> zero_point;
    nibble_order order = nibble_order::interleaved;
    std::size_t block = 32;
};

namespace detail {

/// Where finished rows go; codes or packed is null.
struct code_sink {
    std::int8_t* codes = nullptr;
    std::uint8_t* packed = nullptr;
    float* scale = nullptr;  ///< null for a grid known beforehand
    std::int32_t* zero_point = nullptr;
    code_grid grid{};
    bool symmetric = false;
    nibble_order order = nibble_order::interleaved;
    std::size_t block = 32;

    [[nodiscard]] constexpr bool is_active() const noexcept { return codes != nullptr || packed != nullptr; }
    [[nodiscard]] constexpr bool is_dynamic() const noexcept { return scale != nullptr; }
};

[[nodiscard]] inline code_sink sink_of(static_codes const& s) noexcept {
    code_sink r;
    r.codes = s.codes.data();
    r.grid = s.grid;
    return r;
}
[[nodiscard]] inline code_sink sink_of(static_nibbles const& s) noexcept {
    code_sink r;
    r.packed = s.packed.data();
    r.grid = s.grid;
    r.order = s.order;
    r.block = s.block;
    return r;
}
[[nodiscard]] inline code_sink sink_of(dynamic_codes const& s) noexcept {
    code_sink r;
    r.codes = s.codes.data();
    r.scale = s.scale.data();
    r.zero_point = s.zero_point.data();
    r.grid.num_bits = s.num_bits;
    r.symmetric = s.symmetric;
    return r;
}
[[nodiscard]] inline code_sink sink_of(dynamic_nibbles const& s) noexcept {
    code_sink r;
    r.packed = s.packed.data();
    r.scale = s.scale.data();
    r.zero_point = s.zero_point.data();
    r.grid.num_bits = s.num_bits;
    r.symmetric = s.symmetric;
    r.order = s.order;
    r.block = s.block;
    return r;
}

/// The range of factor * x, from that of x: rounding keeps the order.
[[nodiscard]] inline float_range scaled_range(float_range r, float factor) noexcept {
    float const a = r.min * factor;
    float const b = r.max * factor;
    return a < b ? float_range{a, b} : float_range{b, a};
}

/// Grid of row r, written down if it is dynamic, as constants for values that still lack a factor.
[[nodiscard]] inline quantize_constants sink_constants(code_sink const& sink, std::size_t r,
                                                       float_range unscaled, float factor) noexcept {
    if (!sink.is_dynamic()) return constants_of(sink.grid, factor);
    code_grid const g = min_max_code_grid(scaled_range(unscaled, factor), sink.grid.num_bits, sink.symmetric);
    sink.scale[r] = g.scale;
    sink.zero_point[r] = g.zero_point;
    return constants_of(g, factor);
}

/// Row r of a result: x times factor, quantised.
inline void write_row_scalar(code_sink const& sink, std::size_t r, float const* x, std::size_t n,
                             float factor) noexcept {
    float_range const range = sink.is_dynamic() ? range_scalar(x, n) : float_range{};
    quantize_constants const c = sink_constants(sink, r, range, factor);
    if (sink.codes != nullptr)
        quantize_scalar(x, n, c, sink.codes + r * n);
    else
        quantize_packed_scalar(x, nibble_run{n, sink.order, sink.block}, c, sink.packed + r * ((n + 1) / 2));
}

inline void quantize_rows_scalar(float const* x, std::size_t n_rows, std::size_t n,
                                 code_sink const& sink) noexcept {
    for (std::size_t r = 0; r < n_rows; ++r) write_row_scalar(sink, r, x + r * n, n, 1.0F);
}

}  // namespace detail
}  // namespace commutant::kernels
