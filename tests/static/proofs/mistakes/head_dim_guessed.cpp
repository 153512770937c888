// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <vector>

#include "planting.hpp"

namespace cm = commutant;

// head_dim is read from the checkpoint. Worked out as model_dim / n_heads it can be another number, and the
// merge goes through without a complaint when the sizes happen to divide.

struct wide_heads {
    static constexpr cm::model_config geometry = [] {
        cm::model_config c = cm::families::llama::geometry;
        c.model_dim = 8;
        c.head_dim = c.rotary_dim = 4;
        return c;
    }();
};
constexpr std::size_t stated = wide_heads::geometry.head_dim;
constexpr std::size_t guessed = wide_heads::geometry.model_dim / wide_heads::geometry.n_heads;
static_assert(stated == 4 && guessed == 2);

/// As many transforms as the projection seems to have heads.
template <class Kind>
constexpr auto one_for_each_head(std::size_t features, std::size_t head_dim, auto& source) {
    std::vector<cm::value_of<Kind, cm::field_matrix>> r;
    for (std::size_t g = 0; g * head_dim < features; ++g)
        r.push_back(cm::make_transform<Kind, cm::field_matrix>(
            source, {head_dim, head_dim, cm::pairing::half_split}));
    return r;
}

consteval bool keys_are_unchanged_with(std::size_t head_dim) {
    return cm::is_unchanged_by<wide_heads>([head_dim](auto& model, auto& source) {
        auto& layer = model.layers[0];
        auto const t = one_for_each_head<cm::scaled_rotation>(layer.k_proj.weight.rows(), head_dim, source);
        cm::fold_query_key(t, model.config.n_rep(), layer.q_proj, layer.k_proj);
    });
}
static_assert(keys_are_unchanged_with(stated));
static_assert(!keys_are_unchanged_with(guessed));

consteval bool values_are_unchanged_with(std::size_t head_dim) {
    return cm::is_unchanged_by<wide_heads>([head_dim](auto& model, auto& source) {
        auto& layer = model.layers[0];
        auto const t = one_for_each_head<cm::dense>(layer.v_proj.weight.rows(), head_dim, source);
        cm::fold_value_output(t, model.config.n_rep(), layer.v_proj, layer.o_proj);
    });
}
static_assert(values_are_unchanged_with(stated));
static_assert(!values_are_unchanged_with(guessed));
