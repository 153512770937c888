// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

#include "commutant/quant/lp_range_search.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <vector>

namespace cm = commutant;
using Catch::Matchers::Contains;

namespace {

// The error is summed twice, in lanes of float and here at once: see lp_error_test.cpp.
constexpr double summation_tolerance = 1e-5;

std::vector<float> heavy_tailed(std::size_t n, std::uint64_t seed) {
    std::mt19937_64 engine(seed);
    std::student_t_distribution<double> student(3.0);
    std::vector<float> x(n);
    for (float& v : x) v = static_cast<float>(student(engine));
    return x;
}

template <class T>
cm::lp_range_search searched(const std::vector<T>& x, int bits, bool symmetric,
                             const cm::range_options& options) {
    const std::span<const T> view(x);
    cm::lp_range_search search(cm::range_of(view), bits, symmetric, options);
    do {
        search.accumulate_error(view);
    } while (search.next_round());
    return search;
}

int rounds(const std::vector<float>& x, bool symmetric) {
    const std::span<const float> view(x);
    cm::lp_range_search search(cm::range_of(view), 4, symmetric);
    int n = 1;
    for (search.accumulate_error(view); search.next_round(); search.accumulate_error(view)) ++n;
    return n;
}

}  // namespace

TEST_CASE("lp_range_search: finds the best of a symmetric search by hand", "[quant]") {
    // 2 bits: codes -2 .. 1. Four candidates: scales 1, 0.75, 0.5, 0.25 for values up to 1.
    // |x|: 1 once, 0.5 twenty times. Scale 1: 0.5 ties to 0, error 0.5 each; 0.5: only the 1 is clipped.
    std::vector<float> x(20, 0.5F);
    x.push_back(1.0F);
    const cm::lp_range_search search = searched(x, 2, true, {cm::range_method::lp_norm, 2, 4});
    CHECK(search.best() == cm::grid{0.5F, 0, 2, true});
    CHECK(search.best_error() == Approx(0.25));
    // one value weighs more in a high norm: 0.75 errs by 0.25 on all 21
    const cm::lp_range_search high = searched(x, 2, true, {cm::range_method::lp_norm, 8, 4});
    CHECK(high.best() == cm::grid{0.75F, 0, 2, true});
    CHECK(high.best_error() == Approx(21 * std::pow(0.25, 8)));
}

TEST_CASE("lp_range_search: shrinks the end that has the outlier, and only that", "[quant]") {
    // bulk -1 .. 1, one value at 20: with both ends tied the lower would be lost
    std::vector<float> x;
    for (int i = -1000; i <= 1000; ++i) x.push_back(static_cast<float>(i) / 1000.0F);
    x.push_back(20.0F);
    const cm::grid g = searched(x, 8, false, {cm::range_method::lp_norm, 1, 100}).best();
    const double lower = static_cast<double>(g.scale) * (g.lo() - g.zero_point);
    const double upper = static_cast<double>(g.scale) * (g.hi() - g.zero_point);
    CHECK(lower == Approx(-1.0).margin(0.05));
    CHECK(upper < 5.0);
    CHECK(upper > 0.9);
    // and mirrored
    for (float& v : x) v = -v;
    const cm::grid m = searched(x, 8, false, {cm::range_method::lp_norm, 1, 100}).best();
    CHECK(static_cast<double>(m.scale) * (m.hi() - m.zero_point) == Approx(1.0).margin(0.05));
    CHECK(static_cast<double>(m.scale) * (m.lo() - m.zero_point) > -5.0);
}

TEST_CASE("lp_range_search: never worse than min-max in its own norm", "[quant]") {
    const int p = GENERATE(1, 2, 3, 4, 5, 6, 7, 8);
    const bool symmetric = GENERATE(true, false);
    for (const int bits : {2, 3, 4, 8})
        for (std::uint64_t seed = 1; seed <= 5; ++seed) {
            const std::vector<float> x = heavy_tailed(500 + 100 * seed, seed);
            const std::span<const float> view(x);
            const cm::grid widest = cm::min_max_grid(cm::range_of(view), bits, symmetric);
            const cm::lp_range_search search =
                searched(x, bits, symmetric, {cm::range_method::lp_norm, p, 100});
            const double error = cm::lp_error(view, search.best(), p);
            CAPTURE(p, symmetric, bits, seed);
            CHECK_NOTHROW(cm::validate(search.best()));
            CHECK(error <= cm::lp_error(view, widest, p) * (1 + summation_tolerance));
            CHECK(search.best_error() == Approx(error).epsilon(summation_tolerance));
        }
}

TEST_CASE("lp_range_search: separate ends are never worse than ends shrunk together, and near the best pair",
          "[quant]") {
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
        std::vector<float> x = heavy_tailed(600, seed);
        for (float& v : x) v = v < 0 ? 0.3F * v : v;
        const std::span<const float> view(x);
        const cm::value_range r = cm::range_of(view);
        const double found = searched(x, 4, false, {cm::range_method::lp_norm, 3, 50}).best_error();
        double together = std::numeric_limits<double>::infinity();
        double best_pair = together;
        for (int i = 1; i <= 50; ++i)
            for (int k = 1; k <= 50; ++k) {
                const double error =
                    cm::lp_error(view, cm::min_max_grid({r.min * i / 50, r.max * k / 50}, 4, false), 3);
                best_pair = std::fmin(best_pair, error);
                if (i == k) together = std::fmin(together, error);
            }
        CAPTURE(seed);
        CHECK(found <= together * (1 + summation_tolerance));
        CHECK(found >= best_pair * (1 - summation_tolerance));
        CHECK(found <= 1.02 * best_pair);
    }
}

