// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include <commutant/io/hf_config.hpp>
#include <commutant/model/decoder.hpp>
#include <commutant/recipes/activation_grids.hpp>

// What a quantised model says about itself in JSON: settings, online parts, static grids. Readers throw
// io::input_error naming the key.

namespace commutant::detail {

[[nodiscard]] inline nlohmann::ordered_json range_to_json(range_options const& r) {
    return {{"method", to_string(r.method)}, {"p", r.p}, {"n_candidates", r.n_candidates}};
}

[[nodiscard]] inline nlohmann::ordered_json activation_to_json(activation_settings const& s) {
    return {{"num_bits", s.num_bits},
            {"timing", to_string(s.timing)},
            {"symmetric", s.symmetric},
            {"range", range_to_json(s.range)}};
}

[[nodiscard]] inline nlohmann::ordered_json settings_to_json(quantization_settings const& s) {
    return {{"bits", to_string(s.bits())},
            {"coverage", to_string(s.covers)},
            {"weights",
             {{"num_bits", s.weights.num_bits},
              {"scope", to_string(s.weights.scope)},
              {"group_size", s.weights.group_size},
              {"symmetric", s.weights.symmetric},
              {"range", range_to_json(s.weights.range)}}},
            {"activations", activation_to_json(s.activations)},
            {"kv_cache", activation_to_json(s.kv_cache)}};
}

[[nodiscard]] inline nlohmann::ordered_json online_to_json(online_parts<> const& online) {
    nlohmann::ordered_json r{{"token_scale", online.token_scale},
                             {"plain_eps", online.eps == eps_rule::plain},
                             {"down_input", nullptr}};
    if (online.down_input)
        r["down_input"] = {{"type", "block_hadamard"},
                           {"block", online.down_input->block()},
                           {"transposed", online.down_input->side() == hadamard_side::transposed}};
    return r;
}

/// The static grids that the settings ask for, in the order of the forward pass.
[[nodiscard]] inline nlohmann::ordered_json grids_to_json(activation_grids const& grids,
                                                          quantization_settings const& settings) {
    nlohmann::ordered_json r = nlohmann::ordered_json::array();
    for (std::size_t layer = 0; layer <= grids.n_layers(); ++layer)
        for (std::size_t i = 0; i < n_locations; ++i) {
            auto const where = static_cast<location>(i);
            if (!wants_static_grid(settings, where, layer, grids.n_layers())) continue;
            grid const& g = grids.at(layer, where);
            r.push_back({{"layer", layer},
                         {"location", to_string(where)},
                         {"scale", g.scale},
                         {"zero_point", g.zero_point}});
        }
    return r;
}

/// A key that must be there, as an object.
[[nodiscard]] inline config_object required_object(config_object const& outer, char const* key) {
    auto found = outer.object(key);
    if (!found) outer.refuse(std::string(key) + " is missing, expected an object");
    return *found;
}
[[nodiscard]] inline std::string required_text(config_object const& outer, char const* key) {
    auto found = outer.text(key);
    if (!found) outer.refuse(std::string(key) + " is missing, expected a string");
    return *found;
}
[[nodiscard]] inline bool required_flag(config_object const& outer, char const* key) {
    auto const found = outer.boolean(key);
    if (!found) outer.refuse(std::string(key) + " is missing, expected true or false");
    return *found;
}

/// f(), with what it finds wrong said about the object.
template <class F> auto said_about(config_object const& object, F f) {
    try {
        return f();
    } catch (std::invalid_argument const& error) {
        object.refuse(error.what());
    }
}

[[nodiscard]] inline range_options range_from_json(config_object const& object) {
    range_options r;
    r.method = said_about(object, [&] { return parse_range_method(required_text(object, "method")); });
    r.p = static_cast<int>(object.required_size("p", 8));
    r.n_candidates = static_cast<int>(object.required_size("n_candidates", 1'000'000));
    return r;
}

[[nodiscard]] inline activation_settings activation_from_json(config_object const& object) {
    activation_settings s;
    s.num_bits = static_cast<int>(object.required_size("num_bits", 16));
    s.timing = said_about(object, [&] { return parse_grid_timing(required_text(object, "timing")); });
    s.symmetric = required_flag(object, "symmetric");
    s.range = range_from_json(required_object(object, "range"));
    return s;
}

[[nodiscard]] inline quantization_settings settings_from_json(config_object const& object) {
    quantization_settings s;
    s.covers = said_about(object, [&] { return parse_coverage(required_text(object, "coverage")); });
    config_object const weights = required_object(object, "weights");
    s.weights.num_bits = static_cast<int>(weights.required_size("num_bits", 16));
    s.weights.scope = said_about(weights, [&] { return parse_granularity(required_text(weights, "scope")); });
    s.weights.group_size = weights.required_size("group_size", std::size_t{1} << 24);
    s.weights.symmetric = required_flag(weights, "symmetric");
    if (!s.weights.symmetric) weights.refuse("symmetric is false, expected symmetric weights");
    s.weights.range = range_from_json(required_object(weights, "range"));
    s.activations = activation_from_json(required_object(object, "activations"));
    s.kv_cache = activation_from_json(required_object(object, "kv_cache"));
    said_about(object, [&] { return validate(s); });
    return s;
}

[[nodiscard]] inline online_parts<> online_from_json(config_object const& object, model_config const& c) {
    config_object const online = required_object(object, "online");
    online_parts<> r;
    r.token_scale = required_flag(online, "token_scale");
    r.eps = required_flag(online, "plain_eps") ? eps_rule::plain : eps_rule::exact;
    if (auto const down = online.object("down_input")) {
        if (required_text(*down, "type") != "block_hadamard")
            down->refuse("type is " + in_quotes(required_text(*down, "type")) +
                         ", expected 'block_hadamard'");
        std::size_t const block = down->required_size("block", c.ffn_dim);
        try {
            block_hadamard_map const t(c.ffn_dim, block);
            r.down_input = required_flag(*down, "transposed") ? transpose(t) : t;
        } catch (std::domain_error const& error) {
            down->refuse(error.what());
        }
    }
    return r;
}

/// The static grids; exactly those that the settings ask for must be there, each once.
[[nodiscard]] inline activation_grids grids_from_json(nlohmann::json const& ours, config_object const& object,
                                                      std::size_t n_layers,
                                                      quantization_settings const& settings) {
    activation_grids grids(n_layers);
    auto const list = ours.find("grids");
    if (list == ours.end() || !list->is_array()) object.refuse("grids is missing, expected an array");
    std::size_t next = 0;
    for (std::size_t layer = 0; layer <= n_layers; ++layer)
        for (std::size_t i = 0; i < n_locations; ++i) {
            auto const where = static_cast<location>(i);
            if (!wants_static_grid(settings, where, layer, n_layers)) continue;
            std::string const place = "grid of " + place_name(layer, where);
            if (next == list->size()) object.refuse("grids has no " + place);
            auto const& entry = (*list)[next++];
            bool const fits = entry.is_object() && entry.value("layer", nlohmann::json()) == layer &&
                              entry.value("location", nlohmann::json()) == to_string(where) &&
                              entry.value("scale", nlohmann::json()).is_number() &&
                              entry.value("zero_point", nlohmann::json()).is_number_integer();
            if (!fits) object.refuse("grids holds " + entry.dump() + ", expected the " + place);
            activation_settings const& s = settings_at(settings, where);
            auto const zero_point = entry.at("zero_point").get<std::int64_t>();
            if (zero_point < -128 || zero_point > 127)
                object.refuse("the " + place + " has zero_point " + std::to_string(zero_point));
            grid const g{entry.at("scale").get<float>(), static_cast<std::int32_t>(zero_point), s.num_bits,
                         s.symmetric};
            said_about(object, [&] { return validate(g); });
            grids.at(layer, where) = g;
        }
    if (next != list->size())
        object.refuse("grids holds more than the " + std::to_string(next) + " expected");
    return grids;
}

}  // namespace commutant::detail
