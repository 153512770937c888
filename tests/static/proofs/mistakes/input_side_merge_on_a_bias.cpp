// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "planting.hpp"

namespace cm = commutant;

// A bias is added behind the linear: what the linear is given does not touch it.

// Sizes at which the mistake fits: head_dim = ffn_dim = model_dim.
struct all_alike {
    static constexpr cm::model_config geometry = [] {
        cm::model_config c = cm::families::llama::geometry;
        c.head_dim = c.rotary_dim = 4;
        return c;
    }();
};
static_assert(all_alike::geometry.model_dim == 4 && all_alike::geometry.ffn_dim == 4);

enum class bias { stays, is_merged };

template <class T> constexpr void merge_input_side(cm::linear<cm::field_matrix>& l, T const& t, bias choice) {
    cm::merge_input_side(l, dim(t), mistakes::for_all_blocks(t));
    if (choice == bias::is_merged) l.bias = apply(cm::inverse_transpose(t), l.bias);
}

consteval bool values_are_unchanged_when(bias choice) {
    return cm::is_unchanged_by<all_alike>([choice](auto& model, auto& source) {
        auto const t = cm::make_transform<cm::dense, cm::field_matrix>(source, {model.config.head_dim});
        cm::merge_output_side(model.layers[0].v_proj, model.config.head_dim, mistakes::for_all_blocks(t));
        merge_input_side(model.layers[0].o_proj, t, choice);
    });
}
static_assert(values_are_unchanged_when(bias::stays));
static_assert(!values_are_unchanged_when(bias::is_merged));

consteval bool up_is_unchanged_when(bias choice) {
    return cm::is_unchanged_by<all_alike>([choice](auto& model, auto& source) {
        auto const t =
            cm::make_transform<cm::channel_scale, cm::field_matrix>(source, {model.config.ffn_dim});
        cm::merge_output_side(model.layers[0].up_proj, model.config.ffn_dim, mistakes::for_all_blocks(t));
        merge_input_side(model.layers[0].down_proj, t, choice);
    });
}
static_assert(up_is_unchanged_when(bias::stays));
static_assert(!up_is_unchanged_when(bias::is_merged));

consteval bool down_input_is_unchanged_when(bias choice) {
    return cm::is_unchanged_by<all_alike>([choice](auto& model, auto&) {
        cm::block_hadamard_map const t(model.config.ffn_dim, 0);
        merge_input_side(model.layers[0].down_proj, t, choice);
        model.online.down_input = t;
    });
}
static_assert(down_input_is_unchanged_when(bias::stays));
static_assert(!down_input_is_unchanged_when(bias::is_merged));

consteval bool stream_is_unchanged_when(bias choice) {
    return cm::is_unchanged_by<all_alike>([choice](auto& model, auto& source) {
        using plan = cm::plan<cm::at<cm::sites::residual_stream, cm::orthogonal>>;
        auto const t = cm::random_transforms<plan, cm::field_matrix>(model.config, source);
        cm::fold_plan(t, model);
        auto& up_bias = model.layers[0].up_proj.bias;
        if (choice == bias::is_merged) up_bias = apply(cm::inverse_transpose(t.residual_stream), up_bias);
    });
}
static_assert(stream_is_unchanged_when(bias::stays));
static_assert(!stream_is_unchanged_when(bias::is_merged));
