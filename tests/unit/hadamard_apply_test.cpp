// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// Inputs are small integers, so that every sum is exact in the type under test: agreement is asked for bit by
// bit.

#include <commutant/transforms/hadamard_apply.hpp>
#include <commutant/transforms/hadamard_matrix.hpp>
#include <commutant/transforms/hadamard_order.hpp>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <vector>

using namespace commutant;

namespace {

// Integers of at most 9 in magnitude without a pattern of their own.
template <class S> std::vector<S> whole_numbers(std::size_t size, std::uint64_t seed) {
    std::vector<S> numbers(size);
    for (S& number : numbers) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        number = static_cast<S>(static_cast<int>((seed >> 33) % 19) - 9);
    }
    return numbers;
}

// x H or x H^T entry by entry from the dense matrix.
template <class S>
std::vector<S> dense_product(std::vector<S> const& x, sign_rows_view core, hadamard_order order,
                             hadamard_side side) {
    std::vector<S> y(order.size(), S{});
    for (std::size_t r = 0; r < order.size(); ++r) {
        for (std::size_t c = 0; c < order.size(); ++c) {
            bool const minus = hadamard_entry_is_minus(core, order, r, c);
            if (side == hadamard_side::plain) {
                y[c] += minus ? -x[r] : x[r];
            } else {
                y[r] += minus ? -x[c] : x[c];
            }
        }
    }
    return y;
}

template <class S>
std::vector<S> applied(std::vector<S> x, sign_rows_view core, hadamard_order order, hadamard_side side) {
    std::vector<S> scratch(hadamard_scratch_size(order));
    apply_hadamard<S>(x.data(), 1, order, core, scratch, side);
    return x;
}

std::vector<std::size_t> const model_cores{1,  2,  4,  12,  20,  28,  36,  44,  60,  64,
                                           68, 76, 84, 100, 108, 140, 148, 244, 344, 924};

}  // namespace

TEMPLATE_TEST_CASE("apply_hadamard: multiplies by the dense matrix, and by its transpose",
                   "[transforms][hadamard]", double, float) {
    for (std::size_t const core_order : model_cores) {
        auto const core = hadamard_rows(core_order);
        for (std::size_t const power_of_two : {1, 2, 4, 32}) {
            if (core_order * power_of_two > 1848) continue;
            hadamard_order const order{core_order, power_of_two};
            CAPTURE(core_order, power_of_two);
            auto const x = whole_numbers<TestType>(order.size(), 1 + core_order);
            for (auto const side : {hadamard_side::plain, hadamard_side::transposed}) {
                REQUIRE(applied(x, core, order, side) == dense_product(x, core, order, side));
            }
        }
    }
}

TEST_CASE("apply_hadamard: plain and transposed differ exactly where the core is not symmetric",
          "[transforms][hadamard]") {
    auto const differs = [](std::size_t n) {
        auto const order = require_hadamard_order(n);
        auto const core = hadamard_rows(order.core);
        auto const x = whole_numbers<double>(n, n);
        return applied(x, core, order, hadamard_side::plain) !=
               applied(x, core, order, hadamard_side::transposed);
    };
    CHECK(differs(11008));        // Paley I, q = 343
    CHECK(differs(14336));        // Paley I, q = 27
    CHECK_FALSE(differs(18944));  // Paley II, q = 73
    CHECK_FALSE(differs(29568));  // Paley II, q = 461
    CHECK_FALSE(differs(4096));
}

TEST_CASE("apply_hadamard: x H H^T = n x at the widths of published models", "[transforms][hadamard]") {
    for (std::size_t const n :
         {288, 1376, 4096, 8960, 11008, 13824, 14336, 17408, 18944, 25600, 28672, 29568}) {
        auto const order = require_hadamard_order(n);
        auto const core = hadamard_rows(order.core);
        CAPTURE(n, order.core, order.power_of_two);
        REQUIRE(order.size() == n);
        auto const x = whole_numbers<double>(n, n);
        auto expected = x;
        for (double& value : expected) value *= static_cast<double>(n);
        auto const there = applied(x, core, order, hadamard_side::plain);
        REQUIRE(there != x);
        CHECK(applied(there, core, order, hadamard_side::transposed) == expected);
        auto const back = applied(x, core, order, hadamard_side::transposed);
        CHECK(applied(back, core, order, hadamard_side::plain) == expected);
    }
}

