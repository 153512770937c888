// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <cmath>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <commutant/core/blocks.hpp>
#include <commutant/optimize/tape.hpp>
#include <support/gradient_check.hpp>

namespace cm = commutant;
using cm::slice;
using cm::testing::gradient_deviation;
using cm::testing::gradient_tolerance;
using cm::testing::random_values;
using cm::testing::running;
using cm::testing::training;

namespace {

std::vector<running> values_of(std::initializer_list<std::pair<std::size_t, std::size_t>> shapes,
                               int centre = 0) {
    cm::random_source source(5);
    std::vector<running> v;
    for (auto const& [rows, cols] : shapes) v.push_back(random_values(source, rows, cols, centre));
    return v;
}

training parameter_of(std::initializer_list<double> row) {
    running v(1, row.size());
    std::size_t j = 0;
    for (double const x : row) v(0, j++) = x;
    return training::parameter(v);
}

}  // namespace

TEST_CASE("tape: products have the gradients of central differences", "[optimize]") {
    CHECK(gradient_deviation(values_of({{3, 4}, {4, 5}}), [](auto const& p) { return product(p[0], p[1]); }) <
          gradient_tolerance);
    CHECK(gradient_deviation(values_of({{3, 4}, {5, 4}}), [](auto const& p) {
              return product_transposed(p[0], p[1]);
          }) < gradient_tolerance);
    CHECK(gradient_deviation(values_of({{3, 3}}), [](auto const& p) {
              return product(p[0], product_transposed(p[0], p[0]));
          }) < gradient_tolerance);
    CHECK(gradient_deviation(values_of({{3, 5}}), [](auto const& p) { return transpose(p[0]); }) <
          gradient_tolerance);
    auto square = values_of({{4, 4}});
    for (std::size_t i = 0; i < 4; ++i) square[0](i, i) += 2;
    CHECK(gradient_deviation(square, [](auto const& p) { return inverse(p[0]); }) < gradient_tolerance);
}

TEST_CASE("tape: words on every element have the gradients of central differences", "[optimize]") {
    auto const two = values_of({{3, 4}, {3, 4}});
    CHECK(gradient_deviation(two, [](auto const& p) { return p[0] + p[1]; }) < gradient_tolerance);
    CHECK(gradient_deviation(two, [](auto const& p) { return (p[0] + p[1]) + p[0]; }) < gradient_tolerance);
    CHECK(gradient_deviation(two, [](auto const& p) { return p[0] - p[1]; }) < gradient_tolerance);
    CHECK(gradient_deviation(two, [](auto const& p) {
              return elementwise_product(p[0], elementwise_product(p[1], p[0]));
          }) < gradient_tolerance);
    CHECK(gradient_deviation(two, [](auto const& p) {
              return scaled(elementwise_product(p[0], p[0]), 0.7);
          }) < gradient_tolerance);
    CHECK(gradient_deviation(two, [](auto const& p) {
              auto const y = shifted(p[0], 0.3);
              return elementwise_product(y, y);
          }) < gradient_tolerance);
    CHECK(gradient_deviation(two, [](auto const& p) { return silu(scaled(p[0], 6.0)); }) <
          gradient_tolerance);
    CHECK(gradient_deviation(two, [](auto const& p) { return elementwise_exp(p[0]); }) < gradient_tolerance);
    CHECK(gradient_deviation(two, [](auto const& p) { return elementwise_sin(scaled(p[0], 3.0)); }) <
          gradient_tolerance);
    CHECK(gradient_deviation(two, [](auto const& p) { return elementwise_cos(scaled(p[0], 3.0)); }) <
          gradient_tolerance);
    auto const positive = values_of({{3, 4}}, 2);
    CHECK(gradient_deviation(positive, [](auto const& p) { return reciprocal(p[0]); }) < gradient_tolerance);
    CHECK(gradient_deviation(positive, [](auto const& p) { return rsqrt(p[0]); }) < gradient_tolerance);
}

TEST_CASE("tape: words along rows and columns have the gradients of central differences", "[optimize]") {
    auto const row = values_of({{3, 4}, {1, 4}});
    CHECK(gradient_deviation(row, [](auto const& p) { return scale_columns(p[0], p[1]); }) <
          gradient_tolerance);
    CHECK(gradient_deviation(row, [](auto const& p) {
              auto const y = add_to_rows(p[0], p[1]);
              return elementwise_product(y, y);
          }) < gradient_tolerance);
    CHECK(gradient_deviation(values_of({{3, 4}, {3, 1}}),
                             [](auto const& p) { return scale_rows(p[0], p[1]); }) < gradient_tolerance);
    CHECK(gradient_deviation(row, [](auto const& p) { return mean_square_rows(p[0]); }) < gradient_tolerance);
    for (std::size_t const first : {0u, 2u})
        CHECK(gradient_deviation(values_of({{4, 6}}), [&](auto const& p) {
                  return causal_softmax(scaled(p[0], 5.0), first);
              }) < gradient_tolerance);
    for (std::size_t const block : {2u, 4u, 12u})
        for (bool const turned : {false, true}) {
            cm::block_hadamard_map const h(12, block);
            CHECK(gradient_deviation(values_of({{3, 12}}), [&](auto const& p) {
                      return apply(turned ? transpose(h) : h, p[0]);
                  }) < gradient_tolerance);
        }
}

