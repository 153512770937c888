// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

#include <commutant/kernels/swiglu.hpp>

#include <algorithm>
#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include "support/guarded_buffer.hpp"

namespace {

using namespace commutant::kernels;
using commutant_test::against;
using commutant_test::guarded_buffer;

bool same(float a, float b) {
    return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b) ||
           (std::isnan(a) && std::isnan(b));
}

}  // namespace

TEST_CASE("swiglu: every body rounds as the scalar body does", "[kernels][swiglu]") {
    float const special[] = {0.0F,
                             -0.0F,
                             1e30F,
                             -1e30F,
                             88.0F,
                             -88.5F,
                             87.5F,
                             1e-40F,
                             std::numeric_limits<float>::infinity(),
                             -std::numeric_limits<float>::infinity(),
                             std::numeric_limits<float>::quiet_NaN()};
    for (auto const& body : detail::swiglu_bodies) {
        if (!is_supported(body.level)) continue;
        INFO(to_string(body.level));
        for (std::size_t n = 0; n < 140; ++n) {
            for (against const side : {against::end, against::begin}) {
                guarded_buffer<float> gate(n, side), up(n, side), y(n, side);
                std::mt19937 random(static_cast<std::uint32_t>(n));
                std::normal_distribution<float> normal(0.0F, 20.0F);
                for (std::size_t i = 0; i < n; ++i) {
                    gate[i] = random() % 4 == 0 ? special[random() % std::size(special)] : normal(random);
                    up[i] = normal(random);
                }
                std::vector<float> expected(n);
                detail::swiglu_scalar(gate.data(), up.data(), expected.data(), n);
                body.function(gate.data(), up.data(), y.data(), n);
                REQUIRE(std::equal(expected.begin(), expected.end(), y.elements().begin(), same));
                std::copy_n(gate.data(), n, y.data());
                body.function(y.data(), up.data(), y.data(), n);
                REQUIRE(std::equal(expected.begin(), expected.end(), y.elements().begin(), same));
                body.function(gate.data(), up.data(), up.data(), n);
                REQUIRE(std::equal(expected.begin(), expected.end(), up.elements().begin(), same));
            }
        }
    }
}

TEST_CASE("swiglu: the product in double precision", "[kernels][swiglu]") {
    std::vector<float> gate, up, y;
    for (float x = -86.0F; x < 88.0F; x += 0.00713F) gate.push_back(x);
    up.assign(gate.size(), 1.5F);
    y.resize(gate.size());
    swiglu(gate, up, y);
    double worst = 0.0;
    for (std::size_t i = 0; i < gate.size(); ++i) {
        double const g = gate[i];
        double const exact = g / (1.0 + std::exp(-g)) * 1.5;
        worst = std::max(worst, std::abs(y[i] - exact) / std::abs(exact));
    }
    // exp 2 ulp, its sum with one, a quotient and a product half an ulp each; an ulp is at most 2^-23.
    REQUIRE(worst < 3.5 * std::exp2(-23.0));

    std::vector<float> const far{-100.0F, -1e30F, 100.0F, 1e30F};
    std::vector<float> const one(4, 1.0F);
    std::vector<float> z(4);
    swiglu(far, one, z);
    REQUIRE(std::abs(z[0]) < 1e-36F);
    REQUIRE(z[2] == 100.0F);
    REQUIRE(z[3] == 1e30F);
}

TEST_CASE("one_plus_exp: exp within two ulp", "[kernels][swiglu]") {
    double worst = 0.0;
    for (float x = 17.0F; x < 88.0F; x += 0.000913F) {  // where the one is not seen
        double const exact = std::exp(static_cast<double>(x));
        float const nearest = static_cast<float>(exact);
        double const ulp = std::nextafter(nearest, std::numeric_limits<float>::infinity()) - nearest;
        worst = std::max(worst, std::abs(detail::one_plus_exp(x) - 1.0 - exact) / ulp);
    }
    REQUIRE(worst < 2.0);
}
