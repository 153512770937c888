// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include <commutant/quant/value_statistics.hpp>

using namespace commutant;

namespace {
value_statistics of(std::vector<float> const& x) {
    value_statistics s;
    s.observe(std::span<float const>(x));
    return s;
}
}  // namespace

TEST_CASE("value_statistics: size and shape of numbers worked out by hand", "[quant]") {
    auto const s = of({1, -1, 3, -5});
    CHECK(s.count() == 4);
    CHECK(s.max_abs() == 5);
    CHECK(s.mean() == Approx(-0.5));
    CHECK(s.rms() == Approx(3));
    CHECK(s.max_over_rms() == Approx(5.0 / 3));
    // Deviations 1.5, -0.5, 3.5, -4.5: squares sum to 35, fourth powers to 565.25.
    CHECK(s.kurtosis() == Approx((565.25 / 4) / (8.75 * 8.75)));
}

TEST_CASE("value_statistics: a fair coin has kurtosis 1, equal values and none have 0", "[quant]") {
    CHECK(of({1, -1, 1, -1}).kurtosis() == Approx(1));
    CHECK(of({2, 2, 2}).kurtosis() == 0);
    CHECK(of({}).rms() == 0);
    CHECK(of({0, 0}).max_over_rms() == 0);
}

TEST_CASE("value_statistics: every value lies in the bin between whose ends it is", "[quant]") {
    CHECK(value_statistics::bin_begin(0) == 0);
    std::vector<float> const values{0.0f, 1e-40f, 0.3f, -1.0f,  1.49f,
                                    1.5f, -1.99f, 2.0f, 700.0f, std::numeric_limits<float>::max()};
    for (float const x : values) {
        CAPTURE(x);
        auto const h = of({x}).histogram();
        std::size_t k = 0;
        while (h[k] == 0) ++k;
        CHECK(value_statistics::bin_begin(k) <= std::abs(x));
        if (k + 1 < value_statistics::n_bins) CHECK(std::abs(x) < value_statistics::bin_begin(k + 1));
    }
    auto const all = of(values).histogram();
    CHECK(std::accumulate(all.begin(), all.end(), std::size_t{0}) == values.size());
}

TEST_CASE("value_statistics: merging is as seeing everything", "[quant]") {
    auto one = of({1, -4, 0.5f});
    one.merge(of({9, 2}));
    auto const whole = of({1, -4, 0.5f, 9, 2});
    CHECK(one.count() == whole.count());
    CHECK(one.max_abs() == whole.max_abs());
    CHECK(one.rms() == Approx(whole.rms()));
    CHECK(one.kurtosis() == Approx(whole.kurtosis()));
    CHECK(one.histogram() == whole.histogram());
}
