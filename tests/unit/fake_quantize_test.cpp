// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

#include "commutant/quant/fake_quantize.hpp"

#include <array>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include "commutant/quant/range_setting.hpp"

namespace cm = commutant;

namespace {

template <class T> std::vector<T> gaussian(std::size_t n, std::uint64_t seed) {
    std::mt19937_64 engine(seed);
    std::normal_distribution<double> normal;
    std::vector<T> x(n);
    for (T& v : x) v = static_cast<T>(normal(engine));
    return x;
}

template <class T> bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// The definition with the library's rounding, for comparison.
template <class T> T slow_fake_quantize(T x, const cm::grid& g) {
    const T code = std::nearbyint(x / static_cast<T>(g.scale)) + static_cast<T>(g.zero_point);
    const T clamped = std::fmin(std::fmax(code, static_cast<T>(g.lo())), static_cast<T>(g.hi()));
    return static_cast<T>(g.scale) * (clamped - static_cast<T>(g.zero_point)) + T{0};
}

constexpr std::array grids{cm::grid{0.3F, 0, 4, true}, cm::grid{0.17F, -5, 4, false},
                           cm::grid{0.01F, 3, 8, false}, cm::grid{1.1F, 1, 2, false}};

}  // namespace

TEMPLATE_TEST_CASE("fake_quantize_in_place: equals the definition bit for bit at every length", "[quant]",
                   float, double) {
    for (const cm::grid& g : grids)
        for (std::size_t n = 0; n <= 67; ++n) {
            CAPTURE(g.num_bits, n);
            std::vector<TestType> x = gaussian<TestType>(n, 100 + n);
            std::vector<TestType> expected = x;
            for (TestType& v : expected) v = slow_fake_quantize(v, g);
            cm::fake_quantize_in_place(std::span<TestType>(x), g);
            CHECK(same_bits(x, expected));
        }
}

TEMPLATE_TEST_CASE(
    "fake_quantize_in_place: equals dequantize(quantize) bit for bit and changes nothing twice", "[quant]",
    float, double) {
    for (const cm::grid& g : grids) {
        std::vector<TestType> x = gaussian<TestType>(1003, 7);
        x[0] = TestType(-0.0);
        x[1] = std::numeric_limits<TestType>::denorm_min();
        x[2] = std::numeric_limits<TestType>::infinity();
        x[3] = -std::numeric_limits<TestType>::infinity();
        x[4] = std::numeric_limits<TestType>::max();
        std::vector<std::int8_t> codes(x.size());
        std::vector<TestType> back(x.size());
        cm::quantize(std::span<const TestType>(x), g, std::span<std::int8_t>(codes));
        cm::dequantize(std::span<const std::int8_t>(codes), g, std::span<TestType>(back));
        cm::fake_quantize_in_place(std::span<TestType>(x), g);
        CHECK(same_bits(x, back));
        for (std::size_t i = 0; i < x.size(); ++i) {
            REQUIRE(codes[i] >= g.lo());
            REQUIRE(codes[i] <= g.hi());
        }
        cm::fake_quantize_in_place(std::span<TestType>(x), g);
        CHECK(same_bits(x, back));
        CHECK(codes[2] == g.hi());
        CHECK(codes[3] == g.lo());
        CHECK(codes[0] == g.zero_point);
    }
}

TEST_CASE("fake_quantize_in_place: NaN stays NaN, and its code is lo", "[quant]") {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    std::vector<float> x(19, nan);
    std::vector<std::int8_t> codes(x.size());
    cm::quantize(std::span<const float>(x), grids[1], std::span<std::int8_t>(codes));
    for (const std::int8_t code : codes) CHECK(code == -8);
    cm::fake_quantize_in_place(std::span<float>(x), grids[1]);
    for (const float v : x) CHECK(std::isnan(v));
}

TEST_CASE("fake_quantize_in_place: 16 bits leave every bit alone", "[quant]") {
    std::vector<float> x = gaussian<float>(33, 3);
    x[0] = -0.0F;
    const std::vector<float> before = x;
    cm::fake_quantize_in_place(std::span<float>(x), cm::grid{});
    CHECK(same_bits(x, before));
    cm::fake_quantize_per_token_in_place(std::span<float>(x), 11, 16, false);
    CHECK(same_bits(x, before));
    x[5] = std::numeric_limits<float>::infinity();
    cm::fake_quantize_per_token_in_place(std::span<float>(x), 11, 16, false);
    CHECK(x[4] == before[4]);
    CHECK(std::isinf(x[5]));
}

