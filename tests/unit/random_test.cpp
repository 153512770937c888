// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>

#include <commutant/core/random.hpp>

namespace cm = commutant;

TEST_CASE("random: splitmix64's published words", "[core]") {
    cm::random_source zero(0), other(1234567);
    CHECK(zero.next_word() == 0xe220a8397b1dcdafu);
    CHECK(zero.next_word() == 0x6e789e6aa1b965f4u);
    CHECK(zero.next_word() == 0x06c45d188009454fu);
    CHECK(other.next_word() == 6457827717110365317u);
    CHECK(other.next_word() == 3203168211198807973u);
    CHECK(other.next_word() == 9817491932198370423u);
}

TEST_CASE("random: the same words while compiling and at run time", "[core]") {
    constexpr auto mixed = [](std::uint64_t seed) {
        cm::random_source random(seed);
        std::uint64_t const first = random.next_word();
        return first ^ random.next_word() ^ random.next_below(1000);
    };
    constexpr std::uint64_t compiled = mixed(99);
    std::uint64_t volatile seed = 99;
    CHECK(mixed(seed) == compiled);
}

TEST_CASE("random: units lie in [0, 1), parameters within a half of their centre", "[core]") {
    cm::random_source random(5);
    cm::parameter_source<float> source(random);
    double sum = 0;
    int positive = 0;
    constexpr int n_draws = 10000;
    for (int k = 0; k < n_draws; ++k) {
        double const u = random.next_unit();
        REQUIRE(u >= 0);
        REQUIRE(u < 1);
        sum += u;
        float const x = source.near(3);
        REQUIRE(x >= 2.5F);
        REQUIRE(x <= 3.5F);
        positive += source.sign() > 0;
        REQUIRE(random.next_below(7) < 7);
    }
    // Standard deviations 0.0029 and 50; five of them.
    CHECK(std::abs(sum / n_draws - 0.5) < 0.015);
    CHECK(std::abs(positive - n_draws / 2) < 250);
}
