// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <cstddef>
#include <stdexcept>

#include <commutant/core/matrix.hpp>
#include <commutant/core/prime_field.hpp>

namespace cm = commutant;
using M = cm::matrix<double>;

// The words' values are checked while compiling (tests/static/core). There a read outside of a matrix is an
// error even where a word forgets to look; at run time only the word's own refusal stands before it.

TEST_CASE("matrix: shapes that do not fit are refused by the word that meets them", "[core]") {
    M const a(2, 3), b(3, 2), narrow(2, 2), row(1, 2), column(3, 1);
    auto const refuses = [](char const* word) { return Catch::StartsWith(word); };
    CHECK_THROWS_WITH(product(a, a), refuses("product: "));
    CHECK_THROWS_WITH(product_transposed(a, b), refuses("product_transposed: "));
    CHECK_THROWS_WITH(a + b, refuses("operator+: "));
    CHECK_THROWS_WITH(a - narrow, refuses("operator-: "));
    CHECK_THROWS_WITH(elementwise_product(a, narrow), refuses("elementwise_product: "));
    CHECK_THROWS_WITH(scale_columns(a, row), refuses("scale_columns: "));
    CHECK_THROWS_WITH(scale_columns(a, column), refuses("scale_columns: "));
    CHECK_THROWS_WITH(scale_rows(a, column), refuses("scale_rows: "));
    CHECK_THROWS_WITH(add_to_rows(a, row), refuses("add_to_rows: "));
    CHECK_THROWS_WITH(columns(a, {2, 2}), refuses("columns: "));
    CHECK_THROWS_WITH(columns(a, {0, 3, 2}), refuses("columns: "));
    CHECK_THROWS_WITH(row_block(a, 1, 2), refuses("row_block: "));
    CHECK_THROWS_WITH(append_rows(a, narrow), refuses("set_row_block: "));
    CHECK_THROWS_WITH(inverse(a), refuses("inverse: "));
    M x = a;
    CHECK_THROWS_WITH(set_columns(x, {0, 2}, a), refuses("set_columns: "));
    CHECK_THROWS_WITH(set_row_block(x, 1, a), refuses("set_row_block: "));
    CHECK_THROWS_AS(product(a, a), std::invalid_argument);
    CHECK(x == a);
}

TEST_CASE("matrix: what is singular has no inverse, exactly", "[core]") {
    cm::matrix<cm::prime_field> a(2, 2);
    a(0, 0) = 2, a(0, 1) = 3, a(1, 0) = 4, a(1, 1) = 6;
    CHECK_THROWS_AS(inverse(a), std::domain_error);
    a(1, 1) = 7;
    CHECK(product(a, inverse(a)) == cm::identity_matrix<cm::matrix<cm::prime_field>>(2));
}
