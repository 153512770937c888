// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/model/config.hpp>

namespace commutant {

/// Model families as types, for proofs. Each has the smallest geometry that is generic: two of every index that a
/// formula could confuse (kv groups, query heads of a group, pairs, features without position, blocks of T_d), head_dim
/// other than model_dim / n_heads, every bias that the family has, and an untied head.
namespace families {
struct llama {
    static constexpr char const* name = "llama";
    /// Llama-like, with all the biases its configurations allow, partial rotary of 4 in 6.
    static constexpr model_config geometry{.family = model_family::llama,
                                           .n_layers = 1,
                                           .model_dim = 4,
                                           .ffn_dim = 4,
                                           .n_heads = 4,
                                           .n_kv_heads = 2,
                                           .head_dim = 6,
                                           .rotary_dim = 4,
                                           .vocab_size = 3,
                                           .max_positions = 3,
                                           .rope_pairing = pairing::half_split,
                                           .qkv_bias = true,
                                           .o_bias = true,
                                           .mlp_bias = true};
};
/// The same with RoPE on neighbouring features: llama2.c.
struct llama_interleaved {
    static constexpr char const* name = "llama_interleaved";
    static constexpr model_config geometry = [] {
        model_config c = llama::geometry;
        c.rope_pairing = pairing::interleaved;
        return c;
    }();
};
struct mistral {
    static constexpr char const* name = "mistral";
    static constexpr model_config geometry = [] {
        model_config c = llama::geometry;
        c.family = model_family::mistral;
        c.qkv_bias = c.o_bias = c.mlp_bias = false;
        c.rotary_dim = c.head_dim = 4;
        return c;
    }();
};
struct qwen2 {
    static constexpr char const* name = "qwen2";
    static constexpr model_config geometry = [] {
        model_config c = mistral::geometry;
        c.family = model_family::qwen2;
        c.qkv_bias = true;
        return c;
    }();
};
/// RMSNorm on queries and keys between projection and RoPE.
struct qwen3 {
    static constexpr char const* name = "qwen3";
    static constexpr model_config geometry = [] {
        model_config c = mistral::geometry;
        c.family = model_family::qwen3;
        c.qk_norm = true;
        return c;
    }();
};
}  // namespace families

}  // namespace commutant
