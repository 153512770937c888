// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>

#include <commutant/core/pairing.hpp>

namespace commutant {

/// Model families that one decoder block describes.
enum class model_family { llama, mistral, qwen2, qwen3 };

/// How RoPE frequencies are stretched beyond the trained context.
///
/// Only angles and one scalar change, so every law about RoPE holds for all of them.
struct rope_scaling {
    enum class kind { none, linear, llama3, yarn };
    kind method = kind::none;
    double factor = 1.0;
    double low_freq_factor = 1.0;          ///< llama3
    double high_freq_factor = 4.0;         ///< llama3
    double original_max_positions = 8192;  ///< llama3, yarn
    double beta_fast = 32.0;               ///< yarn
    double beta_slow = 1.0;                ///< yarn
    bool truncate = true;                  ///< yarn: round the correction range to whole dimensions
    std::optional<double>
        attention_factor{};          ///< yarn: given in the file; otherwise derived from factor and mscale
    std::optional<double> mscale{};  ///< yarn
    std::optional<double> mscale_all_dim{};  ///< yarn
};

/// Geometry and constants of a pre-norm decoder, in plain numbers.
///
/// head_dim is read from the checkpoint: it need not be model_dim / n_heads.
struct model_config {
    model_family family = model_family::llama;
    std::size_t n_layers = 0;
    std::size_t model_dim = 0;   ///< width of the residual stream
    std::size_t ffn_dim = 0;     ///< inner width of the gated MLP
    std::size_t n_heads = 0;     ///< query heads
    std::size_t n_kv_heads = 0;  ///< key and value heads; divides n_heads
    std::size_t head_dim = 0;
    std::size_t rotary_dim = 0;  ///< rotated features of each head, even, at most head_dim
    std::size_t vocab_size = 0;
    std::size_t max_positions = 0;
    double rms_norm_eps = 1e-5;
    double rope_theta = 10000.0;
    rope_scaling scaling{};
    pairing rope_pairing = pairing::half_split;
    bool tied_head = false;  ///< lm_head is the embedding
    bool qkv_bias = false;
    bool o_bias = false;
    bool mlp_bias = false;  ///< gate, up and down
    bool qk_norm = false;   ///< RMSNorm over each head between projection and RoPE (Qwen3)

    /// Query heads per kv head; query head h reads kv head h / n_rep().
    [[nodiscard]] constexpr std::size_t n_rep() const { return n_heads / n_kv_heads; }
};

}  // namespace commutant
