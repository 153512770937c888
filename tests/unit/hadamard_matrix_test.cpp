// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

#include <commutant/core/galois_field.hpp>
#include <commutant/transforms/hadamard_matrix.hpp>
#include <commutant/transforms/hadamard_order.hpp>
#include <commutant/transforms/hadamard_proof.hpp>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

using namespace commutant;

namespace {

// Paley's matrices entry by entry, from the definition and with Euler's criterion in place of the table of
// squares.
bool paley_entry_is_minus(galois_field const& field, hadamard_construction construction, std::size_t r,
                          std::size_t c) {
    std::size_t const side = static_cast<std::size_t>(field.order()) + 1;
    std::size_t const i = r % side;
    std::size_t const j = c % side;
    int conference = 0;
    if (i == 0 && j != 0) {
        conference = 1;
    } else if (i != 0 && j == 0) {
        conference = construction == hadamard_construction::paley_one ? -1 : 1;
    } else if (i != 0) {
        auto const difference =
            field.subtract(static_cast<std::uint32_t>(i - 1), static_cast<std::uint32_t>(j - 1));
        conference = field.quadratic_character(difference);
    }
    int const identity = i == j ? 1 : 0;
    bool const lower = r >= side;
    bool const right = c >= side;
    int const entry = lower && right   ? -conference - identity
                      : lower || right ? conference - identity
                                       : conference + identity;
    return entry < 0;
}

template <std::size_t Order> bool compile_time_rows_are_run_time_rows() {
    static constexpr auto fixed = hadamard_rows<Order>();
    auto const dynamic = hadamard_rows(Order);
    return dynamic.order == Order &&
           std::equal(fixed.words.begin(), fixed.words.end(), dynamic.words.begin(), dynamic.words.end());
}

}  // namespace

TEST_CASE("hadamard_rows: every core of at most 1024 rows is a Hadamard matrix", "[transforms][hadamard]") {
    std::size_t cores = 0;
    for (std::size_t order = 0; order <= largest_practical_hadamard_core; ++order) {
        auto const recipe = find_hadamard_recipe(order);
        if (!recipe) continue;
        ++cores;
        CAPTURE(order);
        auto const rows = hadamard_rows(order);
        REQUIRE(is_hadamard(rows));
        bool const symmetric = order <= 2 || recipe->construction != hadamard_construction::paley_one;
        REQUIRE(is_symmetric(rows) == symmetric);
        if (recipe->construction == hadamard_construction::sylvester) continue;
        REQUIRE(is_hadamard_by_translations(rows, *find_prime_power(recipe->field_order)));
    }
    // 11 powers of two, 87 other orders of Paley's first and 38 more of his second construction.
    CHECK(cores == 136);
}

TEST_CASE("hadamard_rows: compile time and run time give the same bits", "[transforms][hadamard]") {
    CHECK(compile_time_rows_are_run_time_rows<1>());
    CHECK(compile_time_rows_are_run_time_rows<12>());
    CHECK(compile_time_rows_are_run_time_rows<28>());
    CHECK(compile_time_rows_are_run_time_rows<64>());
    CHECK(compile_time_rows_are_run_time_rows<100>());
    CHECK(compile_time_rows_are_run_time_rows<256>());
    CHECK(compile_time_rows_are_run_time_rows<344>());
    CHECK(compile_time_rows_are_run_time_rows<924>());
}

TEST_CASE("hadamard_rows: every bit is the sign that the definition says", "[transforms][hadamard]") {
    for (std::size_t const order : {12, 20, 28, 36, 60, 68, 76, 100, 140, 148, 244, 344, 924}) {
        auto const recipe = *find_hadamard_recipe(order);
        galois_field const field{recipe.field_order};
        auto const rows = hadamard_rows(order);
        CAPTURE(order);
        std::size_t wrong = 0;
        for (std::size_t r = 0; r < order; ++r) {
            for (std::size_t c = 0; c < order; ++c) {
                bool const expected = paley_entry_is_minus(field, recipe.construction, r, c);
                if (rows.view().is_minus(r, c) != expected) ++wrong;
            }
        }
        CHECK(wrong == 0);
    }
    for (std::size_t const order : {1, 2, 4, 32, 64, 128, 512}) {
        auto const rows = hadamard_rows(order);
        CAPTURE(order);
        std::size_t wrong = 0;
        for (std::size_t r = 0; r < order; ++r) {
            for (std::size_t c = 0; c < order; ++c) {
                bool expected = false;
                for (std::size_t shared = r & c; shared != 0; shared /= 2)
                    expected = expected != (shared % 2 == 1);
                if (rows.view().is_minus(r, c) != expected) ++wrong;
            }
        }
        CHECK(wrong == 0);
    }
}

