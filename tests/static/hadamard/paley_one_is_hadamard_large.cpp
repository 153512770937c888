// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// Paley's first construction at the larger orders of published models.

#include <commutant/transforms/hadamard_matrix.hpp>
#include <commutant/transforms/hadamard_proof.hpp>

namespace {

using commutant::hadamard_rows;
using commutant::is_hadamard;
using commutant::is_symmetric;

static_assert(is_hadamard(hadamard_rows<108>()));
static_assert(is_hadamard(hadamard_rows<140>()));
static_assert(!is_symmetric(hadamard_rows<108>()));
static_assert(!is_symmetric(hadamard_rows<140>()));

}  // namespace
