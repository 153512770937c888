// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>
#include <limits>

#include <commutant/recipes/fptquant.hpp>

#include "against_reference.hpp"

namespace cm = commutant;
using namespace against_reference;

// Each transform of FPTQuant alone and all six, with random parameters, merged into random decoders of every
// shape that changes what the merge does.

namespace {

/// Relative logit deviation allowed in double precision, for transforms of condition number 1.
constexpr double float64_tolerance = 1e-12;
/// In single precision, whatever the transforms.
constexpr double float32_tolerance = 1e-3;

/// Geometries that a merge could confuse.
struct geometry {
    std::size_t n_rep;
    cm::pairing pairs;
    std::size_t rotary_dim;
    bool qkv_bias, other_biases, tied_head;
};

cm::model_config config_of(geometry const& g) {
    cm::model_config c;
    c.n_layers = 2;
    c.model_dim = 16;
    c.ffn_dim = 24;
    c.n_heads = 4;
    c.n_kv_heads = c.n_heads / g.n_rep;
    c.head_dim = 6;  // other than model_dim / n_heads
    c.rotary_dim = g.rotary_dim;
    c.vocab_size = 11;
    c.max_positions = 16;
    c.rms_norm_eps = 1e-2;  // large, so that a wrong place for it shows
    c.rope_pairing = g.pairs;
    c.tied_head = g.tied_head;
    c.qkv_bias = g.qkv_bias;
    c.o_bias = c.mlp_bias = g.other_biases;
    return c;
}

template <class Site, class Kind> using alone = cm::plan<cm::at<Site, Kind>>;
using key_alone = alone<cm::sites::query_key, cm::scaled_rotation>;
using value_alone = alone<cm::sites::value_output, cm::dense>;
using up_alone = alone<cm::sites::up_down, cm::channel_scale>;
using residual_alone = alone<cm::sites::residual_stream, cm::orthogonal>;
using down_alone = alone<cm::sites::down_input, cm::block_hadamard>;
using token_scale_alone = alone<cm::sites::token_scale, cm::residual_scale>;
using all_but_online =
    cm::plan<cm::at<cm::sites::query_key, cm::scaled_rotation>, cm::at<cm::sites::value_output, cm::dense>,
             cm::at<cm::sites::up_down, cm::channel_scale>,
             cm::at<cm::sites::residual_stream, cm::orthogonal>>;

}  // namespace

TEMPLATE_TEST_CASE("merge: a random decoder computes the same function after the merge", "[merge]", key_alone,
                   value_alone, up_alone, residual_alone, down_alone, token_scale_alone, all_but_online,
                   cm::fptquant_plan) {
    using plan = TestType;
    std::size_t const n_rep = GENERATE(as<std::size_t>{}, 1, 2, 4);
    auto const pairs = GENERATE(cm::pairing::half_split, cm::pairing::interleaved);
    std::size_t const rotary_dim = GENERATE(as<std::size_t>{}, 6, 4);
    bool const qkv_bias = GENERATE(false, true), other_biases = GENERATE(false, true),
               tied = GENERATE(false, true);
    std::uint64_t const seed = GENERATE(1u, 2u);
    CAPTURE(n_rep, pairs == cm::pairing::interleaved, rotary_dim, qkv_bias, other_biases, tied, seed);

    cm::model_config const c = config_of({n_rep, pairs, rotary_dim, qkv_bias, other_biases, tied});
    cm::random_source random(seed);
    cm::parameter_source<double> source(random);
    auto const original = cm::random_decoder<matrix_of<double>>(c, source);
    auto const transforms = cm::random_transforms<plan, matrix_of<double>>(c, source);
    std::vector<int> const tokens = random_tokens(7, c.vocab_size, random);
    auto const judge = config_for_reference(c);
    auto const expected = reference::logits(judge, weights_for_reference(original), tokens);

    auto merged = original;
    cm::fold_plan(transforms, merged);

    SECTION("in double precision") {
        double const condition = largest_condition(transforms, c);
        CAPTURE(condition);
        CHECK(relative_deviation(expected, logits_in_steps(merged, tokens)) <= float64_tolerance * condition);
        // What has merged completely is a model like any other; what scales its residual the reference can do
        // too.
        if (!merged.online.down_input) {
            auto const mode = merged.online.token_scale ? reference::residual_mode::scaled
                                                        : reference::residual_mode::pre_norm;
            CHECK(relative_deviation(expected, reference::logits(judge, weights_for_reference(merged), tokens,
                                                                 mode)) <= float64_tolerance * condition);
        }
    }
    SECTION("composed in double precision, rounded once to single") {
        CHECK(relative_deviation(expected, logits_in_steps(converted<float>(merged), tokens)) <=
              float32_tolerance);
    }
    SECTION("merged and run in single precision") {
        cm::random_source float_random(seed + 100);
        cm::parameter_source<float> float_source(float_random);
        auto merged_float = converted<float>(original);
        cm::fold_plan(cm::random_transforms<plan, matrix_of<float>>(c, float_source), merged_float);
        CHECK(relative_deviation(expected, logits_in_steps(merged_float, tokens)) <= float32_tolerance);
    }
}

TEST_CASE("merge: the weights do change, and the online parts are noted", "[merge]") {
    cm::model_config const c = config_of({2, cm::pairing::half_split, 4, true, true, true});
    cm::random_source random(1);
    cm::parameter_source<double> source(random);
    auto const original = cm::random_decoder<matrix_of<double>>(c, source);
    auto merged = original;
    cm::fold_plan(cm::random_transforms<cm::fptquant_plan, matrix_of<double>>(c, source, 8), merged);

    auto const moved = [](auto const& before, auto const& after) {
        return (before.values - after.values).cwiseAbs().maxCoeff() > 1e-2;
    };
    CHECK(moved(original.embedding, merged.embedding));
    CHECK(merged.config.tied_head == false);
    CHECK(merged.lm_head.weight.rows() == c.vocab_size);
    CHECK(moved(original.embedding, merged.lm_head.weight));
    CHECK(merged.final_norm.size() == 0);
    using layer = cm::decoder_layer<matrix_of<double>>;
    for (std::size_t i = 0; i < c.n_layers; ++i) {
        auto const &a = original.layers[i], &b = merged.layers[i];
        CHECK(b.attention_norm.size() == 0);
        CHECK(b.ffn_norm.size() == 0);
        for (auto which : {&layer::q_proj, &layer::k_proj, &layer::v_proj, &layer::o_proj, &layer::up_proj,
                           &layer::down_proj}) {
            CHECK(moved((a.*which).weight, (b.*which).weight));
            CHECK(moved((a.*which).bias, (b.*which).bias));
        }
        CHECK(moved(a.gate_proj.weight, b.gate_proj.weight));
        CHECK(a.gate_proj.bias.values == b.gate_proj.bias.values);
    }
    REQUIRE(merged.online.down_input);
    CHECK(merged.online.down_input->block() == 8);
    CHECK(merged.online.token_scale);
    CHECK(merged.online.eps == cm::eps_rule::exact);
}