TEST_CASE("is_hadamard: one flipped sign anywhere is refuted", "[transforms][hadamard]") {
    for (std::size_t const order : {4, 12, 36, 64, 68}) {
        auto const recipe = *find_hadamard_recipe(order);
        auto const field_order = find_prime_power(recipe.field_order);
        auto rows = hadamard_rows(order);
        CAPTURE(order);
        std::size_t accepted = 0;
        for (std::size_t r = 0; r < order; ++r) {
            for (std::size_t c = 0; c < order; ++c) {
                std::uint64_t& word = rows.words[r * words_per_sign_row(order) + c / 64];
                word ^= std::uint64_t{1} << (c % 64);
                if (is_hadamard(rows)) ++accepted;
                if (field_order && is_hadamard_by_translations(rows, *field_order)) ++accepted;
                word ^= std::uint64_t{1} << (c % 64);
            }
        }
        CHECK(accepted == 0);
        CHECK(is_hadamard(rows));
    }
}

TEST_CASE("sign_row_product: counts agreeing minus differing columns", "[transforms][hadamard]") {
    dynamic_sign_rows rows{65, std::vector<std::uint64_t>(65 * 2, 0)};
    rows.words[2] = 0b111;  // row 1: three minus signs below bit 64, one behind
    rows.words[3] = 1;
    CHECK(sign_row_product(rows, 0, 0) == 65);
    CHECK(sign_row_product(rows, 0, 1) == 65 - 2 * 4);
    CHECK(sign_row_product(rows, 1, 2) == 65 - 2 * 4);
    CHECK(sign_row_product(rows, 1, 1) == 65);
}

TEST_CASE("hadamard_rows: an order without a core is refused, naming it and the block to use",
          "[transforms][hadamard]") {
    CHECK_THROWS_AS(hadamard_rows(172), std::domain_error);
    CHECK_THROWS_WITH(
        hadamard_rows(172),
        "hadamard_rows: order is 172, expected at most 65536 and 2^k, q + 1 (q = 3 mod 4) or 2 (q + 1) "
        "(q = 1 mod 4) for a prime power q; use blocks of 4, the largest power of two that divides it");
    CHECK_THROWS_AS(hadamard_rows(131072), std::domain_error);
    CHECK_THROWS_WITH(
        hadamard_rows(0),
        "hadamard_rows: order is 0, expected at most 65536 and 2^k, q + 1 (q = 3 mod 4) or 2 (q + 1) "
        "(q = 1 mod 4) for a prime power q");
}

TEST_CASE("require_hadamard_order: an unreachable order is refused, naming it and the block to use",
          "[transforms][hadamard]") {
    CHECK(require_hadamard_order(29568) == hadamard_order{924, 32});
    CHECK_THROWS_AS(require_hadamard_order(13696), std::domain_error);
    CHECK_THROWS_WITH(
        require_hadamard_order(13696),
        "require_hadamard_order: order 13696 = 107 * 128 has no Sylvester or Paley core of at most 1024; "
        "use blocks of 128, the largest power of two that divides it");
    CHECK_THROWS_WITH(
        require_hadamard_order(7),
        "require_hadamard_order: order 7 = 7 * 1 has no Sylvester or Paley core of at most 1024; "
        "use blocks of 1, the largest power of two that divides it");
    CHECK_THROWS_WITH(require_hadamard_order(29568, 512),
                      Catch::Contains("core of at most 512; use blocks of 128"));
    CHECK_THROWS_WITH(require_hadamard_order(0), "require_hadamard_order: order is 0, expected at least 1");
}

TEST_CASE("find_hadamard_order: takes the smallest core, and refuses exactly the orders that have none",
          "[transforms][hadamard]") {
    for (std::size_t n = 1; n <= 4096; ++n) {
        std::optional<hadamard_order> expected;
        for (std::size_t core = 1; core <= n && core <= largest_practical_hadamard_core && !expected;
             ++core) {
            bool const fits = n % core == 0 && ((n / core) & (n / core - 1)) == 0;
            if (fits && find_hadamard_recipe(core)) expected = hadamard_order{core, n / core};
        }
        CAPTURE(n);
        REQUIRE(find_hadamard_order(n) == expected);
        if (!expected) REQUIRE_THROWS_WITH(require_hadamard_order(n), Catch::Contains(std::to_string(n)));
    }
}
