// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "planting.hpp"

namespace cm = commutant;

// A scaled rotation turns the pairs that RoPE turns: neighbours, or features half a head apart.

template <class Family> consteval bool is_unchanged_when_pairs_are(cm::pairing pairs) {
    return cm::is_unchanged_by<Family>([pairs](auto& model, auto& source) {
        cm::model_config c = model.config;
        c.rope_pairing = pairs;
        auto const t = mistakes::one_for_each_kv_head<cm::scaled_rotation>(c, source);
        cm::fold_query_key(t, c.n_rep(), model.layers[0].q_proj, model.layers[0].k_proj);
    });
}

static_assert(is_unchanged_when_pairs_are<cm::families::llama>(cm::pairing::half_split));
static_assert(!is_unchanged_when_pairs_are<cm::families::llama>(cm::pairing::interleaved));
static_assert(is_unchanged_when_pairs_are<cm::families::llama_interleaved>(cm::pairing::interleaved));
static_assert(!is_unchanged_when_pairs_are<cm::families::llama_interleaved>(cm::pairing::half_split));

// Partial rotary: the pairs of half_split lie rotary_dim / 2 apart, not head_dim / 2.
static_assert(cm::families::llama::geometry.rotary_dim < cm::families::llama::geometry.head_dim);

consteval bool is_unchanged_when_rotated_features_are(std::size_t n) {
    return cm::is_unchanged_by<cm::families::llama>([n](auto& model, auto& source) {
        cm::model_config c = model.config;
        c.rotary_dim = n;
        auto const t = mistakes::one_for_each_kv_head<cm::scaled_rotation>(c, source);
        cm::fold_query_key(t, c.n_rep(), model.layers[0].q_proj, model.layers[0].k_proj);
    });
}
static_assert(is_unchanged_when_rotated_features_are(4));
static_assert(!is_unchanged_when_rotated_features_are(6));
static_assert(!is_unchanged_when_rotated_features_are(2));
