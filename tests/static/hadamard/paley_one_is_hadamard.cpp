// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// Paley's first construction, q + 1 with q = 3 mod 4: every pair of rows is orthogonal, and H is never
// symmetric.

#include <commutant/transforms/hadamard_matrix.hpp>
#include <commutant/transforms/hadamard_proof.hpp>

namespace {

using commutant::hadamard_rows;
using commutant::is_hadamard;
using commutant::is_symmetric;

static_assert(is_hadamard(hadamard_rows<12>()));
static_assert(is_hadamard(hadamard_rows<20>()));
static_assert(is_hadamard(hadamard_rows<28>()));
static_assert(is_hadamard(hadamard_rows<44>()));
static_assert(is_hadamard(hadamard_rows<60>()));
static_assert(is_hadamard(hadamard_rows<68>()));
static_assert(is_hadamard(hadamard_rows<84>()));

static_assert(!is_symmetric(hadamard_rows<12>()));
static_assert(!is_symmetric(hadamard_rows<28>()));
static_assert(!is_symmetric(hadamard_rows<84>()));

// q = 3 is the smallest. Worked out by hand: chi = 0, 1, -1, rows ++++, -+-+, -++-, --++.
constexpr auto smallest = [] {
    commutant::sign_rows<4> rows;
    commutant::detail::write_paley_rows(rows.words.data(), 3, 1);
    return rows;
}();
static_assert(smallest.words == decltype(smallest.words){0b0000, 0b0101, 0b1001, 0b0011});
static_assert(is_hadamard(smallest));

}  // namespace
