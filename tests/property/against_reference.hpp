// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include <commutant/core/random.hpp>
#include <commutant/merge/condition.hpp>
#include <commutant/merge/plan.hpp>
#include <commutant/model/decoder.hpp>
#include <commutant/model/inference.hpp>
#include <commutant/model/random_decoder.hpp>
#include <commutant/readings/eigen_matrix.hpp>

#include "reference/reference_model.hpp"

// A merged model against a judge that shares no code with the library: the reference runs the weights as they
// were before the merge.

namespace against_reference {

namespace cm = commutant;
template <class T> using matrix_of = cm::eigen_matrix<T>;
template <class T> using decoder_of = cm::decoder<matrix_of<T>>;

[[nodiscard]] inline reference::config config_for_reference(cm::model_config const& c) {
    reference::config r;
    r.n_layers = c.n_layers;
    r.model_dim = c.model_dim;
    r.ffn_dim = c.ffn_dim;
    r.n_heads = c.n_heads;
    r.n_kv_heads = c.n_kv_heads;
    r.head_dim = c.head_dim;
    r.rotary_dim = c.rotary_dim;
    r.vocab_size = c.vocab_size;
    r.rms_norm_eps = c.rms_norm_eps;
    r.rope_theta = c.rope_theta;
    r.pairing = c.rope_pairing == cm::pairing::half_split ? reference::rope_pairing::half_split
                                                          : reference::rope_pairing::interleaved;
    return r;
}

/// A folded gain is one everywhere.
template <class T> [[nodiscard]] reference::weights weights_for_reference(decoder_of<T> const& m) {
    auto const flat = [](matrix_of<T> const& x) {
        return std::vector<double>(x.elements().begin(), x.elements().end());
    };
    auto const gain = [&](matrix_of<T> const& x) {
        return x.size() == 0 ? std::vector<double>(m.config.model_dim, 1.0) : flat(x);
    };
    reference::weights w;
    w.embedding = flat(m.embedding);
    for (auto const& l : m.layers) {
        reference::layer r;
        r.attention_norm = gain(l.attention_norm);
        r.q_proj = flat(l.q_proj.weight), r.q_bias = flat(l.q_proj.bias);
        r.k_proj = flat(l.k_proj.weight), r.k_bias = flat(l.k_proj.bias);
        r.v_proj = flat(l.v_proj.weight), r.v_bias = flat(l.v_proj.bias);
        r.o_proj = flat(l.o_proj.weight), r.o_bias = flat(l.o_proj.bias);
        r.q_norm = flat(l.q_norm), r.k_norm = flat(l.k_norm);
        r.ffn_norm = gain(l.ffn_norm);
        r.gate_proj = flat(l.gate_proj.weight), r.gate_bias = flat(l.gate_proj.bias);
        r.up_proj = flat(l.up_proj.weight), r.up_bias = flat(l.up_proj.bias);
        r.down_proj = flat(l.down_proj.weight), r.down_bias = flat(l.down_proj.bias);
        w.layers.push_back(std::move(r));
    }
    w.final_norm = gain(m.final_norm);
    w.lm_head = flat(m.lm_head.weight);
    return w;
}

/// The same decoder in another precision.
template <class To, class From> [[nodiscard]] decoder_of<To> converted(decoder_of<From> const& m) {
    auto const to = [](matrix_of<From> const& x) { return matrix_of<To>(x.values.template cast<To>()); };
    auto const linear_to = [&](cm::linear<matrix_of<From>> const& l) {
        return cm::linear<matrix_of<To>>{to(l.weight), to(l.bias)};
    };
    decoder_of<To> r;
    r.config = m.config;
    r.embedding = to(m.embedding);
    for (auto const& l : m.layers)
        r.layers.push_back({to(l.attention_norm), linear_to(l.q_proj), linear_to(l.k_proj),
                            linear_to(l.v_proj), linear_to(l.o_proj), to(l.q_norm), to(l.k_norm),
                            to(l.ffn_norm), linear_to(l.gate_proj), linear_to(l.up_proj),
                            linear_to(l.down_proj)});
    r.final_norm = to(m.final_norm);
    r.lm_head = linear_to(m.lm_head);
    r.online = {m.online.down_input, m.online.token_scale, m.online.eps};
    return r;
}

/// Largest difference of two sets of logits over the largest logit expected.
[[nodiscard]] inline double relative_deviation(reference::rows const& expected,
                                               reference::rows const& found) {
    double difference = 0, largest = 0;
    for (std::size_t t = 0; t < expected.size(); ++t)
        for (std::size_t v = 0; v < expected[t].size(); ++v) {
            double const d = std::abs(expected[t][v] - found[t][v]);
            difference = d <= difference ? difference : d;  // keeps a NaN
            largest = std::max(largest, std::abs(expected[t][v]));
        }
    return difference / largest;
}

/// Logits of the library's decoder: the first half of the tokens at once, then one by one over the KV cache.
template <class T>
[[nodiscard]] reference::rows logits_in_steps(decoder_of<T> const& m, std::span<int const> tokens) {
    cm::runner<matrix_of<T>> const run(m, tokens.size());
    cm::kv_cache<matrix_of<T>> cache(m.config);
    cm::no_tap tap;
    reference::rows r;
    std::size_t begin = 0;
    while (begin < tokens.size()) {
        std::size_t const count = begin == 0 ? std::max<std::size_t>(tokens.size() / 2, 1) : 1;
        auto const z = run.logits(tokens.subspan(begin, count), cache, tap);
        for (std::size_t i = 0; i < count; ++i)
            r.emplace_back(z.data() + i * z.cols(), z.data() + (i + 1) * z.cols());
        begin += count;
    }
    return r;
}

/// Distinct enough tokens, the same for the same seed.
[[nodiscard]] inline std::vector<int> random_tokens(std::size_t n, std::size_t vocab_size,
                                                    cm::random_source& random) {
    std::vector<int> tokens(n);
    for (int& t : tokens) t = static_cast<int>(random.next_below(vocab_size));
    return tokens;
}

/// Largest condition number of a plan's transforms; those without one are orthogonal or absent.
template <class Plan, class T>
[[nodiscard]] double largest_condition(cm::plan_transforms<Plan, matrix_of<T>> const& t,
                                       cm::model_config const& c) {
    double largest = 1;
    auto const look_at = [&](auto const& transform, std::size_t n) {
        if constexpr (requires { apply(transform, matrix_of<T>{}); })
            largest = std::max(largest,
                               cm::condition_number(apply(transform, cm::identity_matrix<matrix_of<T>>(n))));
    };
    for (auto const& l : t.layers) {
        for (auto const& of_head : l.query_key) look_at(of_head, c.head_dim);
        for (auto const& of_head : l.value_output) look_at(of_head, c.head_dim);
        look_at(l.up_down, c.ffn_dim);
    }
    return largest;
}

}  // namespace against_reference
