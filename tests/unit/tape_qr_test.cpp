// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <cstddef>
#include <vector>

#include <commutant/optimize/tape_qr.hpp>
#include <support/gradient_check.hpp>

namespace cm = commutant;
using cm::testing::gradient_deviation;
using cm::testing::gradient_tolerance;
using cm::testing::random_values;
using cm::testing::running;

TEST_CASE("qr: an orthogonal factor and a triangle with a positive diagonal give back the matrix",
          "[optimize]") {
    cm::random_source source(3);
    for (std::size_t const n : {1U, 2U, 5U, 24U}) {
        running const a = random_values(source, n, n);
        auto const [q, r] = cm::qr(a);
        CAPTURE(n);
        CHECK((q.values * r.values - a.values).cwiseAbs().maxCoeff() < 1e-14);
        CHECK((q.values.transpose() * q.values - running::storage::Identity(q.values.rows(), q.values.cols()))
                  .cwiseAbs()
                  .maxCoeff() < 1e-14);
        CHECK(r.values.diagonal().minCoeff() > 0);
        CHECK(r.values.isUpperTriangular(0));
    }
}

TEST_CASE("tape: the orthogonal factor has the gradient of central differences", "[optimize]") {
    cm::random_source source(4);
    for (std::size_t const n : {2U, 5U}) {
        running a = random_values(source, n, n);
        for (std::size_t i = 0; i < n; ++i) a(i, i) += i % 2 == 0 ? 2 : -2;  // of both signs
        CHECK(gradient_deviation({a}, [](auto const& p) { return orthogonal_factor(p[0]); }) <
              gradient_tolerance);
    }
}
