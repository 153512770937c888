// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>

#include "commutant/kernels/detail/int4_gemm_memory.hpp"

namespace commutant::kernels {

/// INT4 weights in the order that int4_gemm reads them, on memory of somebody else.
///
/// Shape     lines: [n_column_tiles][n_steps][64] bytes; scales: [n_groups][n_columns_padded];
///           column_sums: [n_columns_padded][2]; scaled_column_sums: [n_columns_padded]
/// Layout    a line holds 16 columns (output features) x 8 inputs: byte 4 c + i is, for column c of the tile,
///           input i of the step in the low nibble and input 4 + i in the high one, each as code + 8. A line
///           is thus the unsigned operand of a dot of bytes after one mask, or one shift and a mask. Every
///           instruction set reads this one layout
/// Tail      columns beyond out_features and inputs beyond in_features are nibbles 0, which add 0 to a dot
///           with any activation; their scales and sums are 0
/// Note      all memory is 64-byte aligned
struct int4_weights_view {
    static constexpr std::size_t tile_columns = 16;
    static constexpr std::size_t step_inputs = 8;
    static constexpr std::size_t line_bytes = 64;

    std::size_t out_features = 0;  ///< N
    std::size_t in_features = 0;   ///< K
    std::size_t group_size = 0;    ///< inputs that share a scale; in_features if one scale per channel
    bool per_channel = true;
    std::uint8_t const* lines = nullptr;
    float const* scales = nullptr;
    std::int16_t const* column_sums =
        nullptr;  ///< sum of a column's codes is [0] + 256 [1]; [0] in [-128, 127]
    float const* scaled_column_sums = nullptr;  ///< sum of scale * code of a column, rounded once

    [[nodiscard]] constexpr std::size_t n_column_tiles() const noexcept {
        return (out_features + tile_columns - 1) / tile_columns;
    }
    [[nodiscard]] constexpr std::size_t n_columns_padded() const noexcept {
        return n_column_tiles() * tile_columns;
    }
    [[nodiscard]] constexpr std::size_t n_steps() const noexcept {
        return (in_features + step_inputs - 1) / step_inputs;
    }
    [[nodiscard]] constexpr std::size_t n_groups() const noexcept {
        return group_size == 0 ? 0 : in_features / group_size;
    }

    /// Code of one weight, in [-8, 7].
    [[nodiscard]] constexpr int code(std::size_t column, std::size_t input) const noexcept {
        std::size_t const line = column / tile_columns * n_steps() + input / step_inputs;
        std::size_t const byte = line * line_bytes + column % tile_columns * 4 + input % 4;
        return (lines[byte] >> (input % step_inputs < 4 ? 0 : 4) & 15) - 8;
    }

    /// Scale of one weight.
    [[nodiscard]] constexpr float scale(std::size_t column, std::size_t input) const noexcept {
        return scales[input / group_size * n_columns_padded() + column];
    }
};

/// Largest in_features: sums of (activation - zero point) * code, at most 255 * 8 in magnitude each, then fit
/// 32 bits, and column sums fit column_sums, 8 K <= 32767 * 256.
inline constexpr std::size_t int4_max_in_features = 1'048'544;

namespace detail {

struct int4_codes {
    std::int8_t const* codes;
    std::uint8_t const* packed;
    std::size_t row_elements;

    [[nodiscard]] int operator()(std::size_t n, std::size_t k) const noexcept {
        if (codes != nullptr) return codes[n * row_elements + k];
        std::size_t const i = n * row_elements + k;
        int const nibble = packed[i / 2] >> (i % 2 * 4) & 15;
        return (nibble ^ 8) - 8;
    }
};

}  // namespace detail

/// INT4 weights repacked once, when a model is loaded, into the order that int4_gemm reads.
///
/// Equation  weight[n, k] = scale[n, k / group_size] * code[n, k]
/// Shape     codes: [out_features, in_features] row-major; scales: [out_features, in_features / group_size],
///           so [out_features] per channel (group_size 0 or in_features)
/// Units     codes in [-8, 7]; in_features at most int4_max_in_features
/// Cost      16 columns x 8 inputs in 64 bytes; allocates here and nowhere later
/// Errors    std::invalid_argument for sizes that do not fit each other, a group size that is not a multiple
///           of 8 or does not divide in_features, and a code outside [-8, 7], with its place
class int4_weights {
public:
    int4_weights() = default;

    /// From one code per byte.
    int4_weights(std::span<std::int8_t const> codes, std::size_t out_features, std::size_t in_features,
                 std::span<float const> scales, std::size_t group_size = 0) {
        require(codes.size(), out_features * in_features, "codes", "out_features * in_features");
        for (std::size_t i = 0; i < codes.size(); ++i)
            if (codes[i] < -8 || codes[i] > 7)
                throw std::invalid_argument("int4_weights: row " + std::to_string(i / in_features) +
                                            ", column " + std::to_string(i % in_features) + " is " +
                                            std::to_string(codes[i]) + ", expected -8 to 7");
        pack({codes.data(), nullptr, in_features}, out_features, in_features, scales, group_size);
    }

