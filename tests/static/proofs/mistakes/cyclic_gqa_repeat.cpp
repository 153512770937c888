// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <cstddef>

#include "planting.hpp"

namespace cm = commutant;
using cm::families::llama;

// Query head h reads kv head h / n_rep, not h % n_kv_heads.

enum class repeat { consecutive, cyclic };

constexpr std::size_t kv_head_of(repeat choice, std::size_t h, cm::model_config const& c) {
    return choice == repeat::consecutive ? h / c.n_rep() : h % c.n_kv_heads;
}

consteval bool keys_are_unchanged_when(repeat choice) {
    return cm::is_unchanged_by<llama>([choice](auto& model, auto& source) {
        cm::model_config const& c = model.config;
        auto const t = mistakes::one_for_each_kv_head<cm::scaled_rotation>(c, source);
        cm::merge_output_side(
            model.layers[0].k_proj, c.head_dim, [&](std::size_t g) -> auto const& { return t[g]; });
        cm::merge_output_side(model.layers[0].q_proj, c.head_dim, [&](std::size_t h) {
            return cm::inverse_transpose(t[kv_head_of(choice, h, c)]);
        });
    });
}
static_assert(keys_are_unchanged_when(repeat::consecutive));
static_assert(!keys_are_unchanged_when(repeat::cyclic));

consteval bool values_are_unchanged_when(repeat choice) {
    return cm::is_unchanged_by<llama>([choice](auto& model, auto& source) {
        cm::model_config const& c = model.config;
        auto const t = mistakes::one_for_each_kv_head<cm::dense>(c, source);
        cm::merge_output_side(
            model.layers[0].v_proj, c.head_dim, [&](std::size_t g) -> auto const& { return t[g]; });
        cm::merge_input_side(
            model.layers[0].o_proj,
            c.head_dim, [&](std::size_t h) -> auto const& { return t[kv_head_of(choice, h, c)]; });
    });
}
static_assert(values_are_unchanged_when(repeat::consecutive));
static_assert(!values_are_unchanged_when(repeat::cyclic));
