// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

#include "commutant/quant/lp_error.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <vector>

namespace cm = commutant;

TEST_CASE("lp_error: hand numbers", "[quant]") {
    const cm::grid g{0.5F, 0, 4, true};
    const std::vector<double> x{0.25, 0.6, -0.5, 5.5};  // errors 0.25 (tie to 0), 0.1, 0, 2 (clipped at 3.5)
    CHECK(cm::lp_error(std::span<const double>(x), g, 1) == Approx(0.25 + 0.1 + 2.0));
    CHECK(cm::lp_error(std::span<const double>(x), g, 2) == Approx(0.0625 + 0.01 + 4.0));
    CHECK(cm::lp_error(std::span<const double>(x), g, 3) == Approx(0.015625 + 0.001 + 8.0));
    CHECK(cm::lp_error(std::span<const double>(x), cm::grid{}, 3) == 0.0);
    CHECK(cm::lp_error(std::span<const double>(), g, 3) == 0.0);
}

TEMPLATE_TEST_CASE("lp_error: equals the sum over fake_quantize for every p and length", "[quant]", float,
                   double) {
    const std::uint64_t seed = 31;
    std::mt19937_64 engine(seed);
    std::normal_distribution<double> normal;
    const cm::grid g{0.2F, 3, 4, false};
    for (const std::size_t n : {1U, 2U, 31U, 32U, 33U, 64U, 1023U, 1024U, 1025U, 2500U}) {
        std::vector<TestType> x(n);
        for (TestType& v : x) v = static_cast<TestType>(normal(engine));
        for (int p = 1; p <= 8; ++p) {
            // Rounding the quotient u = x / scale to T moves the error of one element by eps |u| steps, and its
            // power by the derivative times that; 32 sums and p products in T add a relative part.
            const double eps = std::numeric_limits<TestType>::epsilon();
            double sum = 0.0;
            double moved = 0.0;
            for (const TestType v : x) {
                const double u = static_cast<double>(v) / static_cast<double>(g.scale);
                const double steps = std::abs(u - (cm::quantize(v, g) - g.zero_point));
                sum += std::pow(steps, p);
                moved += p * std::pow(steps + eps * std::abs(u), p - 1) * eps * std::abs(u);
            }
            const double unit = std::pow(static_cast<double>(g.scale), p);
            const double tolerance = unit * (moved + (32 + p) * eps * sum);
            CAPTURE(seed, n, p);
            CHECK(std::abs(cm::lp_error(std::span<const TestType>(x), g, p) - unit * sum) <= tolerance);
        }
    }
}
