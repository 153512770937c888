// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <cstddef>

#include "planting.hpp"

namespace cm = commutant;
using cm::families::llama;

// What is folded into the output side of a linear goes into its bias too.

enum class forgotten { none, query, key };

consteval bool keys_are_unchanged_when(forgotten choice) {
    return cm::is_unchanged_by<llama>([choice](auto& model, auto& source) {
        auto& layer = model.layers[0];
        auto const t = mistakes::one_for_each_kv_head<cm::scaled_rotation>(model.config, source);
        auto const merge = [&] { cm::fold_query_key(t, model.config.n_rep(), layer.q_proj, layer.k_proj); };
        if (choice == forgotten::none)
            merge();
        else
            mistakes::forgetting_the_bias(choice == forgotten::query ? layer.q_proj : layer.k_proj, merge);
    });
}
static_assert(keys_are_unchanged_when(forgotten::none));
static_assert(!keys_are_unchanged_when(forgotten::query));
static_assert(!keys_are_unchanged_when(forgotten::key));

consteval bool values_are_unchanged_when(bool bias_is_forgotten) {
    return cm::is_unchanged_by<llama>([bias_is_forgotten](auto& model, auto& source) {
        auto& layer = model.layers[0];
        auto const t = mistakes::one_for_each_kv_head<cm::dense>(model.config, source);
        auto const merge = [&] {
            cm::fold_value_output(t, model.config.n_rep(), layer.v_proj, layer.o_proj);
        };
        if (bias_is_forgotten)
            mistakes::forgetting_the_bias(layer.v_proj, merge);
        else
            merge();
    });
}
static_assert(values_are_unchanged_when(false));
static_assert(!values_are_unchanged_when(true));
