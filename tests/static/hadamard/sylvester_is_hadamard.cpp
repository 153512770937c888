// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// Sylvester's matrices are Hadamard matrices and symmetric; larger ones are tensor products of these.

#include <commutant/transforms/hadamard_matrix.hpp>
#include <commutant/transforms/hadamard_proof.hpp>

namespace {

using commutant::hadamard_rows;
using commutant::is_hadamard;
using commutant::is_symmetric;

static_assert(is_hadamard(hadamard_rows<1>()));
static_assert(is_hadamard(hadamard_rows<2>()));
static_assert(is_hadamard(hadamard_rows<4>()));
static_assert(is_hadamard(hadamard_rows<8>()));
static_assert(is_hadamard(hadamard_rows<16>()));
static_assert(is_hadamard(hadamard_rows<32>()));
static_assert(is_hadamard(hadamard_rows<64>()));
static_assert(is_hadamard(hadamard_rows<128>()));
static_assert(is_symmetric(hadamard_rows<1>()));
static_assert(is_symmetric(hadamard_rows<8>()));
static_assert(is_symmetric(hadamard_rows<128>()));

// 256 rows in four parts, each below the step limit of one constant expression.
constexpr auto rows_256 = hadamard_rows<256>();
static_assert(commutant::rows_are_orthogonal(rows_256, 0, 128));
static_assert(commutant::rows_are_orthogonal(rows_256, 128, 180));
static_assert(commutant::rows_are_orthogonal(rows_256, 180, 220));
static_assert(commutant::rows_are_orthogonal(rows_256, 220, 256));

// Worked out by hand: rows ++++, +-+-, ++--, +--+; a set bit is -1, column 0 is the lowest.
static_assert(hadamard_rows<4>().words == decltype(hadamard_rows<4>().words){0b0000, 0b1010, 0b1100, 0b0110});

}  // namespace
