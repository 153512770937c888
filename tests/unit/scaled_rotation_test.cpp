// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numbers>
#include <span>
#include <stdexcept>
#include <vector>

#include <commutant/readings/eigen_matrix.hpp>
#include <commutant/transforms/scaled_rotation.hpp>

namespace cm = commutant;
using M = cm::eigen_matrix<double>;

namespace {

auto from_polar(std::vector<double> const& scale, std::vector<double> const& angle, cm::pairing p,
                std::size_t dim) {
    return cm::scaled_rotation::from_polar<M>(std::span<double const>(scale), std::span<double const>(angle),
                                              p, dim);
}

M row_of(std::vector<double> const& x) {
    M r(1, x.size());
    for (std::size_t j = 0; j < x.size(); ++j) r(0, j) = x[j];
    return r;
}

void require_row(M const& found, std::vector<double> const& expected) {
    REQUIRE(found.rows() == 1);
    REQUIRE(found.cols() == expected.size());
    for (std::size_t j = 0; j < expected.size(); ++j) {
        CAPTURE(j);
        CHECK(std::abs(found(0, j) - expected[j]) <= 1e-15);
    }
}

constexpr double quarter_turn = std::numbers::pi / 2;

}  // namespace

TEST_CASE("scaled_rotation: pairs turn by their angle and grow by their scale, the rest stays",
          "[transforms]") {
    // Row vectors: a quarter turn takes (1, 0) to (0, 1) and (0, 1) to (-1, 0).
    M const x = row_of({1, 2, 3, 4, 5});
    SECTION("half_split: pairs (x0, x2) and (x1, x3)") {
        auto const t = from_polar({2, 3}, {quarter_turn, 0}, cm::pairing::half_split, 5);
        require_row(apply(t, x), {-6, 6, 2, 12, 5});
        CHECK(dim(t) == 5);
        CHECK(t.rotary_dim() == 4);
    }
    SECTION("interleaved: pairs (x0, x1) and (x2, x3)") {
        auto const t = from_polar({2, 3}, {quarter_turn, 0}, cm::pairing::interleaved, 5);
        require_row(apply(t, x), {-4, 2, 9, 12, 5});
    }
    SECTION("a negative scale is a half turn more") {
        require_row(apply(from_polar({-1, 1}, {0, 0}, cm::pairing::interleaved, 5), x), {-1, -2, 3, 4, 5});
    }
    SECTION("the partner of the queries turns the same way and shrinks") {
        auto const t = from_polar({2, 4}, {quarter_turn, 0}, cm::pairing::interleaved, 5);
        require_row(apply(inverse_transpose(t), x), {-1, 0.5, 0.75, 1, 5});
    }
}

TEST_CASE("scaled_rotation: scales that are zero, or numbers that are not finite, are refused",
          "[transforms]") {
    double const inf = std::numeric_limits<double>::infinity(),
                 nan = std::numeric_limits<double>::quiet_NaN();
    auto const build = [](std::vector<double> const& scale, std::vector<double> const& angle) {
        return from_polar(scale, angle, cm::pairing::half_split, 4);
    };
    CHECK_NOTHROW(build({1, -1e-300}, {0, 100}));
    CHECK_THROWS_WITH(build({1, 0}, {0, 0}), Catch::StartsWith("scaled_rotation: ") &&
                                                 Catch::Contains("zero") && Catch::Contains("expected"));
    CHECK_THROWS_AS(build({0, 1}, {0, 0}), std::domain_error);
    CHECK_THROWS_AS(build({inf, 1}, {0, 0}), std::domain_error);
    CHECK_THROWS_AS(build({1, nan}, {0, 0}), std::domain_error);
    CHECK_THROWS_AS(build({1, 1}, {nan, 0}), std::domain_error);
    CHECK_THROWS_AS(build({1, 1}, {0, inf}), std::domain_error);
}

TEST_CASE("scaled_rotation: parameters that do not fit the head are refused", "[transforms]") {
    CHECK_THROWS_AS(from_polar({1}, {0, 0}, cm::pairing::half_split, 4), std::invalid_argument);
    CHECK_THROWS_AS(from_polar({1, 1}, {0, 0}, cm::pairing::half_split, 3), std::invalid_argument);
    CHECK_THROWS_WITH(apply(from_polar({1}, {0}, cm::pairing::half_split, 4), row_of({1, 2, 3})),
                      Catch::Contains("as many columns as the transform has features"));
}
