// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

// A slow transformer to compare everything else with: double precision, plain loops, one function per
// operator, no include from the library it judges. Every activation is `rows`, one row per token; every
// weight is a flat row-major vector with its shape in a comment. What a model does not have (a bias, a q/k
// norm, an untied head) is an empty vector.

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace reference {

/// Activations: one row per token.
using rows = std::vector<std::vector<double>>;

/// Which two features of a head are turned together, r being rotary_dim.
enum class rope_pairing {
    interleaved,  ///< (2i, 2i + 1)
    half_split    ///< (i, i + r / 2)
};

/// How the RoPE frequencies are stretched. `plain` is what configuration files call "default".
enum class rope_kind { plain, linear, llama3, yarn };

/// Parameters of the stretching; each kind reads only those named for it.
///
/// `factor` is read as it stands. Some YaRN files state it, some leave it to be worked out as
/// max_position_embeddings / original_max_position_embeddings: that is for whoever reads the file.
struct rope_scaling {
    rope_kind kind = rope_kind::plain;
    double factor = 1.0;                       ///< linear, llama3, yarn
    double original_max_positions = 0.0;       ///< llama3, yarn
    double low_freq_factor = 1.0;              ///< llama3
    double high_freq_factor = 4.0;             ///< llama3
    double beta_fast = 32.0;                   ///< yarn
    double beta_slow = 1.0;                    ///< yarn
    bool truncate = true;                      ///< yarn: round the ends of the ramp outwards to whole pairs
    std::optional<double> attention_factor{};  ///< yarn: overrides the derived one
    double mscale = 0.0;                       ///< yarn: 0 means absent
    double mscale_all_dim = 0.0;               ///< yarn: 0 means absent
};

/// Geometry and constants of the decoder.
struct config {
    std::size_t n_layers = 0;
    std::size_t model_dim = 0;
    std::size_t ffn_dim = 0;
    std::size_t n_heads = 0;
    std::size_t n_kv_heads = 0;
    std::size_t head_dim = 0;
    std::size_t rotary_dim = 0;  ///< features of a head that turn; the rest pass unturned
    std::size_t vocab_size = 0;
    std::size_t seq_len = 0;  ///< longest window; only the evaluation protocol reads it
    double rms_norm_eps = 1e-5;
    double rope_theta = 10000.0;
    rope_pairing pairing = rope_pairing::half_split;
    rope_scaling scaling{};
};

/// One decoder block. Projections are [out, in], row-major.
struct layer {
    std::vector<double> attention_norm;  ///< [model_dim]
    std::vector<double> q_proj, q_bias;  ///< [n_heads * head_dim, model_dim], [n_heads * head_dim]
    std::vector<double> k_proj, k_bias;  ///< [n_kv_heads * head_dim, model_dim], [n_kv_heads * head_dim]
    std::vector<double> v_proj, v_bias;  ///< like k
    std::vector<double> o_proj, o_bias;  ///< [model_dim, n_heads * head_dim], [model_dim]
    std::vector<double> q_norm, k_norm;  ///< [head_dim], shared by all heads
    std::vector<double> ffn_norm;        ///< [model_dim]
    std::vector<double> gate_proj, gate_bias;  ///< [ffn_dim, model_dim], [ffn_dim]
    std::vector<double> up_proj, up_bias;      ///< [ffn_dim, model_dim], [ffn_dim]
    std::vector<double> down_proj, down_bias;  ///< [model_dim, ffn_dim], [model_dim]
};

/// All weights of a decoder.
struct weights {
    std::vector<double> embedding;  ///< [vocab_size, model_dim]
    std::vector<layer> layers;
    std::vector<double> final_norm;  ///< [model_dim]
    std::vector<double> lm_head;     ///< [vocab_size, model_dim]; empty: the embedding is the head
};

/// What runs along the residual stream.
enum class residual_mode {
    pre_norm,         ///< X <- X + F(norm(X)), as checkpoints mean it
    scaled,           ///< S_n: the normalised stream itself is carried, and S beside it
    scaled_plain_eps  ///< S_n with eps instead of eps S^2: close, but not the same function
};

// The operators, one each.

/// y_i = x_i gain_i / sqrt(mean(x^2) + eps). An empty gain counts as ones.
std::vector<double> rms_norm(std::span<const double> x, std::span<const double> gain, double eps);

/// y = x W^T + b, W: [out, x.size()]. An empty bias counts as zeros.
std::vector<double> linear(std::span<const double> x, std::span<const double> weight,
                           std::span<const double> bias);

/// Angle per position of each pair, radians: [rotary_dim / 2].
std::vector<double> rope_frequencies(const config& c);

/// Number that multiplies both cos and sin (so q.k takes its square); 1 for all kinds but YaRN.
double rope_attention_factor(const config& c);

/// Turns the first rotary_dim features of one head by position * frequency.
void rope_in_place(const config& c, std::span<const double> frequencies, std::size_t position,
                   std::span<double> head);

/// Causal softmax attention; query head h reads kv head h / (n_heads / n_kv_heads).
///
/// Shape  q: [n_tokens][n_heads * head_dim]; k, v: [n_tokens][n_kv_heads * head_dim]; result like q
rows attention(const config& c, const rows& q, const rows& k, const rows& v);

/// silu(gate) * up, silu(z) = z / (1 + exp(-z)).
std::vector<double> swiglu(std::span<const double> gate, std::span<const double> up);

/// The attention sub-block without norm and residual: what o_proj (and its bias) adds to the stream.
rows attention_block(const config& c, const layer& w, const rows& x);

/// The MLP without norm and residual: what down_proj (and its bias) adds to the stream.
rows ffn_block(const layer& w, const rows& x);

// The whole model.

/// Next-token logits at every position, [n_tokens][vocab_size]; position of the first token is 0.
///
/// Errors  std::invalid_argument if a weight has not the size that the geometry asks for, if a token is not
/// in the
///         vocabulary, or if a scaled residual is asked for while a norm gain is not 1 (fold the gains first)
rows logits(const config& c, const weights& w, std::span<const int> tokens,
            residual_mode residual = residual_mode::pre_norm);

/// The same function with every norm gain multiplied into the linears behind it; the head comes out untied.
weights with_folded_gains(const config& c, weights w);

/// Sum over positions of -log softmax(logits[t])[tokens[t + 1]], natural log: tokens.size() - 1 terms.
double negative_log_likelihood(const config& c, const weights& w, std::span<const int> tokens);

}  // namespace reference
