// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include <commutant/core/blocks.hpp>
#include <commutant/model/decoder.hpp>
#include <commutant/operators/attention.hpp>
#include <commutant/operators/gate.hpp>
#include <commutant/operators/rope.hpp>

namespace commutant {

/// Places of the decoder where an activation can be observed or quantised.
enum class location {
    attention_input,    ///< input of q_proj, k_proj, v_proj; [tokens, model_dim]
    query_before_rope,  ///< output of q_proj; [tokens, n_heads * head_dim]
    key_before_rope,    ///< output of k_proj; [tokens, n_kv_heads * head_dim]
    query,              ///< after RoPE
    key,                ///< after RoPE, as it enters the KV cache
    value,              ///< as it enters the KV cache
    probabilities,      ///< of one head; [tokens, positions]
    attention_output,   ///< input of o_proj; [tokens, n_heads * head_dim]
    o_output,           ///< output of o_proj
    ffn_input,          ///< input of gate_proj and up_proj
    gate_output,        ///< output of gate_proj
    activated_gate,     ///< after the activation
    up_output,          ///< output of up_proj
    down_input,         ///< input of down_proj, after T_d; [tokens, ffn_dim]
    down_output,        ///< output of down_proj
    head_input          ///< input of lm_head
};
inline constexpr std::size_t n_locations = static_cast<std::size_t>(location::head_input) + 1;

/// A tap that leaves every activation as it is.
struct no_tap {
    template <class M> [[nodiscard]] constexpr M operator()(location, std::size_t, M x) const { return x; }
};

/// Keys (after RoPE) and values of one layer, one row for each position. A reading may bring a cache of its own: a
/// specialisation, with the two functions below for it.
template <class M> struct kv_cache_layer {
    std::vector<M> keys;    ///< one [positions, head_dim] for each kv head
    std::vector<M> values;  ///< the same

    explicit constexpr kv_cache_layer(model_config const& c) : keys(c.n_kv_heads), values(c.n_kv_heads) {}
};

/// Keys and values of the tokens that follow what the cache holds.
///
/// Shape     key, value: [tokens, n_kv_heads * head_dim]
template <class M>
constexpr void append(kv_cache_layer<M>& cache, model_config const& c, M const& key, M const& value) {
    for (std::size_t g = 0; g < c.n_kv_heads; ++g) {
        cache.keys[g] = append_rows(cache.keys[g], columns(key, column_block(g, c.head_dim)));
        cache.values[g] = append_rows(cache.values[g], columns(value, column_block(g, c.head_dim)));
    }
}

/// What every query head mixes from the values that it sees.
///
/// Shape     query: [tokens, n_heads * head_dim], as is the result
template <class M, class Tap>
[[nodiscard]] constexpr M attend(M const& query, kv_cache_layer<M> const& cache, model_config const& c,
                                 typename M::scalar const& scale, std::size_t first_position,
                                 std::size_t layer_index, Tap& tap) {
    return mapped_column_blocks(query, c.head_dim, [&](std::size_t head, M const& q) {
        std::size_t const g = kv_head_of(head, c.n_rep());
        M const mixing = attention_probabilities(q, cache.keys[g], scale, first_position);
        return attention_mix(tap(location::probabilities, layer_index, mixing), cache.values[g]);
    });
}

/// Keys and values of every layer.
template <class M> struct kv_cache {
    std::vector<kv_cache_layer<M>> layers{};
    std::size_t length = 0;  ///< positions held

    explicit constexpr kv_cache(model_config const& c) : layers(c.n_layers, kv_cache_layer<M>(c)) {}
};

namespace detail {
/// RMSNorm of every head on its own (q/k norm); without a gain, nothing.
template <class M> [[nodiscard]] constexpr M normed_heads(M x, M const& gain, typename M::scalar const& eps) {
    if (gain.rows() == 0) return x;
    return mapped_column_blocks(x, gain.cols(),
                                [&](std::size_t, M const& head) { return rms_norm(head, gain, eps); });
}
}  // namespace detail

/// Constants of a decoder in the scalar of a reading.
template <class Scalar> struct decoder_constants {
    Scalar attention_scale;  ///< usually 1 / sqrt(head_dim)
    Scalar rms_norm_eps;
};

/// Attention: projections, RoPE, mixing over the cache, o_proj.
template <class Layer, class M, class Residual, class Tap>
constexpr void attention_block(Layer const& layer, model_config const& c,
                               decoder_constants<typename M::scalar> const& k, Residual& stream,
                               rotation_table<M> const& angles, kv_cache_layer<M>& cache,
                               std::size_t first_position, std::size_t layer_index, Tap& tap) {
    M const x = tap(location::attention_input, layer_index, stream.read(layer.attention_norm));
    auto const rotated = [&](M y, M const& gain) {
        return apply_rope(detail::normed_heads(std::move(y), gain, k.rms_norm_eps), angles, c.head_dim,
                          c.rope_pairing);
    };
    M const query =
        tap(location::query, layer_index,
            rotated(tap(location::query_before_rope, layer_index, forward(layer.q_proj, x)), layer.q_norm));
    M const key =
        tap(location::key, layer_index,
            rotated(tap(location::key_before_rope, layer_index, forward(layer.k_proj, x)), layer.k_norm));
    M const value = tap(location::value, layer_index, forward(layer.v_proj, x));
    append(cache, c, key, value);
    M mixed = attend(query, cache, c, k.attention_scale, first_position, layer_index, tap);
    mixed = tap(location::attention_output, layer_index, stream.branch_input(std::move(mixed)));
    stream.add(tap(location::o_output, layer_index,
                   forward(layer.o_proj, mixed, stream.branch_bias(layer.o_proj.bias))));
}

/// The gated MLP, with T_d in front of down_proj where there is one.
template <class Layer, class Online, class Residual, class Tap>
constexpr void ffn_block(Layer const& layer, Online const& online, Residual& stream, std::size_t layer_index,
                         Tap& tap) {
    using M = typename Layer::matrix_type;
    M const x = tap(location::ffn_input, layer_index, stream.read(layer.ffn_norm));
    M const gate = tap(location::activated_gate, layer_index,
                       silu(tap(location::gate_output, layer_index, forward(layer.gate_proj, x))));
    M inner = gate_product(gate, tap(location::up_output, layer_index, forward(layer.up_proj, x)));
    if (online.down_input) inner = apply(*online.down_input, std::move(inner));
    inner = tap(location::down_input, layer_index, stream.branch_input(std::move(inner)));
    stream.add(tap(location::down_output, layer_index,
                   forward(layer.down_proj, inner, stream.branch_bias(layer.down_proj.bias))));
}

/// The head alone: logits of what the last norm gives.
///
/// Shape     x: [tokens, model_dim]; result: [tokens, vocab_size]
template <class Decoder, class M> [[nodiscard]] constexpr M head_logits(Decoder const& m, M const& x) {
    if (m.lm_head.weight.rows() == 0) return product_transposed(x, m.embedding);
    return forward(m.lm_head, x);
}

/// The whole decoder over a residual stream: blocks, final norm, head.
template <class Decoder, class M, class Residual, class Tap>
[[nodiscard]] constexpr M logits_from(Decoder const& m, decoder_constants<typename M::scalar> const& k,
                                      Residual stream, rotation_table<M> const& angles, kv_cache<M>& cache,
                                      Tap& tap) {
    for (std::size_t i = 0; i < m.layers.size(); ++i) {
        attention_block(m.layers[i], m.config, k, stream, angles, cache.layers[i], cache.length, i, tap);
        ffn_block(m.layers[i], m.online, stream, i, tap);
    }
    cache.length += angles.cosine.rows();
    return head_logits(m, tap(location::head_input, m.layers.size(), stream.read(m.final_norm)));
}

/// Logits of tokens that follow what the cache holds.
///
/// Shape     tokens: [n]; table: RoPE angles of at least cache.length + n positions; result: [n, vocab_size]
/// Note      tokens must be below vocab_size; nothing is checked here, the callers at the edge do
template <class Decoder, class M, class Tap>
[[nodiscard]] constexpr M logits(Decoder const& m, decoder_constants<typename M::scalar> const& k,
                                 rotation_table<M> const& table, std::span<int const> tokens,
                                 kv_cache<M>& cache, Tap& tap) {
    auto const angles = positions(table, cache.length, tokens.size());
    M embedded = gather_rows(m.embedding, tokens);
    if (m.online.token_scale)
        return logits_from(m, k, scaled_residual<M>(std::move(embedded), k.rms_norm_eps, m.online.eps),
                           angles, cache, tap);
    return logits_from(m, k, plain_residual<M>(std::move(embedded), k.rms_norm_eps), angles, cache, tap);
}

}  // namespace commutant
