// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

#include <commutant/core/galois_field.hpp>

#include <catch2/catch.hpp>
#include <cstdint>
#include <stdexcept>
#include <vector>

using commutant::galois_field;

TEST_CASE("galois_field: the non-zero elements are the powers of one of them", "[core]") {
    for (std::uint64_t const q : {2, 3, 4, 27, 49, 128, 343, 461, 625, 729, 1024}) {
        galois_field const field{q};
        CAPTURE(q);
        bool found = false;
        for (std::uint32_t generator = 1; generator < q && !found; ++generator) {
            std::vector<bool> reached(static_cast<std::size_t>(q), false);
            std::uint32_t power = 1;
            std::uint64_t length = 0;
            while (!reached[power]) {
                reached[power] = true;
                power = field.multiply(power, generator);
                ++length;
            }
            REQUIRE(power == 1);
            found = length == q - 1;
        }
        REQUIRE(found);
    }
}

TEST_CASE("galois_field: multiplication distributes over addition in GF(343)", "[core]") {
    galois_field const field{343};
    CHECK(field.characteristic() == 7);
    CHECK(field.degree() == 3);
    CHECK(field.modulus_coefficient(3) == 1);
    bool holds = true;
    for (std::uint32_t a = 0; a < 343; ++a) {
        for (std::uint32_t b = 0; b < 343; ++b) {
            std::uint32_t const c = (a * 31 + b * 57 + 11) % 343;
            holds = holds && field.multiply(a, field.add(b, c)) ==
                                 field.add(field.multiply(a, b), field.multiply(a, c));
            holds =
                holds && field.multiply(a, field.multiply(b, c)) == field.multiply(field.multiply(a, b), c);
        }
    }
    CHECK(holds);
}

TEST_CASE("galois_field: half of the non-zero elements are squares, and the character is multiplicative",
          "[core]") {
    for (std::uint64_t const q : {27, 49, 121, 343}) {
        galois_field const field{q};
        CAPTURE(q);
        std::vector<int> chi;
        for (std::uint32_t a = 0; a < q; ++a) chi.push_back(field.quadratic_character(a));
        int sum = 0;
        bool multiplicative = true;
        for (std::uint32_t a = 0; a < q; ++a) {
            sum += chi[a];
            for (std::uint32_t b = 0; b < q; ++b) {
                multiplicative = multiplicative && chi[field.multiply(a, b)] == chi[a] * chi[b];
            }
        }
        CHECK(sum == 0);
        CHECK(multiplicative);
    }
}

TEST_CASE("galois_field: the largest fields neither overflow nor take long to find", "[core]") {
    galois_field const prime{2147483647};
    CHECK(prime.multiply(2147483646, 2147483646) == 1);
    CHECK(prime.add(2147483646, 2147483646) == 2147483645);
    CHECK(prime.multiply(prime.power(3, 2147483645), 3) == 1);
    CHECK(prime.quadratic_character(2147483646) == -1);
    galois_field const binary{2147483648};
    CHECK(binary.degree() == 31);
    CHECK(binary.multiply(binary.power(2147483647, 2147483646), 2147483647) == 1);
    galois_field const square{46337ull * 46337ull};
    CHECK(square.multiply(square.power(46337, square.order() - 2), 46337) == 1);
}

TEST_CASE("galois_field: an order that is no prime power is refused by name", "[core]") {
    CHECK_THROWS_WITH(galois_field{923},
                      "galois_field: order is 923, expected a prime power of at most 2147483648");
    CHECK_THROWS_AS(galois_field{0}, std::domain_error);
    CHECK_THROWS_AS(galois_field{1}, std::domain_error);
    CHECK_THROWS_WITH(galois_field{4294967296},
                      "galois_field: order is 4294967296, expected a prime power of at most 2147483648");
}
