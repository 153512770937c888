// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "planting.hpp"

namespace cm = commutant;
using cm::families::llama;

// A rotation of the stream passes RMSNorm only where the gain has moved into the linears behind, before the
// rotation is merged into them.

enum class gains { folded, attention_left, ffn_left, final_left, folded_after, folded_and_left };

consteval bool is_unchanged_when(gains choice) {
    return cm::is_unchanged_by<llama>([choice](auto& model, auto& source) {
        auto& layer = model.layers[0];
        cm::field_matrix const final_gain = model.final_norm, attention_gain = layer.attention_norm,
                               ffn_gain = layer.ffn_norm;
        auto const q = cm::make_transform<cm::orthogonal, cm::field_matrix>(source, {model.config.model_dim});

        if (choice == gains::attention_left) layer.attention_norm = cm::field_matrix{};
        if (choice == gains::ffn_left) layer.ffn_norm = cm::field_matrix{};
        if (choice != gains::folded_after) cm::fold_gains(layer);
        if (choice == gains::attention_left) layer.attention_norm = attention_gain;
        if (choice == gains::ffn_left) layer.ffn_norm = ffn_gain;
        cm::fold_residual_stream(q, layer);
        if (choice == gains::folded_after) cm::fold_gains(layer);
        if (choice == gains::folded_and_left) layer.attention_norm = attention_gain;

        if (choice != gains::final_left) {
            cm::fold_gain(final_gain, model.lm_head);
            model.final_norm = cm::field_matrix{};
        }
        model.embedding = apply(q, model.embedding);
        cm::merge_input_side(model.lm_head, dim(q), mistakes::for_all_blocks(q));
    });
}
static_assert(is_unchanged_when(gains::folded));
static_assert(!is_unchanged_when(gains::attention_left));
static_assert(!is_unchanged_when(gains::ffn_left));
static_assert(!is_unchanged_when(gains::final_left));
static_assert(!is_unchanged_when(gains::folded_after));
static_assert(!is_unchanged_when(gains::folded_and_left));
