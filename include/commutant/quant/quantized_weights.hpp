// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "commutant/quant/fake_quantize.hpp"
#include "commutant/quant/granularity.hpp"
#include "commutant/quant/grid.hpp"
#include "commutant/quant/range_setting.hpp"
#include "commutant/quant/settings.hpp"

namespace commutant {

/// Codes and grids of a weight, one code per byte: what packers and INT4 linears start from.
///
/// Layout    codes: [rows, cols] row-major, two's complement in [-2^(num_bits - 1), 2^(num_bits - 1) - 1];
///           scales: [rows * cols / slice], scales[i] for elements i * slice .. (i + 1) * slice - 1, so
///           [1] per tensor, [rows] per channel, [rows, cols / group_size] per group;
///           zero_points: as scales, or empty if symmetric
struct quantized_weights {
    std::size_t rows = 0;
    std::size_t cols = 0;
    std::size_t slice = 0;  ///< neighbouring elements that share a scale
    int num_bits = 4;
    bool symmetric = true;
    std::vector<std::int8_t> codes{};
    std::vector<float> scales{};
    std::vector<std::int8_t> zero_points{};

    /// Grid of slice i.
    [[nodiscard]] grid grid_of(std::size_t i) const {
        return {scales[i], zero_points.empty() ? 0 : std::int32_t{zero_points[i]}, num_bits, symmetric};
    }
};

namespace detail {

inline void require_matrix(std::size_t size, std::size_t rows, std::size_t cols, const char* where) {
    if (cols == 0 ? size != 0 : size % cols != 0 || size / cols != rows)
        throw std::invalid_argument(std::string(where) + ": the weight has " + std::to_string(size) +
                                    " elements, expected rows * cols = " + std::to_string(rows) + " * " +
                                    std::to_string(cols));
}

}  // namespace detail

/// Grids of a weight under its settings, from the weight itself.
///
/// Shape     weight: [rows, cols] row-major, [out_features, in_features]; result: one grid per slice
/// Errors    std::invalid_argument for a shape that does not fit, settings that validate refuses, a group
///           size that does not divide cols, and weights that are NaN or infinite, with their place
template <std::floating_point T>
[[nodiscard]] std::vector<grid> set_weight_ranges(std::span<const T> weight, std::size_t rows,
                                                  std::size_t cols, const weight_settings& settings) {
    validate(settings);
    detail::require_matrix(weight.size(), rows, cols, "set_weight_ranges");
    const std::size_t slice = slice_size(settings.scope, rows, cols, settings.group_size);
    const std::size_t bad =
        detail::raw_range_of(weight).finite ? weight.size() : detail::first_non_finite(weight);
    if (bad < weight.size())
        throw std::invalid_argument("set_weight_ranges: row " + std::to_string(bad / cols) + ", column " +
                                    std::to_string(bad % cols) + " is " +
                                    detail::non_finite_name(weight[bad]) + ", expected finite values");
    return set_ranges(weight, slice, settings.num_bits, settings.symmetric, settings.range);
}

/// Weight rounded to the grids that its settings ask for.
///
/// Shape     weight: [rows, cols] row-major, [out_features, in_features]
/// Errors    those of set_weight_ranges; std::invalid_argument at num_bits 16, which has no codes
template <std::floating_point T>
[[nodiscard]] quantized_weights quantize_weights(std::span<const T> weight, std::size_t rows,
                                                 std::size_t cols, const weight_settings& settings) {
    if (settings.num_bits == 16)
        throw std::invalid_argument(
            "quantize_weights: num_bits is 16, which is floating point and has no codes; expected "
            "2 to 8");
    const std::vector<grid> grids = set_weight_ranges(weight, rows, cols, settings);
    quantized_weights result;
    result.rows = rows;
    result.cols = cols;
    result.slice = slice_size(settings.scope, rows, cols, settings.group_size);
    result.num_bits = settings.num_bits;
    result.symmetric = settings.symmetric;
    result.codes.resize(weight.size());
    result.scales.reserve(grids.size());
    const std::span<std::int8_t> codes(result.codes);
    for (std::size_t i = 0; i < grids.size(); ++i) {
        quantize(weight.subspan(i * result.slice, result.slice), grids[i],
                 codes.subspan(i * result.slice, result.slice));
        result.scales.push_back(grids[i].scale);
        if (!settings.symmetric) result.zero_points.push_back(static_cast<std::int8_t>(grids[i].zero_point));
    }
    return result;
}

/// Values of a quantised weight.
///
/// Shape     weight: [rows, cols] row-major
/// Errors    std::invalid_argument if weight has another number of elements than codes
template <std::floating_point T> void dequantize(const quantized_weights& quantized, std::span<T> weight) {
    detail::require_matrix(weight.size(), quantized.rows, quantized.cols, "dequantize");
    const std::span<const std::int8_t> codes(quantized.codes);
    for (std::size_t i = 0; i < quantized.scales.size(); ++i)
        dequantize(codes.subspan(i * quantized.slice, quantized.slice), quantized.grid_of(i),
                   weight.subspan(i * quantized.slice, quantized.slice));
}

/// The weight replaced by its quantised values: dequantize(quantize_weights(weight)) bit for bit, without the
/// codes.
///
/// Shape     weight: [rows, cols] row-major, [out_features, in_features]
/// Errors    those of set_weight_ranges, before anything is written; num_bits 16 leaves the weight as it is
template <std::floating_point T>
void fake_quantize_weights_in_place(std::span<T> weight, std::size_t rows, std::size_t cols,
                                    const weight_settings& settings) {
    const std::vector<grid> grids = set_weight_ranges(std::span<const T>(weight), rows, cols, settings);
    fake_quantize_slices_in_place(weight, slice_size(settings.scope, rows, cols, settings.group_size),
                                  std::span<const grid>(grids));
}

}  // namespace commutant
