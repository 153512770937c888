// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>

#include <commutant/core/prime_field.hpp>
#include <commutant/core/random.hpp>

#include "constant.hpp"

namespace cm = commutant;
using cm::prime_field;

namespace {

constexpr int n_points = 64;

/// Whether a claim about three elements holds at random ones, and at those next to the modulus.
template <class Claim> consteval bool holds(Claim claim) {
    cm::random_source random(0xf1e1d);
    auto const draw = [&] {
        std::uint64_t const w = random.next_word();
        return w % 8 == 0 ? prime_field(static_cast<int>(w >> 3 & 3) - 1) : prime_field::from_word(w);
    };
    for (int k = 0; k < n_points; ++k) {
        prime_field const a = draw(), b = draw(), c = draw();
        if (!claim(a, b, c)) return false;
    }
    return true;
}

using F = prime_field;
static_assert(holds([](F a, F b, F c) { return (a + b) + c == a + (b + c); }));
static_assert(holds([](F a, F b, F) { return a + b == b + a; }));
static_assert(holds([](F a, F, F) { return a + F(0) == a && a + (-a) == F(0); }));
static_assert(holds([](F a, F b, F) { return a - b == a + (-b); }));
static_assert(holds([](F a, F b, F c) { return (a * b) * c == a * (b * c); }));
static_assert(holds([](F a, F b, F) { return a * b == b * a; }));
static_assert(holds([](F a, F, F) { return a * F(1) == a && a * F(0) == F(0); }));
static_assert(holds([](F a, F b, F c) { return a * (b + c) == a * b + a * c; }));
static_assert(holds([](F a, F b, F) { return a == F(0) || (a * reciprocal(a) == F(1) && b / a * a == b); }));
static_assert(holds([](F a, F, F) { return power(a, F::modulus) == a; }));
static_assert(holds([](F a, F, F) { return a.value() < F::modulus; }));
// What holds in no field of odd order.
static_assert(!holds([](F a, F, F) { return a + a == F(0); }));
static_assert(!holds([](F a, F b, F) { return a - b == b - a; }));

// Words at and around the modulus, and integers of either sign.
static_assert(F::from_word(F::modulus) == F(0));
static_assert(F::from_word(F::modulus - 1) == F(-1));
static_assert(F::from_word(F::modulus + 1) == F(1));
static_assert(F::from_word(std::numeric_limits<std::uint64_t>::max()) == F(7));
static_assert(F(std::numeric_limits<int>::min()) + F(std::numeric_limits<int>::max()) == F(-1));
static_assert(F::reduced(~cm::detail::uint128{0}) == F(63));
static_assert(power(F(2), 61) == F(1) && power(F(0), 0) == F(1));
static_assert(cm::sqrt_half(F()) * cm::sqrt_half(F()) * F(2) == F(1));

static_assert(constant<[] { return reciprocal(F(1)); }>);
static_assert(!constant<[] { return reciprocal(F(0)); }>);
static_assert(!constant<[] { return F(1) / F(0); }>);

/// A vector longer than one run of products without a reduction, every element -1 so that each product is the
/// largest.
template <std::size_t N>
consteval bool dot_of_largest_elements_is(int sum, std::size_t n, std::size_t stride) {
    std::array<F, N> a{};
    for (F& x : a) x = -1;
    return dot(a.data(), stride, a.data(), 1, n) == F(sum);
}
static_assert(dot_of_largest_elements_is<1>(0, 0, 1));
static_assert(dot_of_largest_elements_is<1>(1, 1, 1));
static_assert(dot_of_largest_elements_is<31>(31, 31, 1));
static_assert(dot_of_largest_elements_is<32>(32, 32, 1));
static_assert(dot_of_largest_elements_is<33>(33, 33, 1));
static_assert(dot_of_largest_elements_is<65>(65, 65, 1));
static_assert(dot_of_largest_elements_is<65>(22, 22, 3));

static_assert([] {
    constexpr std::array<F, 6> a{1, 2, 3, 4, 5, 6}, b{1, 10, 100, 1000, 10000, 100000};
    return dot(a.data() + 1, 2, b.data(), 1, 3) == F(642) &&
           dot(a.data(), 1, b.data() + 1, 2, 3) == F(302010);
}());

}  // namespace