TEST_CASE("lp_range_search: with two candidates the result is the better of the whole range and its half",
          "[quant]") {
    const std::vector<float> x = heavy_tailed(400, 9);
    const std::span<const float> view(x);
    const cm::value_range r = cm::range_of(view);
    const cm::grid whole = cm::min_max_grid(r, 4, true);
    const cm::grid half = cm::min_max_grid({r.min / 2, r.max / 2}, 4, true);
    const bool half_wins = cm::lp_error(view, half, 2) < cm::lp_error(view, whole, 2);
    CHECK(searched(x, 4, true, {cm::range_method::lp_norm, 2, 2}).best() == (half_wins ? half : whole));
    CHECK(searched(x, 4, true, {cm::range_method::lp_norm, 2, 1}).best() == whole);
    CHECK(searched(x, 4, false, {cm::range_method::lp_norm, 2, 1}).best() == cm::min_max_grid(r, 4, false));
}

TEST_CASE("lp_range_search: errors of all batches count, in whatever pieces they come", "[quant]") {
    const bool symmetric = GENERATE(true, false);
    const std::vector<float> x = heavy_tailed(5000, 12);
    const std::span<const float> view(x);
    const cm::lp_range_search whole = searched(x, 4, symmetric, {});
    cm::lp_range_search pieces(cm::range_of(view), 4, symmetric);
    cm::lp_range_search left(cm::range_of(view), 4, symmetric);
    cm::lp_range_search right = left;
    do {
        for (std::size_t start = 0; start < x.size(); start += 700)
            pieces.accumulate_error(view.subspan(start, std::min<std::size_t>(700, x.size() - start)));
    } while (pieces.next_round());
    CHECK(pieces.best() == whole.best());
    CHECK(pieces.best_error() == Approx(whole.best_error()).epsilon(summation_tolerance));
    bool again = true;
    while (again) {
        left.accumulate_error(view.first(2100));
        right.accumulate_error(view.subspan(2100));
        cm::lp_range_search both = left;
        both.merge(right);
        again = both.next_round();
        left = both;
        right = both;
    }
    CHECK(left.best() == whole.best());
}

TEST_CASE("lp_range_search: one round when symmetric or one-sided, three otherwise", "[quant]") {
    CHECK(rounds({-1.0F, 0.3F, 2.0F}, true) == 1);
    CHECK(rounds({-1.0F, 0.3F, 2.0F}, false) == 3);
    CHECK(rounds({0.1F, 0.3F, 2.0F}, false) == 1);
    CHECK(rounds({-0.1F, -2.0F}, false) == 1);
    CHECK(rounds({0.0F, 0.0F}, false) == 1);
}

TEST_CASE("lp_range_search: zeros, and no data, leave the min-max grid", "[quant]") {
    const bool symmetric = GENERATE(true, false);
    CHECK(searched(std::vector<float>(9, 0.0F), 4, symmetric, {}).best() == cm::grid{1.0F, 0, 4, symmetric});
    cm::lp_range_search idle({-1, 2}, 4, symmetric);
    CHECK_FALSE(idle.next_round());
    CHECK(idle.best() == cm::min_max_grid({-1, 2}, 4, symmetric));
    CHECK(searched(std::vector<float>{1.0F, 2.0F}, 16, symmetric, {}).best().is_float());
}

TEMPLATE_TEST_CASE("lp_range_search: tiny and huge numbers neither underflow nor overflow the search",
                   "[quant]", float, double) {
    const std::vector<float> shape = heavy_tailed(300, 4);
    for (const int p : {1, 3, 8})
        for (const bool symmetric : {true, false}) {
            std::vector<TestType> x(shape.begin(), shape.end());
            const cm::grid reference = searched(x, 4, symmetric, {cm::range_method::lp_norm, p, 100}).best();
            for (const int exponent : {-100, 110}) {
                std::vector<TestType> scaled = x;
                for (TestType& v : scaled) v = std::ldexp(v, exponent);
                const cm::grid g = searched(scaled, 4, symmetric, {cm::range_method::lp_norm, p, 100}).best();
                CAPTURE(p, symmetric, exponent);
                CHECK(g.scale == std::ldexp(reference.scale, exponent));
                CHECK(g.zero_point == reference.zero_point);
            }
        }
}

TEST_CASE("lp_range_search: bad options and values are refused", "[quant]") {
    CHECK_THROWS_WITH(cm::lp_range_search({-1, 1}, 4, true, {cm::range_method::lp_norm, 0, 100}),
                      Contains("p is 0, expected 1 to 8"));
    CHECK_THROWS_WITH(cm::lp_range_search({-1, 1}, 4, true, {cm::range_method::lp_norm, 9, 100}),
                      Contains("p is 9"));
    CHECK_THROWS_WITH(cm::lp_range_search({-1, 1}, 4, true, {cm::range_method::lp_norm, 3, 0}),
                      Contains("n_candidates is 0, expected at least 1"));
    CHECK_THROWS_WITH(cm::lp_range_search({-1, 1}, 9, true), Contains("num_bits is 9"));
    cm::lp_range_search search({-1, 1}, 4, true);
    const std::vector<float> bad{0.5F, std::numeric_limits<float>::quiet_NaN()};
    CHECK_THROWS_WITH(search.accumulate_error(std::span<const float>(bad)), Contains("element 1 is nan"));
    CHECK_FALSE(search.next_round());
    CHECK(search.best_error() == 0.0);
    CHECK_THROWS_WITH(search.merge(cm::lp_range_search({-2, 1}, 4, true)), Contains("other candidates"));
}