    /// From two's complement nibbles, elements (2 i, 2 i + 1) of a row in byte i, the first one low; an odd
    /// row ends with half a byte.
    [[nodiscard]] static int4_weights from_packed(std::span<std::uint8_t const> codes,
                                                  std::size_t out_features, std::size_t in_features,
                                                  std::span<float const> scales, std::size_t group_size = 0) {
        std::size_t const row_bytes = (in_features + 1) / 2;
        require(codes.size(), out_features * row_bytes, "packed codes",
                "out_features * ((in_features + 1) / 2)");
        int4_weights result;
        result.pack({nullptr, codes.data(), row_bytes * 2}, out_features, in_features, scales, group_size);
        return result;
    }

    [[nodiscard]] int4_weights_view view() const noexcept {
        int4_weights_view v = sizes_;
        v.lines = reinterpret_cast<std::uint8_t const*>(memory_.data());
        v.scales = reinterpret_cast<float const*>(memory_.data() + scales_at_);
        v.scaled_column_sums = reinterpret_cast<float const*>(memory_.data() + scaled_sums_at_);
        v.column_sums = reinterpret_cast<std::int16_t const*>(memory_.data() + sums_at_);
        return v;
    }
    operator int4_weights_view() const noexcept { return view(); }

    /// Bytes of memory held.
    [[nodiscard]] std::size_t bytes() const noexcept { return memory_.size(); }

private:
    static void require(std::size_t size, std::size_t expected, char const* what, char const* formula) {
        if (size != expected)
            throw std::invalid_argument("int4_weights: " + std::to_string(size) + " " + what +
                                        " given, expected " + formula + " = " + std::to_string(expected));
    }

    void pack(detail::int4_codes source, std::size_t n, std::size_t k, std::span<float const> scales,
              std::size_t group_size) {
        if (n == 0 || k == 0 || k > int4_max_in_features)
            throw std::invalid_argument("int4_weights: the shape is " + std::to_string(n) + " x " +
                                        std::to_string(k) + ", expected at least 1 x 1 and at most " +
                                        std::to_string(int4_max_in_features) + " inputs");
        bool const per_channel = group_size == 0 || group_size == k;
        if (!per_channel && (group_size % int4_weights_view::step_inputs != 0 || k % group_size != 0))
            throw std::invalid_argument(
                "int4_weights: group_size is " + std::to_string(group_size) +
                ", expected a multiple of 8 that divides in_features = " + std::to_string(k));
        sizes_ = {};
        sizes_.out_features = n;
        sizes_.in_features = k;
        sizes_.group_size = per_channel ? k : group_size;
        sizes_.per_channel = per_channel;
        require(scales.size(), n * sizes_.n_groups(), "scales", "out_features * in_features / group_size");

        std::size_t const padded = sizes_.n_columns_padded();
        scales_at_ = sizes_.n_column_tiles() * sizes_.n_steps() * int4_weights_view::line_bytes;
        scaled_sums_at_ = scales_at_ + sizes_.n_groups() * padded * sizeof(float);
        sums_at_ = scaled_sums_at_ + padded * sizeof(float);
        memory_ = detail::aligned_memory(sums_at_ + padded * 2 * sizeof(std::int16_t));
        write_lines(source);
        write_scales(source, scales);
    }

    void write_lines(detail::int4_codes source) noexcept {
        auto* const lines = reinterpret_cast<std::uint8_t*>(memory_.data());
        std::size_t const n_steps = sizes_.n_steps();
        for (std::size_t n = 0; n < sizes_.out_features; ++n) {
            std::uint8_t* const column =
                lines + n / int4_weights_view::tile_columns * n_steps * 64 + n % 16 * 4;
            for (std::size_t k = 0; k < sizes_.in_features; ++k) {
                int const nibble = source(n, k) + 8;
                column[k / 8 * 64 + k % 4] |= static_cast<std::uint8_t>(k % 8 < 4 ? nibble : nibble << 4);
            }
        }
    }

    void write_scales(detail::int4_codes source, std::span<float const> scales) noexcept {
        auto* const out = reinterpret_cast<float*>(memory_.data() + scales_at_);
        auto* const scaled_sums = reinterpret_cast<float*>(memory_.data() + scaled_sums_at_);
        auto* const sums = reinterpret_cast<std::int16_t*>(memory_.data() + sums_at_);
        std::size_t const n_groups = sizes_.n_groups();
        for (std::size_t n = 0; n < sizes_.out_features; ++n) {
            std::int32_t sum = 0;
            double scaled_sum = 0.0;
            for (std::size_t g = 0; g < n_groups; ++g) {
                std::int32_t group_sum = 0;
                for (std::size_t k = g * sizes_.group_size; k < (g + 1) * sizes_.group_size; ++k)
                    group_sum += source(n, k);
                sum += group_sum;
                scaled_sum += static_cast<double>(scales[n * n_groups + g]) * group_sum;
                out[g * sizes_.n_columns_padded() + n] = scales[n * n_groups + g];
            }
            scaled_sums[n] = static_cast<float>(scaled_sum);
            std::int32_t const low = ((sum + 128) & 255) - 128;
            sums[2 * n] = static_cast<std::int16_t>(low);
            sums[2 * n + 1] = static_cast<std::int16_t>((sum - low) / 256);
        }
    }

    int4_weights_view sizes_{};
    std::size_t scales_at_ = 0;
    std::size_t scaled_sums_at_ = 0;
    std::size_t sums_at_ = 0;
    detail::aligned_memory memory_{};
};

}  // namespace commutant::kernels
