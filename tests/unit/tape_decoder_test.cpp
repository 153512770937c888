// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <cstddef>
#include <string>
#include <type_traits>
#include <vector>

#include <commutant/merge/plan.hpp>
#include <commutant/model/inference.hpp>
#include <commutant/model/named_tensors.hpp>
#include <commutant/model/random_decoder.hpp>
#include <commutant/recipes/fptquant.hpp>
#include <support/gradient_check.hpp>

namespace cm = commutant;
using cm::testing::gradient_deviation;
using cm::testing::gradient_tolerance;
using cm::testing::random_values;
using cm::testing::running;
using cm::testing::training;

namespace {

/// Two of every index; partial rotary, every bias.
cm::model_config small_config() {
    cm::model_config c;
    c.n_layers = 2, c.model_dim = 8, c.ffn_dim = 12, c.n_heads = 4, c.n_kv_heads = 2, c.head_dim = 6;
    c.rotary_dim = 4, c.vocab_size = 7, c.max_positions = 8, c.rms_norm_eps = 1e-2;
    c.qkv_bias = c.o_bias = c.mlp_bias = true;
    return c;
}

std::vector<int> const tokens{1, 5, 3, 3, 6};

cm::decoder<running> small_decoder(cm::model_config const& c) {
    cm::random_source random(11);
    cm::parameter_source<double> source(random);
    return cm::random_decoder<running>(c, source);
}

std::vector<running> tensors_of(cm::decoder<running> const& m) {
    std::vector<running> tensors;
    cm::visit_tensors(m, [&](std::string const&, running const& w) {
        if (w.size() != 0) tensors.push_back(w);
    });
    return tensors;
}

/// A decoder of the same geometry in another reading, its tensors taken from the list.
template <class M>
cm::decoder<M> decoder_with(cm::decoder<running> const& shape, std::vector<M> const& tensors) {
    cm::decoder<M> m;
    m.config = shape.config;
    m.online = shape.online;
    m.layers.resize(shape.layers.size());
    std::vector<bool> present;
    cm::visit_tensors(shape, [&](std::string const&, running const& w) { present.push_back(w.size() != 0); });
    std::size_t place = 0, next = 0;
    cm::visit_tensors(m, [&](std::string const&, M& w) {
        if (present[place++]) w = tensors[next++];
    });
    return m;
}

double deviation_of_logits(cm::decoder<running> const& m) {
    return gradient_deviation(tensors_of(m), [&]<class M>(std::vector<M> const& tensors) {
        cm::decoder<M> const read = decoder_with<M>(m, tensors);
        return cm::runner<M>(read).logits(tokens);
    });
}

}  // namespace

TEST_CASE("tape: every weight of a decoder has the gradient of central differences", "[optimize][gqa]") {
    cm::model_config c = small_config();
    SECTION("Llama with every bias, an untied head and partial rotary features") {}
    SECTION("interleaved pairs and a tied head") {
        c.rope_pairing = cm::pairing::interleaved;
        c.tied_head = true;
    }
    SECTION("norms on queries and keys") { c.qk_norm = true; }
    CHECK(deviation_of_logits(small_decoder(c)) < gradient_tolerance);
}

TEST_CASE("tape: the residual scaling and the online Hadamard have the gradients of central differences",
          "[optimize][gqa]") {
    cm::decoder<running> m = small_decoder(small_config());
    for (auto& layer : m.layers) cm::fold_gains(layer);
    cm::fold_gain(m.final_norm, m.lm_head);
    m.final_norm = running();
    m.online.token_scale = true;
    m.online.down_input = cm::block_hadamard_map(m.config.ffn_dim, 12);
    CHECK(deviation_of_logits(m) < gradient_tolerance);
    m.online.eps = cm::eps_rule::plain;
    CHECK(deviation_of_logits(m) < gradient_tolerance);
}

TEST_CASE("tape: decoding token by token records the same function as a whole window", "[optimize]") {
    cm::decoder<running> const m = small_decoder(small_config());
    CHECK(gradient_deviation(tensors_of(m), [&]<class M>(std::vector<M> const& tensors) {
              cm::decoder<M> const read = decoder_with<M>(m, tensors);
              cm::runner<M> const run(read);
              cm::kv_cache<M> cache(m.config);
              cm::no_tap tap;
              M last;
              for (std::size_t i = 0; i < tokens.size(); ++i)
                  last = run.logits(std::span<int const>(tokens).subspan(i, 1), cache, tap);
              return last;
          }) < gradient_tolerance);
}