TEST_CASE("apply_hadamard: a single spike is spread evenly over all features", "[transforms][hadamard]") {
    for (std::size_t const n : {11008, 14336, 18944, 29568}) {
        auto const order = require_hadamard_order(n);
        auto const core = hadamard_rows(order.core);
        std::vector<double> x(n, 0.0);
        x[n / 3] = 5.0;
        auto const y = applied(x, core, order, hadamard_side::plain);
        CAPTURE(n);
        CHECK(std::all_of(y.begin(), y.end(), [](double value) { return std::abs(value) == 5.0; }));
        auto const minus = static_cast<std::size_t>(std::count(y.begin(), y.end(), -5.0));
        std::size_t expected = 0;
        for (std::size_t c = 0; c < n; ++c)
            expected += hadamard_entry_is_minus(core, order, n / 3, c) ? 1u : 0u;
        CHECK(minus == expected);
    }
}

TEST_CASE("apply_hadamard: a strided row gives the same sums and its neighbours stay",
          "[transforms][hadamard]") {
    for (auto const order :
         {hadamard_order{1, 64}, hadamard_order{12, 8}, hadamard_order{36, 1}, hadamard_order{28, 4}}) {
        auto const core = hadamard_rows(order.core);
        for (std::size_t const stride : {2, 3, 7}) {
            for (auto const side : {hadamard_side::plain, hadamard_side::transposed}) {
                CAPTURE(order.core, order.power_of_two, stride);
                auto const x = whole_numbers<double>(order.size(), 5);
                auto const y = applied(x, core, order, side);
                std::vector<double> field(order.size() * stride, 0.25);
                for (std::size_t i = 0; i < order.size(); ++i) field[i * stride] = x[i];
                std::vector<double> scratch(hadamard_scratch_size(order));
                apply_hadamard<double>(field.data(), stride, order, core, scratch, side);
                for (std::size_t i = 0; i < field.size(); ++i) {
                    REQUIRE(field[i] == (i % stride == 0 ? y[i / stride] : 0.25));
                }
            }
        }
    }
}

TEST_CASE("apply_hadamard: order 12 worked out by hand", "[transforms][hadamard]") {
    // Row 1 is -1, then +1 on the diagonal and chi(0 - j) = -chi(j) beside it; 1, 3, 4, 5, 9 are the squares
    // mod 11.
    auto const core = hadamard_rows(12);
    std::vector<double> x(12, 0.0);
    x[1] = 1.0;
    CHECK(applied(x, core, {12, 1}, hadamard_side::plain) ==
          std::vector<double>{-1, 1, -1, 1, -1, -1, -1, 1, 1, 1, -1, 1});
    CHECK(applied(x, core, {12, 1}, hadamard_side::transposed) ==
          std::vector<double>{1, 1, 1, -1, 1, 1, 1, -1, -1, -1, 1, -1});
}

TEST_CASE("apply_hadamard: a core of another order and a short scratch are refused with the numbers",
          "[transforms][hadamard]") {
    auto const core = hadamard_rows(12);
    std::vector<double> x(96, 1.0);
    std::vector<double> scratch(104);
    CHECK(hadamard_scratch_size({12, 8}) == 104);
    CHECK(hadamard_scratch_size({1, 8}) == 0);
    CHECK_NOTHROW(apply_hadamard<double>(x.data(), 1, {12, 8}, core, scratch));
    CHECK_THROWS_AS(apply_hadamard<double>(x.data(), 1, {24, 4}, core, scratch), std::invalid_argument);
    CHECK_THROWS_WITH(apply_hadamard<double>(x.data(), 1, {24, 4}, core, scratch),
                      "apply_hadamard: order of core is 12, expected 24");
    CHECK_THROWS_WITH(
        apply_hadamard<double>(x.data(), 1, {12, 8}, core, std::span<double>(scratch).first(103)),
        "apply_hadamard: size of scratch is 103, expected at least 104");
}
