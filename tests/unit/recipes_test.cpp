// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <cmath>
#include <concepts>
#include <string>
#include <vector>

#include <commutant/merge/rope_pairing.hpp>
#include <commutant/model/inference.hpp>
#include <commutant/model/named_tensors.hpp>
#include <commutant/model/random_decoder.hpp>
#include <commutant/readings/eigen_matrix.hpp>
#include <commutant/recipes/fptquant.hpp>
#include <commutant/recipes/hadamard.hpp>
#include <commutant/recipes/part_of_plan.hpp>
#include <commutant/recipes/random.hpp>
#include <commutant/recipes/rtn.hpp>

namespace cm = commutant;
using float64 = cm::eigen_matrix<double>;

namespace {

constexpr cm::model_config small_geometry{.n_layers = 2,
                                          .model_dim = 24,
                                          .ffn_dim = 40,
                                          .n_heads = 4,
                                          .n_kv_heads = 2,
                                          .head_dim = 8,
                                          .rotary_dim = 6,
                                          .vocab_size = 17,
                                          .max_positions = 16,
                                          .qkv_bias = true,
                                          .o_bias = true,
                                          .mlp_bias = true};
std::vector<int> const recipe_window{1, 4, 9, 13, 2, 7, 7, 0};

cm::decoder<float64> recipe_decoder(cm::model_config const& c = small_geometry) {
    cm::random_source random(5);
    cm::parameter_source<double> source(random);
    return cm::random_decoder<float64>(c, source);
}

double relative_deviation(cm::decoder<float64> const& a, cm::decoder<float64> const& b) {
    float64 const x = cm::runner<float64>(a).logits(recipe_window),
                  y = cm::runner<float64>(b).logits(recipe_window);
    return (x.values - y.values).cwiseAbs().maxCoeff() / y.values.cwiseAbs().maxCoeff();
}

bool same_weights(cm::decoder<float64> const& a, cm::decoder<float64> const& b) {
    std::vector<float64> of_a, of_b;
    cm::visit_tensors(a, [&](std::string const&, float64 const& w) { of_a.push_back(w); });
    cm::visit_tensors(b, [&](std::string const&, float64 const& w) { of_b.push_back(w); });
    bool same = of_a.size() == of_b.size();
    for (std::size_t i = 0; same && i < of_a.size(); ++i)
        same = of_a[i].rows() == of_b[i].rows() && of_a[i].cols() == of_b[i].cols() &&
               of_a[i].values == of_b[i].values;
    return same;
}

// About 60 products of up to 40 terms each, every one of them relative to its largest: 100 ulp.
constexpr double max_rounding = 100 * 2.3e-16 * 40;

}  // namespace

TEST_CASE("randomised_hadamard: orthogonal, every entry of one size, rows signed at random",
          "[recipes][hadamard]") {
    cm::random_source random(1);
    for (auto const& [order, blocks] : std::vector<std::pair<cm::hadamard_order, std::size_t>>{
             {{1, 64}, 1}, {{12, 2}, 1}, {{20, 1}, 1}, {{1, 4}, 3}}) {
        std::size_t const n = order.size(), dim = n * blocks;
        CAPTURE(n, blocks);
        float64 const q = cm::randomised_hadamard<float64>(order, blocks, random).q;
        REQUIRE(q.rows() == dim);
        REQUIRE(q.cols() == dim);
        auto const identity = float64::storage::Identity(q.values.rows(), q.values.cols());
        CHECK((q.values * q.values.transpose() - identity).cwiseAbs().maxCoeff() < 1e-14);
        double const size = 1 / std::sqrt(static_cast<double>(n));
        for (std::size_t i = 0; i < dim; ++i)
            for (std::size_t j = 0; j < dim; ++j) REQUIRE(std::abs(q(i, j)) == (i / n == j / n ? size : 0.0));
    }
    // Row signs, and no others: rows of two draws are equal or opposite, and both occur.
    float64 const a = cm::randomised_hadamard<float64>({1, 64}, 1, random).q;
    float64 const b = cm::randomised_hadamard<float64>({1, 64}, 1, random).q;
    std::size_t equal = 0, opposite = 0;
    for (Eigen::Index i = 0; i < 64; ++i) {
        equal += a.values.row(i) == b.values.row(i);
        opposite += a.values.row(i) == -b.values.row(i);
    }
    CHECK(equal + opposite == 64);
    CHECK(equal > 0);
    CHECK(opposite > 0);
}

TEST_CASE("prepare_hadamard: orders without a known matrix fall back to blocks of a power of two, and say so",
          "[recipes][hadamard]") {
    cm::random_source random(1);
    cm::model_config c = small_geometry;
    auto const known = cm::prepare_hadamard<float64>(c, random);
    CHECK(known.notes ==
          std::vector<std::string>{
              "ffn_dim 40 is divided by no power of two above 8: blocks of 8 in front of down_proj "
              "spread outliers little"});
    CHECK(known.transforms.down_input.block() == 8);
    c.model_dim = 36 * 13;  // 468 = 117 * 4: neither 467 nor 233 is 3, or 1, modulo 4 as Paley wants
    c.head_dim = 6;
    c.ffn_dim = 64;
    auto const unknown = cm::prepare_hadamard<float64>(c, random);
    REQUIRE(unknown.notes.size() >= 1);
    CHECK(unknown.notes.back() == "head_dim 6 has no known Hadamard matrix: 3 blocks of 2");
    auto const& head = unknown.transforms.layers[1].value_output[1].q;
    CHECK(head(0, 2) == 0.0);
    CHECK(std::abs(head(0, 1)) == Approx(std::sqrt(0.5)));
    CHECK(unknown.transforms.down_input.block() == 64);
    CHECK_THROWS_WITH(cm::prepare_hadamard<float64>(c, random, 48),
                      "block_hadamard: the block 48 does not divide the 64 features, expected a divisor");
}

