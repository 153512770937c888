// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <commutant/model/config.hpp>

namespace commutant::io {

/// A tensor that a decoder consists of, under its Hugging Face name.
///
/// Shape     weights [out_features, in_features], biases and gains [features]
struct named_shape {
    std::string name{};
    std::vector<std::size_t> shape{};
};

/// Name prefix of a layer: "model.layers.3.".
[[nodiscard]] inline std::string layer_prefix(std::size_t layer) {
    return "model.layers." + std::to_string(layer) + ".";
}

/// Every tensor that the geometry calls for, in the order of the forward pass; a tied head has none of its
/// own.
[[nodiscard]] inline std::vector<named_shape> decoder_tensors(model_config const& config) {
    std::size_t const q_width = config.n_heads * config.head_dim;
    std::size_t const kv_width = config.n_kv_heads * config.head_dim;
    std::vector<named_shape> out;
    out.push_back({"model.embed_tokens.weight", {config.vocab_size, config.model_dim}});
    for (std::size_t layer = 0; layer < config.n_layers; ++layer) {
        std::string const prefix = layer_prefix(layer);
        auto const linear = [&](std::string const& name, std::size_t rows, std::size_t columns, bool bias) {
            out.push_back({prefix + name + ".weight", {rows, columns}});
            if (bias) out.push_back({prefix + name + ".bias", {rows}});
        };
        auto const gain = [&](std::string const& name, std::size_t width) {
            out.push_back({prefix + name + ".weight", {width}});
        };
        gain("input_layernorm", config.model_dim);
        linear("self_attn.q_proj", q_width, config.model_dim, config.qkv_bias);
        linear("self_attn.k_proj", kv_width, config.model_dim, config.qkv_bias);
        linear("self_attn.v_proj", kv_width, config.model_dim, config.qkv_bias);
        if (config.qk_norm) {
            gain("self_attn.q_norm", config.head_dim);
            gain("self_attn.k_norm", config.head_dim);
        }
        linear("self_attn.o_proj", config.model_dim, q_width, config.o_bias);
        gain("post_attention_layernorm", config.model_dim);
        linear("mlp.gate_proj", config.ffn_dim, config.model_dim, config.mlp_bias);
        linear("mlp.up_proj", config.ffn_dim, config.model_dim, config.mlp_bias);
        linear("mlp.down_proj", config.model_dim, config.ffn_dim, config.mlp_bias);
    }
    out.push_back({"model.norm.weight", {config.model_dim}});
    if (!config.tied_head) out.push_back({"lm_head.weight", {config.vocab_size, config.model_dim}});
    return out;
}

}  // namespace commutant::io