TEST_CASE("tape: reading and writing parts has the gradients of central differences", "[optimize]") {
    CHECK(gradient_deviation(values_of({{3, 8}}), [](auto const& p) {
              return columns(p[0], {1, 3, 2});
          }) < gradient_tolerance);
    CHECK(gradient_deviation(values_of({{5, 3}}), [](auto const& p) { return row_block(p[0], 1, 3); }) <
          gradient_tolerance);
    CHECK(gradient_deviation(values_of({{2, 3}, {4, 3}}), [](auto const& p) {
              return append_rows(append_rows(row_block(p[0], 0, 0), p[0]), p[1]);
          }) < gradient_tolerance);
    std::vector<int> const ids{3, 0, 3, 1};
    CHECK(gradient_deviation(values_of({{4, 3}}), [&](auto const& p) {
              return gather_rows(p[0], std::span<int const>(ids));
          }) < gradient_tolerance);
    std::vector<std::size_t> const order{2, 0, 2, 1};
    CHECK(gradient_deviation(values_of({{2, 3}}), [&](auto const& p) {
              return gather_columns(p[0], std::span<std::size_t const>(order));
          }) < gradient_tolerance);
}

TEST_CASE("tape: later writes hide earlier ones, whatever has been read between them", "[optimize]") {
    // Over a base, overlapping, interleaved, rewritten, and read in between: through a piece, beside the pieces, across.
    CHECK(gradient_deviation(values_of({{3, 8}, {3, 3}, {3, 4}, {1, 8}}), [](auto const& p) {
              auto y = p[0];
              set_columns(y, {0, 3, 1}, p[1]);
              auto const beside = columns(y, {5, 2, 1});
              auto const exactly = columns(y, {0, 3, 1});
              auto const across = columns(y, {1, 4, 1});
              set_columns(y, {0, 4, 2}, elementwise_product(across, p[2]));
              auto const middle = y;
              set_columns(y, {1, 4, 2}, p[2]);
              set_row_block(y, 1, p[3]);
              set_columns(y, {2, 3, 1}, elementwise_product(exactly, p[1]));
              auto z = elementwise_product(y, scaled(middle, 1.5));
              set_columns(z, {6, 2, 1}, elementwise_product(beside, columns(z, {3, 2, 1})));
              return z;
          }) < gradient_tolerance);
    // Rows read across the edge of a piece.
    CHECK(gradient_deviation(values_of({{5, 2}, {2, 2}}), [](auto const& p) {
              auto y = p[0];
              set_row_block(y, 1, p[1]);
              auto const across = row_block(y, 2, 2);
              return elementwise_product(across, row_block(y, 0, 2));
          }) < gradient_tolerance);
    // The same over zeros, which have no gradient of their own.
    CHECK(gradient_deviation(values_of({{2, 4}, {2, 3}}), [](auto const& p) {
              std::decay_t<decltype(p[0])> y(2, 6);
              set_columns(y, {0, 4, 1}, p[0]);
              set_columns(y, {2, 3, 1}, p[1]);
              return y;
          }) < gradient_tolerance);
    // A strided read that shares some elements with a strided piece.
    CHECK(gradient_deviation(values_of({{2, 8}, {2, 4}}), [](auto const& p) {
              auto y = p[0];
              set_columns(y, {0, 4, 2}, p[1]);
              auto const odd = columns(y, {1, 3, 2});
              return elementwise_product(columns(y, {2, 3, 2}), odd);
          }) < gradient_tolerance);
    CHECK(gradient_deviation(values_of({{4, 6}, {1, 6}}), [](auto const& p) {
              auto y = p[0];
              cm::update_row_blocks(y, 1, [&](std::size_t i, auto const& row) {
                  return scaled(scale_columns(row, p[1]), static_cast<double>(i) + 0.5);
              });
              cm::update_column_blocks(
                  y, 2, [&](std::size_t, auto const& block) { return elementwise_product(block, block); });
              return y;
          }) < gradient_tolerance);
    CHECK(gradient_deviation(values_of({{2, 8}}), [](auto const& p) {
              return cm::mapped_pairs(p[0], cm::pairing::interleaved, 6, [](auto const& a, auto const& b) {
                  return std::pair(elementwise_product(a, b), a - b);
              });
          }) < gradient_tolerance);
}

