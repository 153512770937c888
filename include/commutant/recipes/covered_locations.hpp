// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>

#include <commutant/model/forward.hpp>
#include <commutant/quant/settings.hpp>

namespace commutant {

namespace detail {
inline constexpr std::array<std::string_view, n_locations> location_names{
    "attention_input", "query_before_rope", "key_before_rope", "query",     "key",         "value",
    "probabilities",   "attention_output",  "o_output",        "ffn_input", "gate_output", "activated_gate",
    "up_output",       "down_input",        "down_output",     "head_input"};
}  // namespace detail

[[nodiscard]] constexpr std::string_view to_string(location where) noexcept {
    return detail::location_names[static_cast<std::size_t>(where)];
}

/// Location of that name.
///
/// Errors    std::invalid_argument if no location has it
[[nodiscard]] inline location parse_location(std::string_view text) {
    for (std::size_t i = 0; i < n_locations; ++i)
        if (text == detail::location_names[i]) return static_cast<location>(i);
    throw std::invalid_argument("parse_location: got \"" + std::string(text) +
                                "\", expected a location of the decoder such as attention_input");
}

/// Whether a coverage quantises the activation at a location.
///
/// The residual stream itself is no location, and is never quantised; the input of the head only by
/// all_but_residual.
[[nodiscard]] constexpr bool covers(coverage c, location where) noexcept {
    switch (where) {
        case location::attention_input:
        case location::attention_output:
        case location::ffn_input:
        case location::down_input:
        case location::key:
        case location::value:
            return true;
        case location::query:
        case location::probabilities:
            return c != coverage::linears_kv;
        default:
            return c == coverage::all_but_residual;
    }
}

/// Settings in force at a location: those of the KV cache for what enters it, else those of activations.
[[nodiscard]] constexpr activation_settings const& settings_at(quantization_settings const& settings,
                                                               location where) noexcept {
    return where == location::key || where == location::value ? settings.kv_cache : settings.activations;
}

/// Whether the activation at a location is rounded at all under the settings.
[[nodiscard]] constexpr bool is_quantized(quantization_settings const& settings, location where) noexcept {
    return covers(settings.covers, where) && settings_at(settings, where).num_bits != 16;
}

/// Whether a location of a layer has a static grid under the settings; layer n_layers holds head_input alone.
[[nodiscard]] constexpr bool wants_static_grid(quantization_settings const& settings, location where,
                                               std::size_t layer, std::size_t n_layers) noexcept {
    return (where == location::head_input) == (layer == n_layers) && is_quantized(settings, where) &&
           settings_at(settings, where).timing == grid_timing::static_grid;
}

}  // namespace commutant
