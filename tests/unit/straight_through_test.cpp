// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

#include "commutant/quant/straight_through.hpp"

#include <array>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include "commutant/quant/fake_quantize.hpp"

namespace cm = commutant;

TEMPLATE_TEST_CASE("fake_quantize_backward: hand numbers", "[quant]", float, double) {
    // scale 0.5, zero_point -3: inside are u = x / 0.5 in [-5, 10]
    const cm::grid q{0.5F, -3, 4, false};
    const std::vector<TestType> x{TestType(0.6), TestType(-4), TestType(6), TestType(1)};
    const std::vector<TestType> g{1, 2, 4, 8};
    std::vector<TestType> dx(4, TestType(99));
    const cm::grid_gradient d = cm::fake_quantize_backward(
        std::span<const TestType>(x), std::span<const TestType>(g), std::span<TestType>(dx), q);
    CHECK(dx == std::vector<TestType>{1, 0, 0, 8});
    // 1 * (1 - 1.2), 2 * (-5), 4 * 10, 8 * 0
    CHECK(d.scale == Approx(-0.2 - 10.0 + 40.0).epsilon(1e-6));
    // -0.5 * (2 + 4)
    CHECK(d.zero_point == -3.0);
}

TEST_CASE("fake_quantize_backward: clipped means that the rounded code lies outside", "[quant]") {
    const cm::grid q{1.0F, 0, 4, true};
    const float above = std::nextafter(7.5F, 100.0F);
    const float below = std::nextafter(-8.5F, -100.0F);
    // 7.4 rounds to 7; 7.5 is a tie that rounds to 8, outside; -8.5 is a tie that rounds to -8, inside
    const std::vector<float> x{
        7.4F, 7.5F, above, -8.5F, below, 1e30F, -std::numeric_limits<float>::infinity()};
    const std::vector<float> g(x.size(), 1.0F);
    std::vector<float> dx(x.size());
    cm::fake_quantize_backward(std::span<const float>(x), std::span<const float>(g), std::span<float>(dx), q);
    CHECK(dx == std::vector<float>{1, 0, 0, 1, 0, 0, 0});
}

TEST_CASE("fake_quantize_backward: dscale and dzero_point of each element are those of the definition",
          "[quant]") {
    const std::uint64_t seed = 21;
    std::mt19937_64 engine(seed);
    std::normal_distribution<double> normal(0.0, 3.0);
    const cm::grid q{0.4F, 2, 4, false};
    // 1 and 2 blocks, and lengths around a lane
    for (const std::size_t n : {1U, 31U, 32U, 33U, 511U, 512U, 513U, 1100U}) {
        std::vector<double> x(n);
        std::vector<double> g(n);
        std::vector<double> dx(n);
        double scale = 0.0;
        double zero_point = 0.0;
        std::vector<double> expected(n);
        for (std::size_t i = 0; i < n; ++i) {
            x[i] = normal(engine);
            g[i] = normal(engine);
            const double s = static_cast<double>(q.scale);
            const double u = x[i] / s + q.zero_point;
            const double code = std::nearbyint(x[i] / s) + q.zero_point;
            const bool clipped = code < -8 || code > 7;
            const double edge = code < -8 ? -8.0 : 7.0;
            scale += clipped ? g[i] * (edge - q.zero_point) : g[i] * (code - u);
            zero_point += clipped ? -g[i] * s : 0.0;
            expected[i] = clipped ? 0.0 : g[i];
        }
        const cm::grid_gradient d = cm::fake_quantize_backward(
            std::span<const double>(x), std::span<const double>(g), std::span<double>(dx), q);
        CAPTURE(seed, n);
        CHECK(dx == expected);
        CHECK(d.scale == Approx(scale).epsilon(1e-12).margin(1e-10));
        CHECK(d.zero_point == Approx(zero_point).epsilon(1e-12).margin(1e-10));
    }
}

