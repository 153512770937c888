// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <commutant/model/decoder.hpp>

namespace commutant {

/// Calls f(name, W&) for every tensor that block i of a decoder may have, under its Hugging Face name.
///
/// Layer     decoder_layer<W>, const or not
template <class Layer, class F> void visit_layer_tensors(Layer& l, std::size_t i, F f) {
    std::string const prefix = "model.layers." + std::to_string(i) + ".";
    auto const visit_linear = [&](char const* name, auto& linear) {
        f(prefix + name + ".weight", linear.weight);
        f(prefix + name + ".bias", linear.bias);
    };
    f(prefix + "input_layernorm.weight", l.attention_norm);
    visit_linear("self_attn.q_proj", l.q_proj);
    visit_linear("self_attn.k_proj", l.k_proj);
    visit_linear("self_attn.v_proj", l.v_proj);
    f(prefix + "self_attn.q_norm.weight", l.q_norm);
    f(prefix + "self_attn.k_norm.weight", l.k_norm);
    visit_linear("self_attn.o_proj", l.o_proj);
    f(prefix + "post_attention_layernorm.weight", l.ffn_norm);
    visit_linear("mlp.gate_proj", l.gate_proj);
    visit_linear("mlp.up_proj", l.up_proj);
    visit_linear("mlp.down_proj", l.down_proj);
}

/// Calls f(name, tensor of a, tensor of b) for every tensor that block i of two decoders may have.
///
/// A, B      decoder_layer, of any matrices, const or not
template <class A, class B, class F> void visit_layer_pairs(A& a, B& b, std::size_t i, F f) {
    std::vector<decltype(&a.attention_norm)> of_a;
    visit_layer_tensors(a, i, [&](std::string const&, auto& x) { of_a.push_back(&x); });
    std::size_t next = 0;
    visit_layer_tensors(b, i, [&](std::string const& name, auto& x) { f(name, *of_a[next++], x); });
}

/// Calls f(name, W&) for every tensor that a decoder may have, under its Hugging Face name, in the order of the forward
/// pass: the one place that ties members to names. Tensors that this decoder lacks are empty.
///
/// Decoder   decoder<W>, const or not
template <class Decoder, class F> void visit_tensors(Decoder& m, F f) {
    f(std::string("model.embed_tokens.weight"), m.embedding);
    for (std::size_t i = 0; i < m.layers.size(); ++i) visit_layer_tensors(m.layers[i], i, f);
    f(std::string("model.norm.weight"), m.final_norm);
    f(std::string("lm_head.weight"), m.lm_head.weight);
}

/// Reads a decoder from anything that has config(), contains(name), shape(name) and read(name, span): io::checkpoint.
///
/// Errors    whatever the source throws
template <class M, class Source> [[nodiscard]] decoder<M> load_decoder(Source const& source) {
    decoder<M> m;
    m.config = source.config();
    m.layers.resize(m.config.n_layers);
    visit_tensors(m, [&](std::string const& name, M& w) {
        if (!source.contains(name)) return;
        auto const& shape = source.shape(name);
        w = shape.size() == 2 ? M(shape[0], shape[1]) : M(1, shape[0]);
        source.read(name, std::span<typename M::scalar>(w.data(), w.size()));
    });
    return m;
}

/// The same decoder on another matrix type, element by element: double to float, for instance.
template <class To, class From> [[nodiscard]] decoder<To> converted(decoder<From> const& m) {
    decoder<To> r;
    r.config = m.config;
    r.online = m.online;
    r.layers.resize(m.layers.size());
    std::vector<From const*> sources;
    visit_tensors(m, [&](std::string const&, From const& w) { sources.push_back(&w); });
    std::size_t next = 0;
    visit_tensors(r, [&](std::string const&, To& w) {
        From const& from = *sources[next++];
        w = To(from.rows(), from.cols());
        for (std::size_t k = 0; k < from.size(); ++k)
            w.data()[k] = static_cast<typename To::scalar>(from.data()[k]);
    });
    return r;
}

/// A decoder that consists of one block, for what works on decoders; embedding and head have columns and no rows.
template <class M> [[nodiscard]] decoder<M> decoder_of_block(model_config const& c, decoder_layer<M> block) {
    decoder<M> one;
    one.config = c;
    one.config.n_layers = 1;
    one.embedding = one.lm_head.weight = M(0, c.model_dim);
    one.layers.push_back(std::move(block));
    return one;
}

}  // namespace commutant
