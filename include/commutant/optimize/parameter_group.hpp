// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace commutant {

/// What is trained, in groups that have a learning rate of their own.
enum class parameter_group {
    residual_stream,  ///< T_r
    query_key,        ///< T_k
    value_output,     ///< T_v
    up_down,          ///< T_u
    weight_grids,     ///< logarithms of scales
    activation_grids  ///< logarithms of scales; zero points in units of the range
};
inline constexpr std::size_t n_parameter_groups = 6;

[[nodiscard]] constexpr std::string_view to_string(parameter_group g) noexcept {
    constexpr std::array<std::string_view, n_parameter_groups> names{
        "residual_stream", "query_key", "value_output", "up_down", "weight_grids", "activation_grids"};
    return names[static_cast<std::size_t>(g)];
}

/// One number for each group of parameters.
using group_values = std::array<double, n_parameter_groups>;

}  // namespace commutant
