// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// Order 924 = 2 (461 + 1) for width 29568: adding 1 mod 461 moves the rows of each half, which is checked on
// every bit; then the inner products of four rows with all others stand for all.

#include <commutant/transforms/hadamard_matrix.hpp>
#include <commutant/transforms/hadamard_proof.hpp>

namespace {

constexpr auto rows = commutant::hadamard_rows<924>();
constexpr commutant::prime_power q{461, 1};

static_assert(commutant::is_translation_invariant(rows, q, 0, 0, 924));
static_assert(commutant::representatives_are_orthogonal(rows, q));

// Some rows pair by pair as well, without the group.
static_assert(commutant::rows_are_orthogonal(rows, 922, 924));
static_assert(commutant::is_symmetric(rows, 900, 924));

}  // namespace
