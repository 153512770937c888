// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "commutant/kernels/int4_weights.hpp"

namespace commutant::kernels::detail {

/// One product in raw pointers, for at most int4_gemm_job::max_rows rows: what every body sees.
///
/// Note      a step of 0 repeats one value for all rows; absent arguments point to a constant 0 or 1
struct int4_gemm_job {
    /// Rows whose sums, and copies where needed, are in the workspace at one time; a multiple of row_unit.
    static constexpr std::size_t max_rows = 960;
    /// Row tiles of every body divide it, so tasks that start at multiples of it cut no tile.
    static constexpr std::size_t row_unit = 96;
    /// Rows that a tile may read beyond the last one.
    static constexpr std::size_t spare_rows = 32;
    /// Inputs that are unpacked at one time, unless one group has more.
    static constexpr std::size_t max_block_inputs = 4096;
    /// Columns that are unpacked at one time.
    static constexpr std::size_t panel_columns = 64;
    /// Row block of sums that wait for the next block of inputs.
    static constexpr std::size_t max_block_rows = 480;

    int4_weights_view weights{};

    std::size_t n_rows = 0;
    std::int8_t const* codes = nullptr;
    std::uint8_t const* packed = nullptr;  ///< used if codes is null
    std::size_t row_stride = 0;            ///< elements
    bool narrow = false;                   ///< codes are in [-8, 15]
    float const* scales = nullptr;
    std::size_t scale_step = 0;
    std::int32_t const* zero_points = nullptr;
    std::size_t zero_point_step = 0;

    float const* bias = nullptr;  ///< or null
    float const* bias_scales = nullptr;
    std::size_t bias_scale_step = 0;
    float const* residual = nullptr;  ///< or null
    std::size_t residual_stride = 0;
    float* y = nullptr;
    std::size_t y_stride = 0;

    std::int8_t* copies =
        nullptr;  ///< [rows, copy_stride]: inputs beyond in_features are 0 up to a multiple of 64
    std::int32_t* corrections =
        nullptr;  ///< [n_rows, n_groups]: -8 times the sum of a row's codes in a group

    [[nodiscard]] std::size_t copy_stride() const noexcept { return copy_stride_of(weights.in_features); }

    /// An odd number of lines, so that a tile's rows do not compete for the same cache sets.
    [[nodiscard]] static constexpr std::size_t copy_stride_of(std::size_t in_features) noexcept {
        return ((in_features + 63) / 64 | 1) * 64;
    }

    [[nodiscard]] std::int8_t activation(std::size_t m, std::size_t k) const noexcept {
        std::size_t const i = m * row_stride + k;
        if (codes != nullptr) return codes[i];
        return static_cast<std::int8_t>(((packed[i / 2] >> (i % 2 * 4) & 15) ^ 8) - 8);
    }
    [[nodiscard]] float scale(std::size_t m) const noexcept { return scales[m * scale_step]; }
    [[nodiscard]] std::int32_t zero_point(std::size_t m) const noexcept {
        return zero_points[m * zero_point_step];
    }
    [[nodiscard]] float bias_scale(std::size_t m) const noexcept { return bias_scales[m * bias_scale_step]; }
};

/// A piece of the work, for one worker.
struct int4_gemm_part {
    enum class stage : unsigned char {
        preparation,  ///< row sums, and copies of the rows that cannot be read in place
        products
    };
    stage what;
    std::size_t begin_row;
    std::size_t end_row;
    std::size_t begin_tile;  ///< column tiles of 16
    std::size_t end_tile;
    std::byte* scratch;  ///< [int4_gemm_scratch_bytes], this worker's own, 64-byte aligned
};

using int4_gemm_function = void(int4_gemm_job const&, int4_gemm_part const&) noexcept;

/// Inputs of a weight that are unpacked at one time: whole groups, as many as fit.
[[nodiscard]] constexpr std::size_t int4_gemm_block_inputs(int4_weights_view const& w,
                                                           std::size_t limit) noexcept {
    std::size_t const unit = w.per_channel ? 64 : w.group_size;
    return std::max(unit, std::min(limit, (w.in_features + unit - 1) / unit * unit) / unit * unit);
}

/// Scratch of one worker: an unpacked panel of weights, then sums in rows of panel_columns.
[[nodiscard]] constexpr std::size_t int4_gemm_panel_bytes(int4_weights_view const& w) noexcept {
    std::size_t const inputs = int4_gemm_block_inputs(w, int4_gemm_job::max_block_inputs);
    return int4_gemm_job::panel_columns * ((inputs + 63) / 64 * 64);
}
[[nodiscard]] constexpr std::size_t int4_gemm_scratch_bytes(int4_weights_view const& w,
                                                            std::size_t n_rows) noexcept {
    std::size_t const rows = std::min(n_rows, int4_gemm_job::max_block_rows) + int4_gemm_job::spare_rows;
    return int4_gemm_panel_bytes(w) + rows * int4_gemm_job::panel_columns * sizeof(std::int32_t);
}

}  // namespace commutant::kernels::detail
