// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>

namespace commutant {

/// Which elements of a row-major matrix share one grid.
///
/// Each choice cuts the matrix into slices that are contiguous in memory, so a kernel needs one number,
/// slice_size.
enum class granularity {
    per_tensor,   ///< all of them
    per_channel,  ///< an output feature of a weight: one row of [out_features, in_features]
    per_token,    ///< a row of activations: one row of [n_tokens, features]
    per_group     ///< group_size neighbours along the columns
};

[[nodiscard]] constexpr std::string_view to_string(granularity g) noexcept {
    switch (g) {
        case granularity::per_tensor:
            return "per_tensor";
        case granularity::per_channel:
            return "per_channel";
        case granularity::per_token:
            return "per_token";
        case granularity::per_group:
            return "per_group";
    }
    return "unknown";
}

/// Granularity of that name.
///
/// Errors    std::invalid_argument if the text is none of the four names
[[nodiscard]] inline granularity parse_granularity(std::string_view text) {
    for (const granularity g :
         {granularity::per_tensor, granularity::per_channel, granularity::per_token, granularity::per_group})
        if (text == to_string(g)) return g;
    throw std::invalid_argument("parse_granularity: got \"" + std::string(text) +
                                "\", expected per_tensor, per_channel, per_token or per_group");
}

/// Number of neighbouring elements of a row-major [rows, cols] matrix that share one grid.
///
/// Units     elements; rows * cols divided by it is the number of grids
/// Errors    std::invalid_argument if groups do not fill a row: group_size is zero or does not divide cols
[[nodiscard]] inline std::size_t slice_size(granularity g, std::size_t rows, std::size_t cols,
                                            std::size_t group_size = 0) {
    if (g == granularity::per_tensor) return rows * cols;
    if (g != granularity::per_group) return cols;
    if (group_size == 0 || cols % group_size != 0)
        throw std::invalid_argument("slice_size: group_size is " + std::to_string(group_size) +
                                    ", expected a positive divisor of the " + std::to_string(cols) +
                                    " columns");
    return group_size;
}

}  // namespace commutant
