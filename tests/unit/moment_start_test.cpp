// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <limits>
#include <vector>

#include <commutant/recipes/moment_start.hpp>
#include <commutant/recipes/trained_merge.hpp>
#include <support/training_models.hpp>

namespace cm = commutant;
using namespace cm::testing;

namespace {

Eigen::MatrixXd random_moment(Eigen::Index n, std::uint64_t seed) {
    cm::random_source source(seed);
    auto const x = random_values(source, static_cast<std::size_t>(3 * n), static_cast<std::size_t>(n));
    Eigen::MatrixXd wide = x.values;
    wide.col(0) *= 9;  // an outlier
    return wide.transpose() * wide;
}

}  // namespace

TEST_CASE(
    "balancing_transform: every feature of the activation gets the same mean square, and the weight its "
    "share",
    "[recipes]") {
    cm::random_source random(3);
    Eigen::MatrixXd const hadamard = cm::randomised_hadamard<running>({1, 4}, 1, random).q.values;
    Eigen::MatrixXd const h = random_moment(4, 1), m = random_moment(4, 2);
    Eigen::MatrixXd const t = cm::balancing_transform(h, m, hadamard, 0);
    Eigen::MatrixXd const inverse = t.inverse();
    Eigen::VectorXd const of_x = (t.transpose() * m * t).diagonal();
    Eigen::VectorXd const of_w = (inverse * h * inverse.transpose()).diagonal();
    for (Eigen::Index j = 0; j < 4; ++j) {
        CHECK(of_x(j) == Approx(m.trace() / 4));
        CHECK(of_w(j) == Approx(of_w.mean()));
    }
    // Nothing that keeps the product of both spreads can make the sum of errors smaller than this.
    CHECK(of_x.sum() * of_w.sum() < m.trace() * h.trace());
    CHECK_THROWS_WITH(cm::balancing_transform(h, Eigen::MatrixXd::Zero(4, 4), hadamard, 0.01),
                      Catch::Contains("has mean 0"));
}

TEST_CASE("balancing_scales: the transform of diagonal moments", "[recipes]") {
    Eigen::ArrayXd const h = random_moment(5, 4).diagonal().array(),
                         m = random_moment(5, 5).diagonal().array();
    Eigen::ArrayXd const s = cm::balancing_scales(h, m, 0.1);
    Eigen::MatrixXd const t = cm::balancing_transform(h.matrix().asDiagonal(), m.matrix().asDiagonal(),
                                                      Eigen::MatrixXd::Identity(5, 5), 0.1);
    // The eigenvectors come in the order of their eigenvalues: each column has one entry, that of its feature.
    CHECK((t.array().abs().rowwise().sum() - s).abs().maxCoeff() < 1e-12 * s.maxCoeff());
    CHECK_THROWS_WITH(cm::balancing_scales(h, m * std::numeric_limits<double>::infinity(), 0.1),
                      Catch::Contains("expected a positive one"));
}

TEST_CASE("moments: those of what o_proj and down_proj read, without BOS, by kv head", "[recipes][gqa]") {
    auto const c = small_config();
    auto const m = small_decoder(c);
    auto const found = cm::activation_moments(m, small_windows);
    std::vector<running> mixed, inner;
    auto keep = [&](cm::location where, std::size_t layer, running x) {
        if (layer == 1 && where == cm::location::attention_output) mixed.push_back(x);
        if (layer == 1 && where == cm::location::down_input) inner.push_back(x);
        return x;
    };
    for (auto const& window : small_windows)
        static_cast<void>(cm::windows_runner(m, small_windows).logits(window, keep));
    double of_head = 0, of_inner = 0;
    for (std::size_t w = 0; w < small_windows.size(); ++w)
        for (std::size_t i = 1; i < mixed[w].rows(); ++i) {
            for (std::size_t head : {2, 3})  // those of kv head 1
                of_head += mixed[w](i, head * 6 + 4) * mixed[w](i, head * 6 + 5);
            of_inner += inner[w](i, 7) * inner[w](i, 7);
        }
    CHECK(found[1].mixed_values[1](4, 5) == Approx(of_head));
    CHECK(found[1].inner(7) == Approx(of_inner));
    CHECK_THROWS_WITH(cm::activation_moments(m, {{1}}), Catch::Contains("no token behind BOS"));
}

TEST_CASE("start_from_moments: T_v and T_u move, the function stays, the input of o_proj is balanced",
          "[recipes][merge]") {
    auto const c = small_config();
    auto const m = small_decoder(c);
    auto const moments = cm::activation_moments(m, small_windows);
    auto const start = small_parameters(c, {.chosen = {.value_output = true, .up_down = true}});
    auto p = start;
    cm::start_from_moments(m, moments, {.value_output = true, .up_down = true, .damping = 0}, p);
    CHECK(p.layers[0].value_output[0].matrix.values != start.layers[0].value_output[0].matrix.values);
    CHECK(p.layers[0].log_up.values != start.layers[0].log_up.values);
    auto merged = m;
    cm::fold_parameters(p, cm::eps_rule::exact, merged);
    running const before = cm::runner<running>(m).logits(small_tokens),
                  after = cm::runner<running>(merged).logits(small_tokens);
    CHECK((after.values - before.values).cwiseAbs().maxCoeff() < 1e-10 * before.values.cwiseAbs().maxCoeff());
    auto const balanced = cm::activation_moments(merged, small_windows);
    // head_dim is 6: blocks of two, within which both features get the same.
    Eigen::VectorXd const squares = balanced[1].mixed_values[0].diagonal();
    for (Eigen::Index j = 0; j < 6; j += 2) CHECK(squares(j) == Approx(squares(j + 1)));
    CHECK(balanced[1].inner.sum() == Approx(moments[1].inner.sum()));

    auto only_up = start;
    cm::start_from_moments(m, moments, {.up_down = true}, only_up);
    CHECK(only_up.layers[0].value_output[0].matrix.values == start.layers[0].value_output[0].matrix.values);
    auto rotated =
        small_parameters(c, {.chosen = {.value_output = true}, .values = cm::value_form::orthogonal});
    CHECK_THROWS_WITH(cm::start_from_moments(m, moments, {.value_output = true}, rotated),
                      Catch::Contains("T_v is not dense"));
}