TEST_CASE("fake_quantize_slices_in_place: each slice follows its own grid", "[quant]") {
    std::vector<float> x{0.4F, 0.6F, 10.0F, 0.4F, 0.6F, 10.0F};
    const std::array two{cm::grid{1.0F, 0, 4, true}, cm::grid{0.5F, 0, 4, true}};
    cm::fake_quantize_slices_in_place(std::span<float>(x), 3, std::span<const cm::grid>(two));
    CHECK(x == std::vector<float>{0.0F, 1.0F, 7.0F, 0.5F, 0.5F, 3.5F});
}

TEST_CASE("fake_quantize_per_token_in_place: hand numbers", "[quant]") {
    // row 0: -2.5 .. 5 in 15 steps of 0.5; row 1: zeros; row 2: one sign, 0 is forced into range, steps of 1
    std::vector<float> x{-2.5F, 5.0F, 0.7F, 0.0F, 0.0F, 0.0F, 15.0F, 3.4F, 2.5F};
    cm::fake_quantize_per_token_in_place(std::span<float>(x), 3, 4, false);
    CHECK(x == std::vector<float>{-2.5F, 5.0F, 0.5F, 0.0F, 0.0F, 0.0F, 15.0F, 3.0F, 2.0F});
    // symmetric: -4 is 8 steps of 0.5
    std::vector<float> y{-4.0F, 3.0F, 0.3F, 14.0F, 3.2F, -2.0F};
    cm::fake_quantize_per_token_in_place(std::span<float>(y), 3, 4, true);
    CHECK(y == std::vector<float>{-4.0F, 3.0F, 0.5F, 14.0F, 4.0F, -2.0F});
}

TEMPLATE_TEST_CASE("fake_quantize_per_token_in_place: each row as if it were alone, in its min-max grid",
                   "[quant]", float, double) {
    const bool symmetric = GENERATE(true, false);
    for (const std::size_t cols : {1U, 2U, 15U, 16U, 17U, 64U}) {
        std::vector<TestType> x = gaussian<TestType>(5 * cols, 40 + cols);
        std::vector<TestType> expected = x;
        for (std::size_t row = 0; row < 5; ++row) {
            const auto part = std::span<TestType>(expected).subspan(row * cols, cols);
            const cm::grid g = cm::set_range(std::span<const TestType>(part), 4, symmetric,
                                             cm::range_options{cm::range_method::min_max, 3, 100});
            cm::fake_quantize_in_place(part, g);
        }
        cm::fake_quantize_per_token_in_place(std::span<TestType>(x), cols, 4, symmetric);
        CHECK(same_bits(x, expected));
    }
}

TEST_CASE("fake_quantize_per_token_in_place: a row without a grid becomes NaN, the others do not",
          "[quant]") {
    const double bad =
        GENERATE(std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(),
                 std::numeric_limits<double>::quiet_NaN(), 1e300);
    std::vector<double> x{1.0, 2.0, bad, 1.0, 3.0, 15.0};
    cm::fake_quantize_per_token_in_place(std::span<double>(x), 2, 4, false);
    CHECK(std::isfinite(x[0]));
    CHECK(std::isfinite(x[1]));
    CHECK(std::isnan(x[2]));
    CHECK(std::isnan(x[3]));
    CHECK(x[4] == 3.0);
    CHECK(x[5] == 15.0);
}

TEST_CASE("fake_quantize_slices_in_place: finer slices are more accurate on rows of different size",
          "[quant]") {
    // Rows of different size: each finer slice has a smaller scale.
    std::vector<float> x = gaussian<float>(16 * 64, 77);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] *= static_cast<float>(1 + i / 64);
    const cm::range_options min_max{cm::range_method::min_max, 3, 100};
    const auto error = [&](std::size_t slice) {
        std::vector<float> y = x;
        const std::vector<cm::grid> found =
            cm::set_ranges(std::span<const float>(x), slice, 4, true, min_max);
        cm::fake_quantize_slices_in_place(std::span<float>(y), slice, std::span<const cm::grid>(found));
        double sum = 0.0;
        for (std::size_t i = 0; i < x.size(); ++i) sum += std::pow(static_cast<double>(x[i] - y[i]), 2);
        return sum;
    };
    CHECK(error(64) < 0.8 * error(x.size()));
    CHECK(error(16) < error(64));
}
