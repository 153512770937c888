// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <cstddef>

#include "planting.hpp"

namespace cm = commutant;
using cm::families::llama;

// Every query head of a group undoes its group's T_v in o_proj.

enum class undone_in { every_head, first_head_of_each_group, last_head_of_each_group, first_heads_only };

consteval bool is_unchanged_when(undone_in choice) {
    return cm::is_unchanged_by<llama>([choice](auto& model, auto& source) {
        cm::model_config const& c = model.config;
        auto const t = mistakes::one_for_each_kv_head<cm::dense>(c, source);
        auto const one =
            cm::dense_map<cm::field_matrix>::from_matrix(cm::identity_matrix<cm::field_matrix>(c.head_dim));
        cm::merge_output_side(
            model.layers[0].v_proj, c.head_dim, [&](std::size_t g) -> auto const& { return t[g]; });
        cm::merge_input_side(model.layers[0].o_proj, c.head_dim, [&](std::size_t h) {
            switch (choice) {
                case undone_in::every_head:
                    return t[h / c.n_rep()];
                case undone_in::first_head_of_each_group:
                    return h % c.n_rep() == 0 ? t[h / c.n_rep()] : one;
                case undone_in::last_head_of_each_group:
                    return h % c.n_rep() == c.n_rep() - 1 ? t[h / c.n_rep()] : one;
                case undone_in::first_heads_only:  // as if there were no groups
                    return h < c.n_kv_heads ? t[h] : one;
            }
            throw "no such choice";
        });
    });
}
static_assert(is_unchanged_when(undone_in::every_head));
static_assert(!is_unchanged_when(undone_in::first_head_of_each_group));
static_assert(!is_unchanged_when(undone_in::last_head_of_each_group));
static_assert(!is_unchanged_when(undone_in::first_heads_only));

// One T_v shared by all kv heads is weaker, not wrong; undoing the first one everywhere is wrong.
consteval bool is_unchanged_by_first_transform(bool in_every_kv_head) {
    return cm::is_unchanged_by<llama>([in_every_kv_head](auto& model, auto& source) {
        cm::model_config const& c = model.config;
        auto const t = mistakes::one_for_each_kv_head<cm::dense>(c, source);
        cm::merge_output_side(
            model.layers[0].v_proj,
            c.head_dim, [&](std::size_t g) -> auto const& { return in_every_kv_head ? t[0] : t[g]; });
        cm::merge_input_side(model.layers[0].o_proj, c.head_dim, mistakes::for_all_blocks(t[0]));
    });
}
static_assert(is_unchanged_by_first_transform(true));
static_assert(!is_unchanged_by_first_transform(false));