TEST_CASE("fake_quantize_backward: dscale is the slope of fake quantisation where no code changes",
          "[quant]") {
    const double x = GENERATE(0.37, -0.81, 2.9, 9.0, -9.0);
    const cm::grid q{0.5F, 1, 4, false};
    // The straight-through estimate adds d(code)/d(scale) = -u / scale inside; clipped codes are constant.
    const double s = 0.5;
    const float step = 1.0F / 4096.0F;
    const cm::grid moved{q.scale + step, 1, 4, false};
    const double slope = (cm::fake_quantize(x, moved) - cm::fake_quantize(x, q)) / static_cast<double>(step);
    const bool clipped = std::abs(x) > 8.0;
    const std::vector<double> in{x};
    const std::vector<double> one{1.0};
    std::vector<double> dx(1);
    const cm::grid_gradient d = cm::fake_quantize_backward(
        std::span<const double>(in), std::span<const double>(one), std::span<double>(dx), q);
    CHECK(d.scale == Approx(slope - (clipped ? 0.0 : x / s)).epsilon(1e-9));
}

TEST_CASE("fake_quantize_backward: dx may be g, and 16 bits pass g on", "[quant]") {
    std::vector<float> x(50, 1.0F);
    x[3] = 100.0F;
    std::vector<float> g(50, 2.0F);
    cm::fake_quantize_backward(std::span<const float>(x), std::span<const float>(g), std::span<float>(g),
                               cm::grid{1.0F, 0, 4, true});
    CHECK(g[3] == 0.0F);
    CHECK(g[4] == 2.0F);
    std::vector<float> dx(50);
    const cm::grid_gradient d = cm::fake_quantize_backward(
        std::span<const float>(x), std::span<const float>(g), std::span<float>(dx), cm::grid{});
    CHECK(dx == g);
    CHECK(d.scale == 0.0);
    CHECK(d.zero_point == 0.0);
}

TEST_CASE("fake_quantize_slices_backward: one gradient per slice", "[quant]") {
    const std::vector<float> x{0.6F, 20.0F, 0.6F, 20.0F};
    const std::vector<float> g{1.0F, 1.0F, 1.0F, 1.0F};
    std::vector<float> dx(4);
    const std::array grids{cm::grid{1.0F, 0, 4, true}, cm::grid{4.0F, 0, 4, true}};
    std::array<cm::grid_gradient, 2> d{};
    cm::fake_quantize_slices_backward(std::span<const float>(x), std::span<const float>(g),
                                      std::span<float>(dx), 2, std::span<const cm::grid>(grids),
                                      std::span<cm::grid_gradient>(d));
    CHECK(dx == std::vector<float>{1, 0, 1, 1});
    CHECK(d[0].scale == Approx(0.4 + 7.0));
    CHECK(d[0].zero_point == -1.0);
    CHECK(d[1].scale == Approx(-0.15 + 0.0));
    CHECK(d[1].zero_point == 0.0);
}

TEST_CASE(
    "fake_quantize_per_token_backward: a min-max grid passes every gradient but where its zero point clips",
    "[quant]") {
    // Both rows: min / scale is next to an integer, so their zero points leave the ends inside.
    const std::vector<float> x{-0.6F, 3.0F, 14.4F, -2.5F, 0.7F, 5.0F};
    const std::vector<float> g{1, 2, 3, 4, 5, 6};
    std::vector<float> dx(6);
    cm::fake_quantize_per_token_backward(std::span<const float>(x), std::span<const float>(g),
                                         std::span<float>(dx), 3, 4, false);
    CHECK(dx == g);
    // Steps of 1: -1.5 rounds the zero point to lo + 2, and 13.5 to 14, one above hi - zero_point.
    const std::vector<float> edge{-1.5F, 3.0F, 13.5F};
    std::vector<float> edge_dx(3);
    cm::fake_quantize_per_token_backward(std::span<const float>(edge), std::span<const float>(g).first(3),
                                         std::span<float>(edge_dx), 3, 4, false);
    CHECK(edge_dx == std::vector<float>{1, 2, 0});
    cm::fake_quantize_per_token_backward(std::span<const float>(edge), std::span<const float>(g).first(3),
                                         std::span<float>(edge_dx), 3, 16, false);
    CHECK(edge_dx == std::vector<float>{1, 2, 3});
}
