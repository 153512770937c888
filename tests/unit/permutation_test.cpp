// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <cmath>
#include <cstddef>
#include <stdexcept>
#include <vector>

#include <commutant/readings/eigen_matrix.hpp>
#include <commutant/transforms/permutation.hpp>

namespace cm = commutant;
using order = std::vector<std::size_t>;

TEST_CASE("permutation: feature order[j] becomes feature j, and its inverse brings it back", "[transforms]") {
    cm::permutation_map const t(order{2, 0, 3, 1});
    CHECK(inverse(t).order() == order{1, 3, 0, 2});
    CHECK(transpose(t).order() == inverse(t).order());
    CHECK(inverse_transpose(t).order() == t.order());
    CHECK(dim(t) == 4);
    cm::eigen_matrix<float> x(1, 4);
    for (std::size_t j = 0; j < 4; ++j) x(0, j) = static_cast<float>(10 * j);
    auto const y = apply(t, x);
    CHECK(y(0, 0) == 20);
    CHECK(y(0, 1) == 0);
    CHECK(y(0, 2) == 30);
    CHECK(y(0, 3) == 10);
}

TEST_CASE("permutation: an order that leaves a feature out is refused", "[transforms]") {
    CHECK_THROWS_AS(cm::permutation_map(order{0, 0}), std::invalid_argument);
    CHECK_THROWS_AS(cm::permutation_map(order{1, 2}), std::invalid_argument);
    CHECK_THROWS_WITH(cm::permutation_map(order{0, 2, 2}),
                      Catch::StartsWith("permutation: ") && Catch::Contains("once"));
    CHECK_NOTHROW(cm::permutation_map(order{}));
    CHECK_NOTHROW(cm::permutation_map(order{0}));
}

TEST_CASE("permutation: every order of three features is drawn about equally often", "[transforms]") {
    cm::random_source random(4);
    cm::parameter_source<double> source(random);
    constexpr int n_draws = 6000;
    int seen[3][3] = {};
    for (int k = 0; k < n_draws; ++k) {
        auto const t = cm::permutation::make<cm::eigen_matrix<double>>(source, {3});
        ++seen[t.order()[0]][t.order()[1]];
    }
    for (std::size_t a = 0; a < 3; ++a)
        for (std::size_t b = 0; b < 3; ++b) {
            CAPTURE(a, b, seen[a][b]);
            // 1000 expected, standard deviation 29; five of them.
            if (a == b)
                CHECK(seen[a][b] == 0);
            else
                CHECK(std::abs(seen[a][b] - n_draws / 6) < 145);
        }
}
