// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <cmath>
#include <cstddef>
#include <limits>
#include <stdexcept>

#include <commutant/readings/eigen_matrix.hpp>
#include <commutant/transforms/block_hadamard.hpp>

#include "transform_laws.hpp"

namespace cm = commutant;
using M = cm::eigen_matrix<double>;
using cm::block_hadamard_map;

TEST_CASE("block_hadamard: two features become their sum and difference over the square root of two",
          "[transforms]") {
    M x(1, 4);
    x(0, 0) = 3, x(0, 1) = 5, x(0, 2) = -1, x(0, 3) = 7;
    M const y = apply(block_hadamard_map(4, 2), x);
    double const share = std::sqrt(0.5), tolerance = 1e-15 * 8;
    CHECK(std::abs(y(0, 0) - 8 * share) <= tolerance);
    CHECK(std::abs(y(0, 1) + 2 * share) <= tolerance);
    CHECK(std::abs(y(0, 2) - 6 * share) <= tolerance);
    CHECK(std::abs(y(0, 3) + 8 * share) <= tolerance);
}

TEST_CASE("block_hadamard: every entry is 1 / sqrt(block) within a block and zero outside", "[transforms]") {
    std::size_t const block = GENERATE(as<std::size_t>{}, 1, 2, 4, 12, 20, 24, 28, 32);
    CAPTURE(block);
    block_hadamard_map const t(3 * block, block);
    M const h = transform_laws::matrix_of<M>(t);
    double const share = 1 / std::sqrt(static_cast<double>(block));
    for (std::size_t i = 0; i < h.rows(); ++i)
        for (std::size_t j = 0; j < h.cols(); ++j)
            REQUIRE(std::abs(std::abs(h(i, j)) - (i / block == j / block ? share : 0)) <= 1e-15);
}

TEST_CASE("block_hadamard: order 12 is not symmetric, so its transpose is another transform",
          "[transforms]") {
    block_hadamard_map const t(12, 12);
    M const h = transform_laws::matrix_of<M>(t), back = transform_laws::matrix_of<M>(transpose(t));
    CHECK(transform_laws::largest_difference(h, back) > 0.5);
    CHECK(transform_laws::largest_difference(product(h, back), cm::identity_matrix<M>(12)) <= 1e-14);
    CHECK(transform_laws::largest_difference(product(h, h), cm::identity_matrix<M>(12)) > 0.1);
    CHECK(transform_laws::matrix_of<M>(transpose(transpose(t))).values == h.values);
}

TEST_CASE("block_hadamard: the default block is the largest power of two that divides the features",
          "[transforms]") {
    CHECK(block_hadamard_map(14336, 0).block() == 2048);
    CHECK(block_hadamard_map(11008, 0).block() == 256);
    CHECK(block_hadamard_map(7, 0).block() == 1);
    CHECK(dim(block_hadamard_map(11008, 0)) == 11008);
}

TEST_CASE("block_hadamard: sizes without a Hadamard matrix, and features that do not divide, are refused",
          "[transforms]") {
    CHECK_THROWS_AS(block_hadamard_map(0, 0), std::domain_error);
    CHECK_THROWS_WITH(block_hadamard_map(12, 8),
                      Catch::StartsWith("block_hadamard: ") && Catch::Contains("8") && Catch::Contains("12"));
    CHECK_THROWS_AS(block_hadamard_map(12, 6), std::domain_error);
    CHECK_THROWS_AS(block_hadamard_map(9, 3), std::domain_error);
    CHECK_THROWS_WITH(apply(block_hadamard_map(4, 2), M(1, 8)), Catch::Contains("as many columns"));
}
