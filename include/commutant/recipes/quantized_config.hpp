// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include <nlohmann/json.hpp>

#include <commutant/io/hf_config.hpp>
#include <commutant/recipes/quantized_settings_json.hpp>

namespace commutant {

namespace detail {
inline constexpr char const* quantized_prefix = "commutant_";  ///< in front of model_type
inline constexpr int quantized_format = 1;
}  // namespace detail

/// Whether a path is the folder of a quantised model.
[[nodiscard]] inline bool is_quantized_folder(std::filesystem::path const& path) {
    auto const config_path = path / "config.json";
    std::error_code error;
    if (!std::filesystem::is_regular_file(config_path, error)) return false;
    auto const config =
        io::parse_json(io::read_text(config_path, 16 * io::max_config_bytes), config_path.string(), 64);
    return config.is_object() && config.contains("commutant");
}

/// config.json of a quantised folder, taken apart.
struct quantized_config {
    model_config model{};
    quantization_settings settings{};
    online_parts<> online{};
    activation_grids grids{};
};

/// Reads config.json of a quantised folder.
///
/// Errors    io::input_error naming the key
[[nodiscard]] inline quantized_config read_quantized_config(std::filesystem::path const& path) {
    auto const config_path = path / "config.json";
    std::string const where = config_path.string();
    auto config = io::parse_json(io::read_text(config_path, 16 * io::max_config_bytes), where, 64);
    if (!config.is_object() || !config.contains("commutant") || !config.at("commutant").is_object())
        throw io::input_error(where, "has no object \"commutant\", expected a folder of a quantised model");
    nlohmann::json const ours = config.at("commutant");
    detail::config_object const object(ours, where + ", commutant");
    if (object.required_size("format", 1000) != detail::quantized_format)
        object.refuse("format is " + ours.at("format").dump() + ", expected " +
                      std::to_string(detail::quantized_format));
    auto const type = object.text("model_type");
    if (!type || config.value("model_type", nlohmann::json()) != detail::quantized_prefix + *type)
        object.refuse("model_type does not match that of the file, expected " +
                      std::string(detail::quantized_prefix) + "... there and the rest of it here");
    config["model_type"] = *type;
    config.erase("commutant");
    quantized_config r;
    r.model = io::parse_hf_config(config.dump(), where);
    r.settings = detail::settings_from_json(object);
    r.online = detail::online_from_json(object, r.model);
    r.grids = detail::grids_from_json(ours, object, r.model.n_layers, r.settings);
    return r;
}

}  // namespace commutant
