// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "planting.hpp"

namespace cm = commutant;
using cm::families::llama;

// T_r is one orthogonal matrix on everything that writes to the stream, its inverse on everything that reads
// it.

struct merged_into {
    bool embedding = true, attention_output = true, mlp_output = true, queries = true, gate = true,
         head = true;
};

template <class Kind = cm::orthogonal> consteval bool is_unchanged_when(merged_into where) {
    return cm::is_unchanged_by<llama>([where](auto& model, auto& source) {
        auto& layer = model.layers[0];
        auto const q = cm::make_transform<Kind, cm::field_matrix>(source, {model.config.model_dim});
        auto const same = mistakes::for_all_blocks(q);
        cm::fold_gains(layer);
        cm::fold_gain(model.final_norm, model.lm_head);
        model.final_norm = cm::field_matrix{};

        if (where.embedding) model.embedding = apply(q, model.embedding);
        if (where.queries) cm::merge_input_side(layer.q_proj, dim(q), same);
        cm::merge_input_side(layer.k_proj, dim(q), same);
        cm::merge_input_side(layer.v_proj, dim(q), same);
        if (where.attention_output) cm::merge_output_side(layer.o_proj, dim(q), same);
        if (where.gate) cm::merge_input_side(layer.gate_proj, dim(q), same);
        cm::merge_input_side(layer.up_proj, dim(q), same);
        if (where.mlp_output) cm::merge_output_side(layer.down_proj, dim(q), same);
        if (where.head) cm::merge_input_side(model.lm_head, dim(q), same);
    });
}
static_assert(is_unchanged_when({}));
static_assert(!is_unchanged_when({.embedding = false}));
static_assert(!is_unchanged_when({.attention_output = false}));
static_assert(!is_unchanged_when({.mlp_output = false}));
static_assert(!is_unchanged_when({.queries = false}));
static_assert(!is_unchanged_when({.gate = false}));
static_assert(!is_unchanged_when({.head = false}));

// Invertible is not enough: RMSNorm sees the length.
static_assert(!is_unchanged_when<cm::dense>({}));
static_assert(!is_unchanged_when<cm::channel_scale>({}));

// Writers turned the other way.
consteval bool is_unchanged_by_rotation(bool writers_transposed) {
    return cm::is_unchanged_by<llama>([writers_transposed](auto& model, auto& source) {
        using plan = cm::plan<cm::at<cm::sites::residual_stream, cm::orthogonal>>;
        auto const t = cm::random_transforms<plan, cm::field_matrix>(model.config, source);
        auto const &q = t.residual_stream, back = inverse(q);
        cm::fold_plan(t, model);
        if (!writers_transposed) return;
        for (auto* writer : {&model.layers[0].o_proj, &model.layers[0].down_proj})
            for (int turn = 0; turn < 2; ++turn)  // Q away, then Q^T on
                cm::merge_output_side(*writer, dim(back), mistakes::for_all_blocks(back));
    });
}
static_assert(is_unchanged_by_rotation(false));
static_assert(!is_unchanged_by_rotation(true));