namespace {

/// The six transforms from their parameters: two pair parameters for each kv head, matrices, factors, a skew matrix.
template <class M>
cm::plan_transforms<cm::fptquant_plan, M> transforms_from(cm::model_config const& c,
                                                          std::vector<M> const& p) {
    cm::plan_transforms<cm::fptquant_plan, M> t;
    std::size_t next = 0;
    for (std::size_t i = 0; i < c.n_layers; ++i) {
        cm::layer_transforms<cm::fptquant_plan, M> l;
        for (std::size_t g = 0; g < c.n_kv_heads; ++g) {
            l.query_key.push_back(cm::pairwise<cm::scaled_rotation, M>::from_parameters(
                std::array<M, 2>{p[next], p[next + 1]}, c.rope_pairing, c.head_dim));
            l.query_key.back().rest = cm::dense_map<M>::from_matrix(p[next + 2]);
            l.value_output.push_back(cm::dense_map<M>::from_matrix(p[next + 3]));
            next += 4;
        }
        l.up_down = cm::diagonal<cm::channel_scale, M>::from_parameters(p[next++]);
        t.layers.push_back(std::move(l));
    }
    t.residual_stream = {cm::cayley(p[next++])};
    t.down_input = cm::block_hadamard_map(c.ffn_dim, 4);
    return t;
}

std::vector<running> transform_parameters(cm::model_config const& c) {
    cm::random_source source(21);
    std::vector<running> p;
    auto const near_identity = [&](std::size_t n) {
        running a = random_values(source, n, n);
        for (std::size_t i = 0; i < n; ++i) a(i, i) += 2;
        return a;
    };
    for (std::size_t i = 0; i < c.n_layers; ++i) {
        for (std::size_t g = 0; g < c.n_kv_heads; ++g) {
            p.push_back(random_values(source, 1, c.rotary_dim / 2, 1));
            p.push_back(random_values(source, 1, c.rotary_dim / 2));
            p.push_back(near_identity(c.head_dim - c.rotary_dim));
            p.push_back(near_identity(c.head_dim));
        }
        p.push_back(random_values(source, 1, c.ffn_dim, 1));
    }
    p.push_back(random_values(source, c.model_dim, c.model_dim));
    return p;
}

}  // namespace

TEST_CASE("tape: merges carry gradients from merged weights to every transform", "[optimize][merge][gqa]") {
    cm::model_config const c = small_config();
    cm::decoder<running> const base = small_decoder(c);
    // The largest weights count most, as in a data-free loss on merged weights.
    auto const merged_weights = [&]<class M>(std::vector<M> const& p) {
        cm::decoder<M> m = cm::converted<M>(base);
        cm::fold_plan(transforms_from(c, p), m);
        M sizes(0, 1);
        cm::visit_tensors(m, [&](std::string const&, M const& w) {
            if (w.rows() > 1) sizes = append_rows(sizes, mean_square_rows(elementwise_product(w, w)));
        });
        return sizes;
    };
    CHECK(gradient_deviation(transform_parameters(c), merged_weights) < gradient_tolerance);
}

TEST_CASE("tape: a function-preserving plan gives the logits no gradient", "[optimize][merge][gqa]") {
    cm::model_config const c = small_config();
    std::vector<training> p;
    for (auto const& values : transform_parameters(c)) p.push_back(training::parameter(values));
    cm::decoder<training> m = cm::converted<training>(small_decoder(c));
    cm::fold_plan(transforms_from(c, p), m);
    training const z = cm::runner<training>(m).logits(tokens);
    backward(mean_cross_entropy(z, std::vector<int>{5, 3, 3, 6, 0}));
    for (auto const& x : p) CHECK(x.gradient().values.cwiseAbs().maxCoeff() < 1e-13);
    // A planted mistake does: the partner of one T_v left out.
    std::vector<training> q;
    for (auto const& values : transform_parameters(c)) q.push_back(training::parameter(values));
    cm::decoder<training> wrong = cm::converted<training>(small_decoder(c));
    auto t = transforms_from(c, q);
    cm::fold_plan(t, wrong);
    wrong.layers[0].o_proj.weight = cm::converted<training>(small_decoder(c)).layers[0].o_proj.weight;
    training const wrong_z = cm::runner<training>(wrong).logits(tokens);
    backward(mean_cross_entropy(wrong_z, std::vector<int>{5, 3, 3, 6, 0}));
    CHECK(q[3].gradient().values.cwiseAbs().maxCoeff() > 1e-3);
}
