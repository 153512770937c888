// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "planting.hpp"

namespace cm = commutant;
using cm::families::llama;

// The gate product is linear in up alone. A scale goes through up_proj, never through gate_proj; a
// permutation moves both; a matrix that mixes channels passes neither way.

struct places {
    bool gate, up, down;
};

template <class Kind> consteval bool is_unchanged_when_merged_into(places where) {
    return cm::is_unchanged_by<llama>([where](auto& model, auto& source) {
        auto& layer = model.layers[0];
        auto const t = cm::make_transform<Kind, cm::field_matrix>(source, {model.config.ffn_dim});
        auto const same = mistakes::for_all_blocks(t);
        if (where.gate) cm::merge_output_side(layer.gate_proj, dim(t), same);
        if (where.up) cm::merge_output_side(layer.up_proj, dim(t), same);
        if (where.down) cm::merge_input_side(layer.down_proj, dim(t), same);
    });
}

static_assert(is_unchanged_when_merged_into<cm::channel_scale>({.gate = false, .up = true, .down = true}));
// Through the gate branch, alone or as well.
static_assert(!is_unchanged_when_merged_into<cm::channel_scale>({.gate = true, .up = false, .down = true}));
static_assert(!is_unchanged_when_merged_into<cm::channel_scale>({.gate = true, .up = true, .down = true}));
// down_proj left out, or up_proj.
static_assert(!is_unchanged_when_merged_into<cm::channel_scale>({.gate = false, .up = true, .down = false}));
static_assert(!is_unchanged_when_merged_into<cm::channel_scale>({.gate = false, .up = false, .down = true}));

static_assert(is_unchanged_when_merged_into<cm::permutation>({.gate = true, .up = true, .down = true}));
static_assert(!is_unchanged_when_merged_into<cm::permutation>({.gate = false, .up = true, .down = true}));
static_assert(!is_unchanged_when_merged_into<cm::permutation>({.gate = true, .up = true, .down = false}));

static_assert(!is_unchanged_when_merged_into<cm::dense>({.gate = false, .up = true, .down = true}));
static_assert(!is_unchanged_when_merged_into<cm::dense>({.gate = true, .up = true, .down = true}));