TEST_CASE("recipes: merging what they find moves no logit by more than rounding", "[recipes][merge]") {
    auto const m = recipe_decoder();
    cm::random_source random(2);
    auto by_rtn = m, by_hadamard = m, by_random = m;
    cm::fold_plan(cm::prepare_rtn<float64>(small_geometry).transforms, by_rtn);
    CHECK(same_weights(by_rtn, m));
    cm::fold_plan(cm::prepare_hadamard<float64>(small_geometry, random).transforms, by_hadamard);
    CHECK(relative_deviation(by_hadamard, m) < max_rounding);
    CHECK_FALSE(same_weights(by_hadamard, m));
    cm::fold_plan(cm::prepare_random<cm::fptquant_plan, float64>(small_geometry, random).transforms,
                  by_random);
    CHECK(relative_deviation(by_random, m) < 10 * max_rounding);
    CHECK(by_random.online.token_scale);
}

TEST_CASE("recipes: the same seed finds the same transforms, another seed others", "[recipes]") {
    auto const merged = [&](std::uint64_t seed, bool hadamard) {
        cm::random_source random(seed);
        auto m = recipe_decoder();
        if (hadamard)
            cm::fold_plan(cm::prepare_hadamard<float64>(small_geometry, random).transforms, m);
        else
            cm::fold_plan(cm::prepare_random<cm::fptquant_plan, float64>(small_geometry, random).transforms,
                          m);
        return m;
    };
    for (bool const hadamard : {false, true}) {
        CHECK(same_weights(merged(7, hadamard), merged(7, hadamard)));
        CHECK_FALSE(same_weights(merged(7, hadamard), merged(8, hadamard)));
    }
}

TEST_CASE("part_of: merging the mergeable part and then the online part is merging the whole",
          "[recipes][merge]") {
    using mergeable = cm::mergeable_plan<cm::fptquant_plan>;
    using online = cm::online_plan<cm::fptquant_plan>;
    static_assert(mergeable::has<cm::sites::query_key> && mergeable::has<cm::sites::value_output> &&
                  mergeable::has<cm::sites::up_down> && mergeable::has<cm::sites::residual_stream>);
    static_assert(!mergeable::has<cm::sites::down_input> && !mergeable::has<cm::sites::token_scale>);
    static_assert(std::same_as<online, cm::plan<cm::at<cm::sites::down_input, cm::block_hadamard>,
                                                cm::at<cm::sites::token_scale, cm::residual_scale>>>);
    static_assert(
        std::same_as<cm::without_sites<online, cm::sites::down_input, cm::sites::token_scale>, cm::plan<>>);

    cm::random_source random(4);
    auto const whole = cm::prepare_random<cm::fptquant_plan, float64>(small_geometry, random).transforms;
    auto at_once = recipe_decoder(), in_parts = recipe_decoder();
    cm::fold_plan(whole, at_once);
    cm::fold_plan(cm::part_of<mergeable>(whole), in_parts);
    CHECK_FALSE(in_parts.online.down_input);
    CHECK_FALSE(in_parts.online.token_scale);
    CHECK(relative_deviation(in_parts, recipe_decoder()) < 10 * max_rounding);
    CHECK_FALSE(same_weights(in_parts, at_once));
    cm::fold_plan(cm::part_of<online>(whole), in_parts);
    CHECK(same_weights(in_parts, at_once));
    CHECK(in_parts.online.down_input);
    CHECK(in_parts.online.token_scale);
}

TEST_CASE("change_pairing: RoPE pairs the other way and the function stays", "[merge][rope]") {
    for (bool const normed : {false, true}) {
        cm::model_config c = small_geometry;
        c.rope_pairing = cm::pairing::interleaved;
        c.qk_norm = normed;
        auto const m = recipe_decoder(c);
        auto moved = m;
        cm::change_pairing_in_place(moved, cm::pairing::half_split);
        CHECK(moved.config.rope_pairing == cm::pairing::half_split);
        CHECK(relative_deviation(moved, m) < max_rounding);
        CHECK_FALSE(same_weights(moved, m));
        auto mistaken = m;  // the pairing alone, without the rows
        mistaken.config.rope_pairing = cm::pairing::half_split;
        CHECK(relative_deviation(mistaken, m) > 1e-3);
        cm::change_pairing_in_place(moved, cm::pairing::half_split);  // nothing left to do
        cm::change_pairing_in_place(moved, cm::pairing::interleaved);
        CHECK(same_weights(moved, m));
    }
}

TEST_CASE("pairing_change: llama2.c's pairs (0, 1), (2, 3) become Hugging Face's (0, 2), (1, 3)",
          "[merge][rope]") {
    float64 x(1, 6);
    for (std::size_t j = 0; j < 6; ++j) x(0, j) = static_cast<double>(j);
    float64 const y = apply(cm::pairing_change(cm::pairing::half_split, 6, 4), x);
    std::vector<double> const expected{0, 2, 1, 3, 4, 5};  // features 4 and 5 carry no position
    CHECK(std::vector<double>(y.data(), y.data() + 6) == expected);
}