TEST_CASE("tape: a write through one handle is not seen by another", "[optimize]") {
    training const a = training::parameter(values_of({{2, 4}})[0]);
    training b = a, zeros(2, 2);
    set_columns(b, {0, 2, 1}, zeros);
    CHECK(b.value()(0, 0) == 0);
    CHECK(a.value()(0, 0) != 0);
    CHECK(a.is_parameter());
    training c(2, 2);
    training const d = c;
    c(1, 1) = 5;
    CHECK(d(1, 1) == 0);
}

TEST_CASE("tape: repeated writes over a weight record one node, not a copy of the weight each",
          "[optimize]") {
    training w = training::parameter(running(64, 4)), gain = training::parameter(running(1, 4));
    training y = w;
    cm::update_row_blocks(y, 1, [&](std::size_t, training const& row) { return scale_columns(row, gain); });
    REQUIRE(y.node()->inputs().size() == 65);
    CHECK(y.node()->inputs()[0] == w.node());
}

TEST_CASE("tape: losses have the gradients of central differences", "[optimize]") {
    std::vector<int> const targets{2, cm::ignored_target, 0, 2};
    cm::random_source source(9);
    running const start = random_values(source, 4, 3);
    training const logits = training::parameter(start);
    training const loss = mean_cross_entropy(scaled(logits, 3.0), targets);

    double expected = 0;
    for (std::size_t i : {0u, 2u, 3u}) {
        double power = 0;
        for (std::size_t j = 0; j < 3; ++j) power += std::exp(3 * start(i, j));
        expected += std::log(power) - 3 * start(i, static_cast<std::size_t>(targets[i]));
    }
    CHECK(loss.value()(0, 0) == Approx(expected / 3).epsilon(1e-14));

    backward(loss, 0.5);
    running const gradient = logits.gradient();
    double const step = 1e-5;
    for (std::size_t k = 0; k < start.size(); ++k) {
        running above = start, below = start;
        above.data()[k] += step, below.data()[k] -= step;
        double const difference = (mean_cross_entropy(scaled(training(above), 3.0), targets)(0, 0) -
                                   mean_cross_entropy(scaled(training(below), 3.0), targets)(0, 0)) /
                                  (2 * step);
        CHECK(gradient.data()[k] == Approx(0.5 * difference).epsilon(1e-6).margin(1e-9));
    }

    training const x = parameter_of({1, -2, 4});
    backward(mean_square(x) + scaled(sum(x), 10.0));
    CHECK(x.gradient()(0, 1) == Approx(10 - 2 * 2.0 / 3));
    CHECK(mean_square(x).value()(0, 0) == Approx(7));
}

TEST_CASE("lp_norm: hand numbers, and the gradient of central differences for every p", "[optimize]") {
    CHECK(lp_norm(parameter_of({3, -4}), 2).value()(0, 0) == Approx(std::sqrt(12.5)));
    CHECK(lp_norm(parameter_of({1, -2, 0}), 4).value()(0, 0) == Approx(std::pow(17.0 / 3, 0.25)));
    CHECK(lp_norm(parameter_of({1, -2, 0}), 1).value()(0, 0) == Approx(1));
    // Powers of numbers like these would overflow and vanish.
    CHECK(lp_norm(parameter_of({1e200, -1e200}), 8).value()(0, 0) == Approx(1e200));
    CHECK(lp_norm(parameter_of({1e-200, 1e-200}), 8).value()(0, 0) == Approx(1e-200));

    training const zeros = parameter_of({0, 0});
    backward(lp_norm(zeros, 4));
    CHECK(zeros.gradient().values.isZero(0));

    for (int const p : {1, 2, 3, 4, 8}) {
        running const start = values_of({{3, 5}})[0];
        training const x = training::parameter(start);
        backward(lp_norm(x, p), 0.5);
        double const step = 1e-6;
        for (std::size_t k = 0; k < start.size(); ++k) {
            running above = start, below = start;
            above.data()[k] += step, below.data()[k] -= step;
            double const difference =
                (lp_norm(training(above), p)(0, 0) - lp_norm(training(below), p)(0, 0)) / (2 * step);
            CAPTURE(p, k);
            CHECK(x.gradient().data()[k] == Approx(0.5 * difference).epsilon(1e-6).margin(1e-9));
        }
    }
    CHECK_THROWS_WITH(lp_norm(parameter_of({1}), 0), Catch::Contains("p is 0"));
}

