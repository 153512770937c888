// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include <commutant/model/selection.hpp>
#include <commutant/optimize/transform_parameters.hpp>

namespace commutant {

/// Groups of inner features that a part of a block keeps whole, because T_k, T_v and T_d mix what is in them.
struct mixing_units {
    feature_list kv_heads{};     ///< with all query heads of each
    feature_list down_blocks{};  ///< blocks of T_d: channels of gate, up and down
};

/// The features in them; the stream is kept whole.
///
/// down_block  width of a block of T_d
[[nodiscard]] inline layer_features features_of(mixing_units const& kept, std::size_t down_block,
                                                model_config const& c) {
    auto const blocks = [](feature_list const& which, std::size_t width) {
        feature_list features;
        for (std::size_t const i : which)
            for (std::size_t j = 0; j < width; ++j) features.push_back(i * width + j);
        return features;
    };
    auto const q = blocks(kept.kv_heads, c.n_rep() * c.head_dim), kv = blocks(kept.kv_heads, c.head_dim);
    auto const ffn = blocks(kept.down_blocks, down_block);
    return {feature_range(0, c.model_dim), q, kv, kv, q, ffn, ffn, ffn};
}

/// A block's transforms on such a part of it.
template <class M>
[[nodiscard]] layer_parameters<M> selected(layer_parameters<M> const& p, layer_features const& features,
                                           mixing_units const& kept) {
    layer_parameters<M> r;
    for (std::size_t const g : kept.kv_heads) {
        r.query_key.push_back(p.query_key[g]);
        r.value_output.push_back(p.value_output[g]);
    }
    r.log_up = gather_columns(p.log_up, std::span<std::size_t const>(features.up));
    return r;
}

/// T_r left out, what is left of a decoder's transforms acts on one such part of block i alone.
template <class M>
[[nodiscard]] transform_parameters<M> inner_parameters(transform_parameters<M> const& p, std::size_t i,
                                                       layer_features const& features,
                                                       mixing_units const& kept) {
    transform_parameters<M> r;
    r.chosen = p.chosen;
    r.chosen.residual_stream = r.chosen.token_scale = false;
    r.layers.push_back(selected(p.layers[i], features, kept));
    r.down_input = block_hadamard_map(features.down.size(), p.down_input.block());
    return r;
}

}  // namespace commutant
