// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// Paley's second construction, 2 (q + 1) with q = 1 mod 4: every pair of rows is orthogonal, and H is
// symmetric.

#include <commutant/transforms/hadamard_matrix.hpp>
#include <commutant/transforms/hadamard_proof.hpp>

namespace {

using commutant::hadamard_rows;
using commutant::is_hadamard;
using commutant::is_symmetric;

static_assert(is_hadamard(hadamard_rows<36>()));
static_assert(is_hadamard(hadamard_rows<76>()));
static_assert(is_hadamard(hadamard_rows<100>()));
static_assert(is_hadamard(hadamard_rows<148>()));

static_assert(is_symmetric(hadamard_rows<36>()));
static_assert(is_symmetric(hadamard_rows<76>()));
static_assert(is_symmetric(hadamard_rows<100>()));
static_assert(is_symmetric(hadamard_rows<148>()));

}  // namespace
