// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

#include "commutant/quant/value_range.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace cm = commutant;
using Catch::Matchers::Contains;

TEMPLATE_TEST_CASE("range_of: agrees with a plain scan at every length", "[quant]", float, double) {
    const std::uint64_t seed = 11;
    std::mt19937_64 engine(seed);
    std::normal_distribution<double> normal(0.0, 100.0);
    for (std::size_t n = 1; n <= 70; ++n) {
        CAPTURE(seed, n);
        std::vector<TestType> x(n);
        double low = std::numeric_limits<double>::infinity();
        double high = -low;
        for (TestType& v : x) {
            v = static_cast<TestType>(normal(engine));
            low = std::fmin(low, static_cast<double>(v));
            high = std::fmax(high, static_cast<double>(v));
        }
        const cm::value_range r = cm::range_of(std::span<const TestType>(x));
        CHECK(r.min == low);
        CHECK(r.max == high);
    }
}

TEMPLATE_TEST_CASE("range_of: one sign, zeros, denormals and the largest numbers", "[quant]", float, double) {
    using limits = std::numeric_limits<TestType>;
    const auto range = [](std::vector<TestType> x) { return cm::range_of(std::span<const TestType>(x)); };
    CHECK(range({-3, -5, -4}) == cm::value_range{-5, -3});
    CHECK(range({3, 5, 4}) == cm::value_range{3, 5});
    CHECK(range({TestType(-0.0), TestType(0.0)}) == cm::value_range{0, 0});
    CHECK(range({limits::denorm_min(), -limits::denorm_min()}) ==
          cm::value_range{-static_cast<double>(limits::denorm_min()),
                          static_cast<double>(limits::denorm_min())});
    CHECK(range({limits::max(), limits::lowest()}) ==
          cm::value_range{static_cast<double>(limits::lowest()), static_cast<double>(limits::max())});
    CHECK(range({}).is_empty());
}

TEMPLATE_TEST_CASE("range_of: NaN and infinity are refused with their place", "[quant]", float, double) {
    using limits = std::numeric_limits<TestType>;
    for (std::size_t place = 0; place < 40; ++place) {
        std::vector<TestType> x(40, TestType(1));
        const std::span<const TestType> view(x);
        const auto element = "element " + std::to_string(place) + " is ";
        x[place] = limits::quiet_NaN();
        CHECK_THROWS_WITH(cm::range_of(view), Contains(element + "nan, expected finite"));
        x[place] = -limits::quiet_NaN();
        CHECK_THROWS_WITH(cm::range_of(view), Contains(element + "nan"));
        x[place] = limits::infinity();
        CHECK_THROWS_WITH(cm::range_of(view), Contains(element + "inf"));
        x[place] = -limits::infinity();
        CHECK_THROWS_WITH(cm::range_of(view), Contains(element + "-inf"));
    }
}

TEST_CASE("min_max_grid: hand numbers", "[quant]") {
    // symmetric: -4 = -8 * 0.5 asks for 0.5, 3 for 3 / 7
    CHECK(cm::min_max_grid({-4, 3}, 4, true) == cm::grid{0.5F, 0, 4, true});
    CHECK(cm::min_max_grid({-1, 7}, 4, true) == cm::grid{1.0F, 0, 4, true});
    // asymmetric: 15 steps over 7.5; -2.5 is 5 steps below zero
    CHECK(cm::min_max_grid({-2.5, 5}, 4, false) == cm::grid{0.5F, -3, 4, false});
    // zero is forced into range
    CHECK(cm::min_max_grid({3, 7.5}, 4, false) == cm::grid{0.5F, -8, 4, false});
    CHECK(cm::min_max_grid({-7.5, -3}, 4, false) == cm::grid{0.5F, 7, 4, false});
    // the zero point rounds half to even: 0.5 is one half step, 1.5 are one and a half
    CHECK(cm::min_max_grid({-0.5, 14.5}, 4, false) == cm::grid{1.0F, -8, 4, false});
    CHECK(cm::min_max_grid({-1.5, 13.5}, 4, false) == cm::grid{1.0F, -6, 4, false});
    CHECK(cm::min_max_grid({-1, 1}, 16, false).is_float());
}

