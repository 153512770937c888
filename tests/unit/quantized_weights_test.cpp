// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

#include "commutant/quant/quantized_weights.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <span>
#include <stdexcept>
#include <vector>

namespace cm = commutant;
using Catch::Matchers::Contains;

namespace {

constexpr std::size_t rows = 6;
constexpr std::size_t cols = 40;

template <class T> std::vector<T> gaussian_weight(std::uint64_t seed) {
    std::mt19937_64 engine(seed);
    std::normal_distribution<double> normal(0.0, 0.02);
    std::vector<T> w(rows * cols);
    for (std::size_t i = 0; i < w.size(); ++i)
        w[i] = static_cast<T>(normal(engine) * (1.0 + static_cast<double>(i / cols)));
    return w;
}

cm::weight_settings settings_of(int bits, cm::granularity scope, bool symmetric, cm::range_method method) {
    return {bits, scope, 8, symmetric, {method, 3, 100}};
}

}  // namespace

TEST_CASE("quantize_weights: hand numbers per channel", "[quant]") {
    // row 0: -4 = -8 * 0.5; row 1: 14 = 7 * 2; min-max
    const std::vector<float> w{-4.0F, 0.2F, 0.3F, 3.5F, 14.0F, 1.0F, -3.0F, 0.0F};
    const cm::quantized_weights q =
        cm::quantize_weights(std::span<const float>(w), 2, 4,
                             settings_of(4, cm::granularity::per_channel, true, cm::range_method::min_max));
    CHECK(q.rows == 2);
    CHECK(q.cols == 4);
    CHECK(q.slice == 4);
    CHECK(q.scales == std::vector<float>{0.5F, 2.0F});
    CHECK(q.zero_points.empty());
    CHECK(q.codes == std::vector<std::int8_t>{-8, 0, 1, 7, 7, 0, -2, 0});
    std::vector<float> back(8);
    cm::dequantize(q, std::span<float>(back));
    CHECK(back == std::vector<float>{-4.0F, 0.0F, 0.5F, 3.5F, 14.0F, 0.0F, -4.0F, 0.0F});
}

TEST_CASE("quantize_weights: hand numbers per group with zero points", "[quant]") {
    const std::vector<double> w{-2.5, 5.0, 15.0, 2.4};
    cm::weight_settings settings =
        settings_of(4, cm::granularity::per_group, false, cm::range_method::min_max);
    settings.group_size = 2;
    const cm::quantized_weights q = cm::quantize_weights(std::span<const double>(w), 1, 4, settings);
    CHECK(q.scales == std::vector<float>{0.5F, 1.0F});
    CHECK(q.zero_points == std::vector<std::int8_t>{-3, -8});
    CHECK(q.codes == std::vector<std::int8_t>{-8, 7, 7, -6});
    CHECK(q.grid_of(1) == cm::grid{1.0F, -8, 4, false});
}

TEMPLATE_TEST_CASE(
    "fake_quantize_weights_in_place: equals dequantize(quantize_weights) bit for bit, and settles at once",
    "[quant]", float, double) {
    using cm::granularity;
    const int bits = GENERATE(2, 3, 4, 8);
    const granularity scope =
        GENERATE(granularity::per_tensor, granularity::per_channel, granularity::per_group);
    for (const bool symmetric : {true, false})
        for (const cm::range_method method : {cm::range_method::min_max, cm::range_method::lp_norm}) {
            CAPTURE(bits, cm::to_string(scope), symmetric, cm::to_string(method));
            const cm::weight_settings settings = settings_of(bits, scope, symmetric, method);
            const std::vector<TestType> w = gaussian_weight<TestType>(17);
            const cm::quantized_weights q =
                cm::quantize_weights(std::span<const TestType>(w), rows, cols, settings);
            CHECK(q.codes.size() == w.size());
            CHECK(q.scales.size() == w.size() / cm::slice_size(scope, rows, cols, 8));
            CHECK(q.zero_points.size() == (symmetric ? 0 : q.scales.size()));
            std::vector<TestType> back(w.size());
            cm::dequantize(q, std::span<TestType>(back));
            std::vector<TestType> fake = w;
            cm::fake_quantize_weights_in_place(std::span<TestType>(fake), rows, cols, settings);
            CHECK(std::memcmp(back.data(), fake.data(), fake.size() * sizeof(TestType)) == 0);
            CHECK(fake != w);
            // On the same grids, the quantised weight is its own image.
            for (std::size_t i = 0; i < q.scales.size(); ++i)
                cm::fake_quantize_in_place(std::span<TestType>(fake).subspan(i * q.slice, q.slice),
                                           q.grid_of(i));
            CHECK(fake == back);
        }
}

