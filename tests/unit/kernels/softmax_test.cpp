// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

#include "commutant/kernels/softmax.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "support/guarded_buffer.hpp"

namespace k = commutant::kernels;
using commutant_test::against;
using commutant_test::guarded_buffer;

TEST_CASE("exp2_scalar: within one ulp of 2^y, 1 at 0, 0 below -126", "[kernels][softmax]") {
    CHECK(k::detail::exp2_scalar(0) == 1);
    CHECK(k::detail::exp2_scalar(-126) == std::numeric_limits<float>::min());
    CHECK(k::detail::exp2_scalar(-126.01F) == 0);
    CHECK(k::detail::exp2_scalar(-std::numeric_limits<float>::infinity()) == 0);
    CHECK(std::isnan(k::detail::exp2_scalar(std::numeric_limits<float>::quiet_NaN())));
    double worst = 0;
    for (int i = 0; i <= 2'000'000; ++i) {
        float const y = -static_cast<float>(i) * (126.0F / 2'000'000);
        double const exact = std::exp2(static_cast<double>(y));
        double const ulp = std::ldexp(1.0, std::ilogb(exact) - 23);
        worst = std::max(worst, std::fabs(static_cast<double>(k::detail::exp2_scalar(y)) - exact) / ulp);
    }
    CHECK(worst < 1);
}

TEST_CASE("softmax: every body gives the bits of the scalar one", "[kernels][softmax]") {
    std::mt19937 engine(1);
    std::normal_distribution<float> normal;
    for (auto const& b : k::detail::softmax_bodies) {
        if (!k::is_supported(b.level)) continue;
        CAPTURE(to_string(b.level));
        for (std::size_t n = 0; n <= 70; ++n)
            for (int variant = 0; variant < 4; ++variant)
                for (against const side : {against::end, against::begin}) {
                    guarded_buffer<float> x(n, side), y(n, side), scales(n, side), multipliers(n, side);
                    for (std::size_t i = 0; i < n; ++i) {
                        x[i] = y[i] = 40 * normal(engine);
                        scales[i] = 0.5F + std::fabs(normal(engine));
                        multipliers[i] = 0.5F + std::fabs(normal(engine));
                    }
                    float const* const s = variant % 2 == 1 ? scales.data() : nullptr;
                    float const* const m = variant / 2 == 1 ? multipliers.data() : nullptr;
                    float const one = b.function(x.data(), n, 0.7F, s, m);
                    float const other = k::detail::softmax_scalar(y.data(), n, 0.7F, s, m);
                    CAPTURE(n, variant);
                    REQUIRE(std::memcmp(&one, &other, sizeof one) == 0);
                    REQUIRE((n == 0 || std::memcmp(x.data(), y.data(), n * sizeof(float)) == 0));
                }
    }
}

TEST_CASE("softmax: what is not a number spreads over its row, in every body", "[kernels][softmax]") {
    float const nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
    for (auto const& b : k::detail::softmax_bodies) {
        if (!k::is_supported(b.level)) continue;
        CAPTURE(to_string(b.level));
        for (std::size_t n = 1; n <= 40; ++n)
            for (std::size_t at = 0; at < n; ++at) {
                std::vector<float> x(n, 1.0F);
                x[at] = nan;
                CHECK(std::isnan(b.function(x.data(), n, 1, nullptr, nullptr)));
                x.assign(n, 1.0F);
                x[at] = inf;
                CHECK(std::isnan(b.function(x.data(), n, 1, nullptr, nullptr)));
                x.assign(n, 1.0F);
                x[at] = -inf;
                if (n > 1) CHECK(b.function(x.data(), n, 1, nullptr, nullptr) == static_cast<float>(n - 1));
                if (n > 1) CHECK(x[at] == 0);
            }
    }
}

TEST_CASE("scale_row: every body gives the bits of the scalar one, in place too", "[kernels][softmax]") {
    std::mt19937 engine(3);
    std::normal_distribution<float> normal;
    for (auto const& b : k::detail::scale_bodies) {
        if (!k::is_supported(b.level)) continue;
        CAPTURE(to_string(b.level));
        for (std::size_t n = 0; n <= 50; ++n)
            for (against const side : {against::end, against::begin}) {
                guarded_buffer<float> x(n, side), y(n, side), z(n, side);
                for (float& v : x.elements()) v = normal(engine);
                b.function(x.data(), n, 0.3F, y.data());
                k::detail::scale_scalar(x.data(), n, 0.3F, z.data());
                b.function(x.data(), n, 0.3F, x.data());
                REQUIRE(std::equal(y.data(), y.data() + n, z.data()));
                REQUIRE(std::equal(x.data(), x.data() + n, z.data()));
            }
    }
}

TEST_CASE("softmax_in_place: agrees with double precision, large scores included", "[kernels][softmax]") {
    std::mt19937 engine(2);
    std::normal_distribution<float> normal;
    for (std::size_t const cols : {1U, 2U, 15U, 16U, 17U, 100U, 1000U})
        for (float const offset : {0.0F, 1000.0F, -30000.0F}) {
            std::vector<float> x(3 * cols);
            for (float& v : x) v = 5 * normal(engine) + offset;
            std::vector<float> const before = x;
            k::softmax_in_place(x, cols, 0.8F);
            for (std::size_t row = 0; row < 3; ++row) {
                double const scale = 0.8F;
                double max = before[row * cols], sum = 0, worst = 0, total = 0;
                for (std::size_t i = 0; i < cols; ++i)
                    max = std::max(max, static_cast<double>(before[row * cols + i]));
                for (std::size_t i = 0; i < cols; ++i)
                    sum += std::exp(scale * (before[row * cols + i] - max));
                for (std::size_t i = 0; i < cols; ++i) {
                    double const p = std::exp(scale * (before[row * cols + i] - max)) / sum;
                    worst = std::max(worst, std::fabs(p - x[row * cols + i]) / p);
                    total += x[row * cols + i];
                }
                CAPTURE(cols, offset);
                // one rounding of a scaled score (up to 24000 * log2 e: half an ulp is 2^-10), or of the difference
                CHECK(worst < 4e-6 + std::fabs(offset) * 1e-7);
                CHECK(total == Approx(1).epsilon(1e-5));
            }
        }
}