TEST_CASE("min_max_grid: a range of zeros, or none, gives scale 1", "[quant]") {
    const bool symmetric = GENERATE(true, false);
    for (const cm::value_range r : {cm::value_range{0, 0}, cm::value_range{}, cm::value_range{-0.0, 0.0}}) {
        const cm::grid g = cm::min_max_grid(r, 4, symmetric);
        CHECK(g == cm::grid{1.0F, 0, 4, symmetric});
        CHECK(cm::fake_quantize(0.0F, g) == 0.0F);
    }
}

TEST_CASE("min_max_grid: scales below the normal numbers are lifted to the smallest", "[quant]") {
    const bool symmetric = GENERATE(true, false);
    const double tiny = std::numeric_limits<float>::denorm_min();
    const cm::grid g = cm::min_max_grid({-tiny, tiny}, 4, symmetric);
    CHECK(g.scale == std::numeric_limits<float>::min());
    CHECK_NOTHROW(cm::validate(g));
    CHECK(cm::fake_quantize(static_cast<float>(tiny), g) == 0.0F);
}

TEST_CASE("min_max_grid: nothing inside is further than half a step from its image, and zero is exact",
          "[quant]") {
    const std::uint64_t seed = 5;
    std::mt19937_64 engine(seed);
    std::uniform_real_distribution<double> uniform(-1.0, 1.0);
    for (int trial = 0; trial < 300; ++trial) {
        double low = std::ldexp(uniform(engine), trial % 40 - 20);
        double high = std::ldexp(uniform(engine), trial % 37 - 18);
        if (low > high) std::swap(low, high);
        const int bits = 2 + trial % 7;
        for (const bool symmetric : {true, false}) {
            CAPTURE(seed, low, high, bits, symmetric);
            const cm::grid g = cm::min_max_grid({low, high}, bits, symmetric);
            CHECK_NOTHROW(cm::validate(g));
            CHECK(cm::fake_quantize(0.0F, g) == 0.0F);
            CHECK(cm::quantize(0.0F, g) == g.zero_point);
            // Rounding the zero point moves the ends of an asymmetric grid by up to half a step, no more.
            const double half = 0.5 * g.scale * (1.0 + 1e-6);
            for (int i = 0; i <= 50; ++i) {
                const double x = low + (high - low) * i / 50;
                CHECK(std::abs(x - cm::fake_quantize(x, g)) <= half);
            }
        }
    }
}

TEST_CASE("min_max_grid: a symmetric grid finds itself again", "[quant]") {
    const cm::grid g{0.25F, 0, 4, true};
    CHECK(cm::min_max_grid({g.lo() * 0.25, 0.5}, 4, true) == g);
    CHECK(cm::min_max_grid({-1.0, g.hi() * 0.25}, 4, true) == g);
}

TEST_CASE("min_max_grid: what has no grid is refused", "[quant]") {
    const double infinity = std::numeric_limits<double>::infinity();
    const double nan = std::numeric_limits<double>::quiet_NaN();
    CHECK_THROWS_WITH(cm::min_max_grid({-1, infinity}, 4, true), Contains("expected finite ends"));
    CHECK_THROWS_WITH(cm::min_max_grid({nan, 1}, 4, true), Contains("expected finite ends"));
    CHECK_THROWS_WITH(cm::min_max_grid({0, nan}, 4, false), Contains("expected finite ends"));
    CHECK_THROWS_WITH(cm::min_max_grid({-1e300, 1}, 4, true), Contains("a scale that float32 can hold"));
    CHECK_THROWS_WITH(cm::min_max_grid({-1, 1}, 12, true), Contains("num_bits is 12, expected 2 to 8"));
    // the difference of the ends overflows, the scale does not
    const double huge = std::numeric_limits<double>::max();
    CHECK_THROWS_WITH(cm::min_max_grid({-huge, huge}, 4, false), Contains("a scale that float32 can hold"));
    const double large = std::numeric_limits<float>::max();
    CHECK_NOTHROW(cm::min_max_grid({-large, large}, 4, false));
}
