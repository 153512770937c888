// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

#include "commutant/quant/range_setting.hpp"

#include <catch2/catch.hpp>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <stdexcept>
#include <vector>

namespace cm = commutant;
using Catch::Matchers::Contains;

namespace {

std::vector<float> gaussian(std::size_t n, std::uint64_t seed) {
    std::mt19937_64 engine(seed);
    std::normal_distribution<float> normal;
    std::vector<float> x(n);
    for (float& v : x) v = normal(engine);
    return x;
}

double total_error(std::span<const float> x, std::size_t slice, const std::vector<cm::grid>& grids, int p) {
    double sum = 0.0;
    for (std::size_t i = 0; i < grids.size(); ++i)
        sum += cm::lp_error(x.subspan(i * slice, slice), grids[i], p);
    return sum;
}

}  // namespace

TEST_CASE("set_range: min-max and L_p on the same data", "[quant]") {
    const std::vector<float> x = gaussian(4096, 1);
    const std::span<const float> view(x);
    const cm::grid widest = cm::set_range(view, 4, true, {cm::range_method::min_max, 3, 100});
    CHECK(widest == cm::min_max_grid(cm::range_of(view), 4, true));
    const cm::grid found = cm::set_range(view, 4, true);
    CHECK(found.scale < widest.scale);
    CHECK(cm::lp_error(view, found, 3) < 0.9 * cm::lp_error(view, widest, 3));
    CHECK(cm::set_range(view, 16, true).is_float());
}

TEST_CASE("set_range: an all-equal slice is represented exactly", "[quant]") {
    const float value = GENERATE(0.0F, 3.7F, -0.02F, 1e-30F, -5e20F);
    const std::vector<float> x(20, value);
    for (const bool symmetric : {true, false})
        for (const cm::range_method method : {cm::range_method::min_max, cm::range_method::lp_norm}) {
            const cm::grid g = cm::set_range(std::span<const float>(x), 4, symmetric, {method, 3, 100});
            CAPTURE(value, symmetric);
            CHECK_NOTHROW(cm::validate(g));
            CHECK(cm::fake_quantize(value, g) == Approx(value).epsilon(1e-6));
        }
}

TEST_CASE("set_ranges: finer slices are never worse", "[quant]") {
    // Rows of different size: each finer cut may choose the coarser cut's range or a better one.
    const int p = GENERATE(2, 3);
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
        std::vector<float> x = gaussian(8 * 64, seed);
        for (std::size_t i = 0; i < x.size(); ++i) x[i] *= static_cast<float>(1 + i / 64) * 0.3F;
        const std::span<const float> view(x);
        const cm::range_options options{cm::range_method::lp_norm, p, 100};
        const auto error = [&](std::size_t slice) {
            return total_error(view, slice, cm::set_ranges(view, slice, 4, true, options), p);
        };
        CAPTURE(p, seed);
        const double per_tensor = error(x.size());
        const double per_channel = error(64);
        const double per_group = error(16);
        CHECK(per_channel < per_tensor);
        CHECK(per_group < per_channel);
    }
}

TEST_CASE("set_ranges: each slice as if it were alone", "[quant]") {
    const std::vector<float> x = gaussian(6 * 20, 8);
    const std::span<const float> view(x);
    const std::vector<cm::grid> grids = cm::set_ranges(view, 20, 4, false);
    REQUIRE(grids.size() == 6);
    for (std::size_t i = 0; i < 6; ++i) CHECK(grids[i] == cm::set_range(view.subspan(20 * i, 20), 4, false));
    CHECK(cm::set_ranges(std::span<const float>(), 20, 4, false).empty());
    CHECK(cm::set_ranges(std::span<const float>(), 0, 4, false).empty());
}

TEST_CASE("set_ranges: what cannot be is refused with its place", "[quant]") {
    std::vector<float> x = gaussian(40, 8);
    const std::span<const float> view(x);
    CHECK_THROWS_WITH(cm::set_ranges(view, 7, 4, true),
                      Contains("slice is 7, expected a divisor of the 40 elements"));
    CHECK_THROWS_WITH(cm::set_ranges(view, 0, 4, true), Contains("slice is 0"));
    CHECK_THROWS_WITH(cm::set_ranges(view, 8, 11, true), Contains("set_ranges: num_bits is 11"));
    CHECK_THROWS_WITH(cm::set_ranges(view, 8, 4, true, {cm::range_method::min_max, 12, 100}),
                      Contains("p is 12"));
    const float bad =
        GENERATE(std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity());
    x[8 * 3 + 5] = bad;
    CHECK_THROWS_WITH(cm::set_ranges(view, 8, 4, true), Contains("slice 3") && Contains("element 5"));
    CHECK_THROWS_AS(cm::set_range(view, 16, true), std::invalid_argument);
    CHECK_THROWS_AS(cm::set_range(view, 4, false, {cm::range_method::min_max, 3, 100}),
                    std::invalid_argument);
}
