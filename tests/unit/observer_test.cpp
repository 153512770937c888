// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

#include "commutant/quant/observer.hpp"

#include <array>
#include <catch2/catch.hpp>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <stdexcept>
#include <vector>

#include "commutant/quant/range_setting.hpp"

namespace cm = commutant;
using Catch::Matchers::Contains;

namespace {

constexpr cm::range_options min_max{cm::range_method::min_max, 3, 100};

// [n_rows, cols], the first row of each window a hundred times larger, as the first token's activations are.
std::vector<float> windows(std::size_t n_rows, std::size_t cols, std::size_t window, std::uint64_t seed) {
    std::mt19937_64 engine(seed);
    std::normal_distribution<float> normal;
    std::vector<float> x(n_rows * cols);
    for (std::size_t i = 0; i < x.size(); ++i)
        x[i] = normal(engine) * ((i / cols) % window == 0 ? 100.0F : 1.0F);
    return x;
}

std::vector<float> without_first_rows(const std::vector<float>& x, std::size_t cols, std::size_t window) {
    std::vector<float> kept;
    for (std::size_t i = 0; i < x.size(); ++i)
        if ((i / cols) % window != 0) kept.push_back(x[i]);
    return kept;
}

}  // namespace

TEST_CASE("row_selection: which rows count", "[quant]") {
    CHECK(cm::all_rows().keeps(0));
    CHECK_FALSE(cm::skip_first_rows(4).keeps(0));
    CHECK(cm::skip_first_rows(4).keeps(3));
    CHECK_FALSE(cm::skip_first_rows(4).keeps(8));
    const std::array<std::uint8_t, 3> keep{1, 0, 7};
    CHECK(cm::masked_rows(keep).keeps(0));
    CHECK_FALSE(cm::masked_rows(keep).keeps(1));
    CHECK(cm::masked_rows(keep).keeps(2));
    const cm::row_selection both{2, keep};
    CHECK_FALSE(both.keeps(0));
    CHECK_FALSE(both.keeps(1));
    CHECK_FALSE(both.keeps(2));
}

TEST_CASE("activation_observer: one pass of min-max over batches", "[quant]") {
    cm::activation_observer observer("input", 4, false, min_max);
    const std::vector<float> first{9, 9, 1, 2};
    const std::vector<float> second{9, 9, -2.5F, 5, 0, 1};
    observer.observe(std::span<const float>(first), 2, cm::skip_first_rows(2));
    observer.observe(std::span<const float>(second), 2, cm::skip_first_rows(3));
    CHECK(observer.range() == cm::value_range{-2.5, 5});
    CHECK(observer.n_rows() == 3);
    CHECK_FALSE(observer.next_pass());
    CHECK(observer.result() == cm::grid{0.5F, -3, 4, false});
}

TEST_CASE("activation_observer: L_p over batches equals L_p over all kept rows at once", "[quant]") {
    const bool symmetric = GENERATE(true, false);
    const std::size_t cols = 12;
    const std::size_t window = 8;
    const std::vector<float> x = windows(6 * window, cols, window, 3);
    const std::span<const float> view(x);
    cm::activation_observer observer("input", 4, symmetric);
    int passes = 0;
    do {
        for (std::size_t w = 0; w < 6; w += 2)
            observer.observe(view.subspan(w * window * cols, 2 * window * cols), cols,
                             cm::skip_first_rows(window));
        ++passes;
    } while (observer.next_pass());
    CHECK(passes == (symmetric ? 2 : 4));
    const std::vector<float> kept = without_first_rows(x, cols, window);
    CHECK(observer.result() == cm::set_range(std::span<const float>(kept), 4, symmetric));
    CHECK(observer.n_rows() == 6 * (window - 1));
    // With the first rows in, the range is useless for the others.
    CHECK(observer.result().scale < 0.1F * cm::set_range(view, 4, symmetric, min_max).scale);
}

TEST_CASE("activation_observer: skipped rows may hold anything", "[quant]") {
    std::vector<float> x{std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), 1,
                         2};
    cm::activation_observer observer("input", 4, false);
    do {
        observer.observe(std::span<const float>(x), 2, cm::skip_first_rows(2));
    } while (observer.next_pass());
    CHECK(observer.range() == cm::value_range{1, 2});
}

