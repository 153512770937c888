// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <cstdint>
#include <stdexcept>

#include <commutant/core/polynomial.hpp>
#include <commutant/core/prime_field.hpp>
#include <commutant/core/random.hpp>

namespace cm = commutant;
using cm::prime_field;

TEST_CASE("prime_field: sums and products are those of 128-bit integers modulo 2^61 - 1", "[core]") {
    using wide = cm::detail::uint128;
    wide const p = prime_field::modulus;
    cm::random_source random(61);
    for (int k = 0; k < 10000; ++k) {
        std::uint64_t const a = random.next_word(), b = random.next_word();
        prime_field const x = prime_field::from_word(a), y = prime_field::from_word(b);
        REQUIRE(x.value() == a % prime_field::modulus);
        REQUIRE((x + y).value() == static_cast<std::uint64_t>((wide{a} + b) % p));
        REQUIRE((x - y).value() == static_cast<std::uint64_t>((wide{a % p} + p - b % p) % p));
        REQUIRE((x * y).value() == static_cast<std::uint64_t>(wide{a % p} * (b % p) % p));
        REQUIRE((x / y * y).value() == x.value());
        wide const w = (wide{a} << 64) | b;
        REQUIRE(prime_field::reduced(w).value() == static_cast<std::uint64_t>(w % p));
    }
}

TEST_CASE("prime_field: zero has no reciprocal, and the refusal says so", "[core]") {
    CHECK_THROWS_AS(reciprocal(prime_field(0)), std::domain_error);
    CHECK_THROWS_WITH(prime_field(1) / prime_field(0), "prime_field: zero has no reciprocal");
}

TEST_CASE("polynomial: what does not fit is refused by name", "[core]") {
    using cm::polynomial;
    polynomial const x = polynomial::variable(0);
    polynomial power = 1, many = 0, large = 1;
    for (int k = 0; k < 15; ++k) power = power * x;
    CHECK_THROWS_WITH(power * x, Catch::Contains("degree above 15"));
    for (std::size_t v = 0; v < polynomial::n_variables; ++v)
        many = many + polynomial::variable(v) + polynomial::variable(v) * polynomial::variable(v) +
               polynomial::variable(v) * polynomial::variable(v) * polynomial::variable(v);
    CHECK(many.size() == polynomial::max_terms);
    CHECK_THROWS_WITH(many + 1, Catch::Contains("more than max_terms terms"));
    for (int k = 0; k < 62; ++k) large = large * 2;
    CHECK_THROWS_AS(large * 2, std::overflow_error);
    CHECK_THROWS_WITH(large + large, Catch::Contains("more than 64 bits"));
    CHECK_THROWS_WITH(polynomial::variable(32), Catch::Contains("too many variables"));
    CHECK_THROWS_AS(reciprocal(cm::rational_function(x) - x), std::domain_error);
}