TEST_CASE("inner_product: sends its weights on as the gradient", "[optimize]") {
    training const x = parameter_of({3, -4});
    running weights(1, 2);
    weights(0, 0) = 2, weights(0, 1) = 5;
    training const y = inner_product(scaled(x, 10.0), weights);
    CHECK(y(0, 0) == -140);
    backward(y, 0.5);
    CHECK(x.gradient()(0, 0) == 10);
    CHECK(x.gradient()(0, 1) == 25);
}

TEST_CASE("tape: losses refuse targets that do not fit", "[optimize]") {
    training const logits(2, 3);
    CHECK_THROWS_WITH(mean_cross_entropy(logits, std::vector<int>{1}),
                      "mean_cross_entropy: 1 targets, expected one for each of the 2 rows of logits");
    CHECK_THROWS_WITH(mean_cross_entropy(logits, std::vector<int>{1, 3}),
                      "mean_cross_entropy: target 3 at row 1, expected 0 .. 2");
    CHECK_THROWS_WITH(mean_cross_entropy(logits, std::vector<int>{-1, -1}),
                      "mean_cross_entropy: no target to predict, expected at least one");
}

TEST_CASE("tape: gradients add up over windows until cleared", "[optimize]") {
    training x = parameter_of({3});
    for (int window = 0; window < 2; ++window) backward(elementwise_product(x, x), 0.5);
    CHECK(x.gradient()(0, 0) == 6);
    x.clear_gradient();
    CHECK(x.gradient()(0, 0) == 0);
}

TEST_CASE("tape: replicas share values and keep their own gradients", "[optimize]") {
    training x = parameter_of({3});
    training y = x.replica();
    backward(elementwise_product(y, y));
    CHECK(x.gradient()(0, 0) == 0);
    CHECK(y.gradient()(0, 0) == 6);
    x.values_in_place()(0, 0) = 5;
    CHECK(y.value()(0, 0) == 5);
    x.gradient_in_place() += y.gradient().values;
    CHECK(x.gradient()(0, 0) == 6);
}

TEST_CASE("tape: constants record nothing", "[optimize]") {
    training const a(values_of({{2, 2}})[0]);
    training const x = training::parameter(a.value());
    CHECK_FALSE(product(a, silu(a)).carries_gradient());
    CHECK_FALSE((a + a.detached()).carries_gradient());
    CHECK_FALSE(x.detached().carries_gradient());
    CHECK(product(a, x).node()->inputs()[0] == nullptr);
    training zeros(2, 4);
    set_columns(zeros, {0, 2, 1}, x);
    CHECK_FALSE(columns(zeros, {2, 2, 1}).carries_gradient());
    CHECK(columns(zeros, {0, 2, 1}).node() == x.node());
}

TEST_CASE("tape: backward frees the graph and refuses to walk it twice", "[optimize]") {
    training const x = parameter_of({2});
    training const y = elementwise_product(x, x);
    std::weak_ptr<cm::tape_node<double>> between;
    training loss;
    {
        training const inner = scaled(y, 3.0);
        between = inner.node();
        loss = sum(inner);
    }
    CHECK_FALSE(between.expired());
    backward(loss);
    CHECK(between.expired());
    CHECK(x.gradient()(0, 0) == 12);
    CHECK_THROWS_WITH(backward(loss), Catch::Contains("walked already, record it again"));
    CHECK_THROWS_WITH(backward(sum(y)), Catch::Contains("walked already, record it again"));
    CHECK(x.gradient()(0, 0) == 12);
}

TEST_CASE("tape: a parameter changed between reading and backward is an error", "[optimize]") {
    training x = parameter_of({2});
    training const loss = elementwise_product(x, x);
    x.values_in_place()(0, 0) = 3;
    CHECK_THROWS_WITH(backward(loss), Catch::Contains("a parameter was changed after it was read"));
}

TEST_CASE("tape: misuse is refused with what it was", "[optimize]") {
    training x = parameter_of({2, 3});
    training y = scaled(x, 2.0);
    CHECK_THROWS_WITH(backward(x), "backward: the loss is 1 x 2, expected 1 x 1");
    CHECK_THROWS_WITH(backward(training(1, 1)),
                      "backward: the loss depends on no parameter, expected at least one");
    CHECK_THROWS_WITH(y(0, 0) = 1, Catch::Contains("operator(): the 1 x 2 matrix carries a gradient"));
    CHECK_THROWS_WITH(y.gradient(), "tape_matrix::gradient: the 1 x 2 matrix is not a parameter");
}

TEST_CASE("tape: a chain of a million operations is freed without recursion", "[optimize]") {
    training const x = parameter_of({1});
    training y = x;
    for (int i = 0; i < 1'000'000; ++i) y = shifted(y, 1e-6);
    CHECK(y.value()(0, 0) == Approx(2));
    y = training();
    CHECK(x.node().use_count() == 1);
}