TEST_CASE("quantize_weights: a row of zeros is exact and does not disturb its neighbours", "[quant]") {
    std::vector<float> w(8, 0.0F);
    w[4] = 7.0F;
    const cm::quantized_weights q =
        cm::quantize_weights(std::span<const float>(w), 2, 4,
                             settings_of(4, cm::granularity::per_channel, true, cm::range_method::lp_norm));
    CHECK(q.scales[0] == 1.0F);
    std::vector<float> back(8);
    cm::dequantize(q, std::span<float>(back));
    for (std::size_t i = 0; i < 4; ++i) CHECK(back[i] == 0.0F);
    CHECK(back[4] == Approx(7.0F));
}

TEST_CASE("fake_quantize_weights_in_place: 16 bits leave the weight alone", "[quant]") {
    std::vector<float> w = gaussian_weight<float>(2);
    const std::vector<float> before = w;
    cm::fake_quantize_weights_in_place(std::span<float>(w), rows, cols, cm::weight_settings{});
    CHECK(w == before);
}

TEST_CASE("quantize_weights: an empty weight has no codes", "[quant]") {
    cm::weight_settings settings;
    settings.num_bits = 4;
    const cm::quantized_weights q = cm::quantize_weights(std::span<const float>(), 0, cols, settings);
    CHECK(q.codes.empty());
    CHECK(q.scales.empty());
}

TEST_CASE("quantize_weights: what cannot be is refused with its place, and nothing is written", "[quant]") {
    std::vector<float> w = gaussian_weight<float>(3);
    const std::span<const float> view(w);
    cm::weight_settings settings;
    CHECK_THROWS_WITH(cm::quantize_weights(view, rows, cols, settings), Contains("num_bits is 16"));
    settings.num_bits = 4;
    CHECK_THROWS_WITH(cm::quantize_weights(view, rows, cols - 1, settings),
                      Contains("the weight has 240 elements, expected rows * cols = 6 * 39"));
    CHECK_THROWS_WITH(cm::quantize_weights(view, rows - 1, cols, settings), Contains("5 * 40"));
    CHECK_THROWS_WITH(cm::quantize_weights(view, rows, 0, settings), Contains("6 * 0"));
    settings.scope = cm::granularity::per_group;
    CHECK_THROWS_WITH(cm::quantize_weights(view, rows, cols, settings),
                      Contains("group_size is 128, expected a positive divisor of the 40 columns"));
    settings.scope = cm::granularity::per_channel;
    std::vector<float> too_short(w.size() - 1);
    CHECK_THROWS_WITH(
        cm::dequantize(cm::quantize_weights(view, rows, cols, settings), std::span<float>(too_short)),
        Contains("dequantize: the weight has 239 elements"));
    const float bad =
        GENERATE(std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity());
    w[2 * cols + 7] = bad;
    const std::vector<float> before = w;
    CHECK_THROWS_WITH(cm::quantize_weights(view, rows, cols, settings), Contains("row 2, column 7 is "));
    CHECK_THROWS_AS(cm::fake_quantize_weights_in_place(std::span<float>(w), rows, cols, settings),
                    std::invalid_argument);
    CHECK(std::memcmp(w.data(), before.data(), w.size() * sizeof(float)) == 0);
}
