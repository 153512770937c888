// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <cstddef>

#include "planting.hpp"

namespace cm = commutant;
using cm::families::llama;

// What is folded into the output side of a linear goes into its bias too.

template <class Kind> consteval bool up_is_unchanged_when(bool up_forgotten, bool gate_forgotten) {
    return cm::is_unchanged_by<llama>([=](auto& model, auto& source) {
        auto& layer = model.layers[0];
        auto const t = cm::make_transform<Kind, cm::field_matrix>(source, {model.config.ffn_dim});
        cm::field_matrix const up_bias = layer.up_proj.bias, gate_bias = layer.gate_proj.bias;
        cm::fold_up_down(t, layer.gate_proj, layer.up_proj, layer.down_proj);
        if (up_forgotten) layer.up_proj.bias = up_bias;
        if (gate_forgotten) layer.gate_proj.bias = gate_bias;
    });
}
static_assert(up_is_unchanged_when<cm::channel_scale>(false, false));
static_assert(!up_is_unchanged_when<cm::channel_scale>(true, false));
static_assert(up_is_unchanged_when<cm::permutation>(false, false));
static_assert(!up_is_unchanged_when<cm::permutation>(true, false));
static_assert(!up_is_unchanged_when<cm::permutation>(false, true));

enum class forgotten { none, attention_output, mlp_output };

consteval bool stream_is_unchanged_when(forgotten choice) {
    return cm::is_unchanged_by<llama>([choice](auto& model, auto& source) {
        auto& layer = model.layers[0];
        using plan = cm::plan<cm::at<cm::sites::residual_stream, cm::orthogonal>>;
        auto const t = cm::random_transforms<plan, cm::field_matrix>(model.config, source);
        auto const merge = [&] { cm::fold_plan(t, model); };
        if (choice == forgotten::none)
            merge();
        else
            mistakes::forgetting_the_bias(
                choice == forgotten::attention_output ? layer.o_proj : layer.down_proj, merge);
    });
}
static_assert(stream_is_unchanged_when(forgotten::none));
static_assert(!stream_is_unchanged_when(forgotten::attention_output));
static_assert(!stream_is_unchanged_when(forgotten::mlp_output));