TEST_CASE("activation_observer: merged observers give what one gives", "[quant]") {
    const std::size_t cols = 5;
    const std::vector<float> x = windows(400, cols, 10, 4);
    const std::span<const float> view(x);
    cm::activation_observer one("one", 4, false);
    do {
        one.observe(view, cols, cm::skip_first_rows(10));
    } while (one.next_pass());
    cm::activation_observer left("left", 4, false);
    for (bool again = true; again;) {
        cm::activation_observer right = left;
        left.observe(view.first(150 * cols), cols, cm::skip_first_rows(10));
        right.observe(view.subspan(150 * cols), cols, cm::skip_first_rows(10));
        left.merge(right);
        again = left.next_pass();
    }
    CHECK(left.result() == one.result());
    CHECK(left.n_rows() == one.n_rows());
    CHECK(left.range() == one.range());
    cm::activation_observer other("other", 8, false);
    CHECK_THROWS_WITH(one.merge(other), Contains("other settings or in another pass"));
}

TEST_CASE("activation_observer: 16 bits and zeros end after one pass or more with a usable grid", "[quant]") {
    const std::vector<float> zeros(8, 0.0F);
    cm::activation_observer wide("input", 16, false);
    wide.observe(std::span<const float>(zeros), 4);
    CHECK_FALSE(wide.next_pass());
    CHECK(wide.result().is_float());
    cm::activation_observer flat("input", 4, false);
    do {
        flat.observe(std::span<const float>(zeros), 4);
    } while (flat.next_pass());
    CHECK(flat.result() == cm::grid{1.0F, 0, 4, false});
}

TEST_CASE("activation_observer: bad input is refused by name and place, and leaves nothing behind",
          "[quant]") {
    cm::activation_observer observer("layer 3, input of down_proj", 4, false);
    std::vector<float> x{1, 2, 3, 4, 5, 6};
    const std::span<const float> view(x);
    CHECK_THROWS_WITH(
        observer.observe(view, 4),
        Contains("layer 3, input of down_proj: the batch has 6 elements, expected a multiple of its 4"));
    CHECK_THROWS_WITH(observer.observe(view, 0), Contains("its 0 columns"));
    const std::array<std::uint8_t, 2> mask{1, 1};
    CHECK_THROWS_WITH(observer.observe(view, 2, cm::masked_rows(mask)),
                      Contains("the row mask has 2 flags, expected one for each of the 3 rows"));
    x[5] = std::numeric_limits<float>::quiet_NaN();
    CHECK_THROWS_WITH(observer.observe(view, 2), Contains("row 2, column 1 is nan, expected finite values"));
    x[5] = 6;
    x[2] = -std::numeric_limits<float>::infinity();
    CHECK_THROWS_WITH(observer.observe(view, 2, cm::skip_first_rows(2)), Contains("row 1, column 0 is -inf"));
    CHECK(observer.n_rows() == 0);
    CHECK(observer.range().is_empty());
    CHECK_THROWS_WITH(observer.next_pass(), Contains("no token was observed"));
    CHECK_THROWS_AS(observer.result(), std::logic_error);
    CHECK_THROWS_WITH(cm::activation_observer("x", 1, false), Contains("num_bits is 1"));
}

TEST_CASE("activation_observer: passes over different data are noticed", "[quant]") {
    const std::vector<float> x{1, 2, 3, 4, 5, 6};
    const std::span<const float> view(x);
    cm::activation_observer observer("input", 4, true);
    observer.observe(view, 2);
    REQUIRE(observer.next_pass());
    observer.observe(view.first(4), 2);
    CHECK_THROWS_WITH(observer.next_pass(),
                      Contains("pass 2 had 2 tokens, expected the 3 of the first pass"));
    observer.observe(view.subspan(4), 2);
    CHECK_FALSE(observer.next_pass());
    CHECK_THROWS_WITH(observer.observe(view, 2), Contains("after the last pass"));
}

TEST_CASE("activation_observer: a range beyond float32 is refused by name", "[quant]") {
    const std::vector<double> x{-1e200, 1.0};
    cm::activation_observer observer("input", 4, true);
    observer.observe(std::span<const double>(x), 2);
    CHECK_THROWS_WITH(observer.next_pass(), Contains("input: min_max_grid") && Contains("float32"));
}
