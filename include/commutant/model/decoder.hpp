// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include <commutant/model/config.hpp>
#include <commutant/model/linear.hpp>
#include <commutant/operators/residual.hpp>
#include <commutant/transforms/block_hadamard.hpp>

namespace commutant {

/// One block of a pre-norm decoder.
///
/// Shape     gains: [1, model_dim], or empty once folded; q_norm, k_norm: [1, head_dim], or empty where the family has
///           none; linears: [out_features, in_features]
template <class W, class Linear = linear<W>> struct decoder_layer {
    using matrix_type = W;

    W attention_norm{};
    Linear q_proj{}, k_proj{}, v_proj{}, o_proj{};
    W q_norm{}, k_norm{};
    W ffn_norm{};
    Linear gate_proj{}, up_proj{}, down_proj{};
};

/// What a merged model still computes at inference.
template <class DownInput = block_hadamard_map> struct online_parts {
    std::optional<DownInput> down_input{};  ///< T_d in front of down_proj
    bool token_scale = false;               ///< S_n on the residual stream
    eps_rule eps = eps_rule::exact;
};

/// A decoder: one description of Llama, Mistral, Qwen2 and Qwen3, generic in its weights.
///
/// Shape     embedding: [vocab_size, model_dim]; lm_head.weight: the same, or empty while tied to the embedding
template <class W, class Linear = linear<W>, class DownInput = block_hadamard_map> struct decoder {
    using matrix_type = W;
    using layer_type = decoder_layer<W, Linear>;

    model_config config{};
    W embedding{};
    std::vector<decoder_layer<W, Linear>> layers{};
    W final_norm{};
    Linear lm_head{};
    online_parts<DownInput> online{};
};

}  // namespace commutant
