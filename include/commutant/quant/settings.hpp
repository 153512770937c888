// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>

#include "commutant/quant/granularity.hpp"
#include "commutant/quant/grid.hpp"
#include "commutant/quant/range_options.hpp"

namespace commutant {

/// Widths of weights, activations and KV cache; 16 stands for floating point.
struct bit_widths {
    int weights = 16;
    int activations = 16;
    int kv_cache = 16;

    friend constexpr bool operator==(const bit_widths&, const bit_widths&) noexcept = default;
};

/// Widths from text such as "4-4-4" or "4-16-8": weights, activations, KV cache.
///
/// Errors    std::invalid_argument if the text is not three supported widths joined by '-'
[[nodiscard]] inline bit_widths parse_bit_widths(std::string_view text) {
    std::array<int, 3> widths{};
    std::string_view rest = text;
    bool good = true;
    for (std::size_t i = 0; i < widths.size() && good; ++i) {
        const std::size_t dash = rest.find('-');
        const std::string_view number = rest.substr(0, dash);
        good = (dash == std::string_view::npos) == (i + 1 == widths.size()) && !number.empty() &&
               number.size() <= 2 && number.front() != '0';
        for (const char c : number) {
            good = good && c >= '0' && c <= '9';
            if (good) widths[i] = widths[i] * 10 + (c - '0');
        }
        good = good && is_supported_width(widths[i]);
        if (dash != std::string_view::npos) rest.remove_prefix(dash + 1);
    }
    if (!good)
        throw std::invalid_argument(
            "parse_bit_widths: got \"" + std::string(text) +
            "\", expected weights-activations-KV such as 4-4-4, each 2 to 8, or 16 for floating "
            "point");
    return {widths[0], widths[1], widths[2]};
}

[[nodiscard]] inline std::string to_string(const bit_widths& bits) {
    return std::to_string(bits.weights) + '-' + std::to_string(bits.activations) + '-' +
           std::to_string(bits.kv_cache);
}

/// Which tensors of a block are quantised besides the weights of its linears.
enum class coverage {
    linears_kv,       ///< inputs of all linears, keys and values of the cache
    plus_bmm,         ///< also queries and attention probabilities
    all_but_residual  ///< every tensor between two operations, except the residual stream
};

[[nodiscard]] constexpr std::string_view to_string(coverage c) noexcept {
    switch (c) {
        case coverage::linears_kv:
            return "linears_kv";
        case coverage::plus_bmm:
            return "plus_bmm";
        case coverage::all_but_residual:
            return "all_but_residual";
    }
    return "unknown";
}

/// Coverage of that name.
///
/// Errors    std::invalid_argument if the text is none of the three names
[[nodiscard]] inline coverage parse_coverage(std::string_view text) {
    for (const coverage c : {coverage::linears_kv, coverage::plus_bmm, coverage::all_but_residual})
        if (text == to_string(c)) return c;
    throw std::invalid_argument("parse_coverage: got \"" + std::string(text) +
                                "\", expected linears_kv, plus_bmm or all_but_residual");
}

/// When the grid of an activation is known.
enum class grid_timing {
    static_grid,  ///< before inference, one per tensor, from calibration
    dynamic_grid  ///< during inference, one per token, from the token itself (min-max)
};

[[nodiscard]] constexpr std::string_view to_string(grid_timing t) noexcept {
    switch (t) {
        case grid_timing::static_grid:
            return "static_grid";
        case grid_timing::dynamic_grid:
            return "dynamic_grid";
    }
    return "unknown";
}

/// Timing of that name.
///
/// Errors    std::invalid_argument if the text is neither static_grid nor dynamic_grid
[[nodiscard]] inline grid_timing parse_grid_timing(std::string_view text) {
    for (const grid_timing t : {grid_timing::static_grid, grid_timing::dynamic_grid})
        if (text == to_string(t)) return t;
    throw std::invalid_argument("parse_grid_timing: got \"" + std::string(text) +
                                "\", expected static_grid or dynamic_grid");
}

/// How weights are quantised.
struct weight_settings {
    int num_bits = 16;
    granularity scope = granularity::per_channel;  ///< per_tensor, per_channel or per_group
    std::size_t group_size = 128;                  ///< in_features sharing a scale; read for per_group only
    bool symmetric = true;
    range_options range{};

    friend constexpr bool operator==(const weight_settings&, const weight_settings&) noexcept = default;
};

/// How activations, or the KV cache, are quantised.
struct activation_settings {
    int num_bits = 16;
    grid_timing timing = grid_timing::static_grid;
    bool symmetric = false;
    range_options range{};  ///< static grids only

    friend constexpr bool operator==(const activation_settings&,
                                     const activation_settings&) noexcept = default;
};

/// Everything a quantised reading of a model wants to know; by default nothing is quantised.
struct quantization_settings {
    weight_settings weights{};
    activation_settings activations{};
    activation_settings kv_cache{};
    coverage covers = coverage::linears_kv;

    [[nodiscard]] constexpr bit_widths bits() const noexcept {
        return {weights.num_bits, activations.num_bits, kv_cache.num_bits};
    }

    friend constexpr bool operator==(const quantization_settings&,
                                     const quantization_settings&) noexcept = default;
};

/// The same settings at other widths.
[[nodiscard]] constexpr quantization_settings with_bits(quantization_settings settings,
                                                        const bit_widths& bits) noexcept {
    settings.weights.num_bits = bits.weights;
    settings.activations.num_bits = bits.activations;
    settings.kv_cache.num_bits = bits.kv_cache;
    return settings;
}

/// Refuses settings for weights that no weight could follow; whether group_size divides in_features is seen
/// there.
///
/// Errors    std::invalid_argument for a width, scope, group size or range option that is not supported
inline void validate(const weight_settings& settings) {
    detail::require_width(settings.num_bits, "weight_settings");
    if (settings.scope == granularity::per_token)
        throw std::invalid_argument(
            "weight_settings: scope is per_token, expected per_tensor, per_channel or per_group");
    if (settings.scope == granularity::per_group && settings.group_size == 0)
        throw std::invalid_argument("weight_settings: group_size is 0, expected a divisor of in_features");
    validate(settings.range);
}

/// Refuses settings for activations.
///
/// Errors    std::invalid_argument for a width or range option that is not supported
inline void validate(const activation_settings& settings) {
    detail::require_width(settings.num_bits, "activation_settings");
    validate(settings.range);
}

/// Refuses settings any part of which is refused.
///
/// Errors    std::invalid_argument of the first such part
inline void validate(const quantization_settings& settings) {
    validate(settings.weights);
    validate(settings.activations);
    validate(settings.kv_cache);
}

}  // namespace commutant
