// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>

#include <commutant/core/random.hpp>
#include <commutant/model/decoder.hpp>

namespace commutant {

/// A decoder of the given geometry with random weights, gains near 1, and biases where the family has them.
template <class M>
[[nodiscard]] constexpr decoder<M> random_decoder(model_config const& c,
                                                  parameter_source<typename M::scalar>& source) {
    auto const random_linear = [&](std::size_t out, std::size_t in, bool bias) {
        M weight = parameter_matrix<M>(source, out, in, 0);
        if constexpr (std::floating_point<typename M::scalar>)
            weight = scaled(weight, 4 * rsqrt(static_cast<typename M::scalar>(in)));
        linear<M> l{std::move(weight), {}};
        if (bias) l.bias = parameter_matrix<M>(source, 1, out, 0);
        return l;
    };
    std::size_t const q_dim = c.n_heads * c.head_dim, kv_dim = c.n_kv_heads * c.head_dim;
    decoder<M> m;
    m.config = c;
    m.embedding = parameter_matrix<M>(source, c.vocab_size, c.model_dim, 0);
    for (std::size_t i = 0; i < c.n_layers; ++i) {
        decoder_layer<M> l;
        l.attention_norm = parameter_matrix<M>(source, 1, c.model_dim, 1);
        l.q_proj = random_linear(q_dim, c.model_dim, c.qkv_bias);
        l.k_proj = random_linear(kv_dim, c.model_dim, c.qkv_bias);
        l.v_proj = random_linear(kv_dim, c.model_dim, c.qkv_bias);
        l.o_proj = random_linear(c.model_dim, q_dim, c.o_bias);
        if (c.qk_norm) {
            l.q_norm = parameter_matrix<M>(source, 1, c.head_dim, 1);
            l.k_norm = parameter_matrix<M>(source, 1, c.head_dim, 1);
        }
        l.ffn_norm = parameter_matrix<M>(source, 1, c.model_dim, 1);
        l.gate_proj = random_linear(c.ffn_dim, c.model_dim, c.mlp_bias);
        l.up_proj = random_linear(c.ffn_dim, c.model_dim, c.mlp_bias);
        l.down_proj = random_linear(c.model_dim, c.ffn_dim, c.mlp_bias);
        m.layers.push_back(std::move(l));
    }
    m.final_norm = parameter_matrix<M>(source, 1, c.model_dim, 1);
    if (!c.tied_head) m.lm_head = random_linear(c.vocab_size, c.model_dim, false);
    return m;
}

}  // namespace commutant
