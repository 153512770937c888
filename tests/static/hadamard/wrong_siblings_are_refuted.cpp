// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// Matrices that are almost Hadamard matrices, refuted by the functions that prove the right ones.

#include <commutant/transforms/hadamard_matrix.hpp>
#include <commutant/transforms/hadamard_proof.hpp>

#include <cstddef>
#include <cstdint>

namespace {

using commutant::hadamard_rows;
using commutant::is_hadamard;
using commutant::is_hadamard_by_translations;
using commutant::is_symmetric;
using commutant::sign_rows;

template <std::size_t Order>
consteval sign_rows<Order> flipped(sign_rows<Order> rows, std::size_t r, std::size_t c) {
    rows.words[r * commutant::words_per_sign_row(Order) + c / 64] ^= std::uint64_t{1} << (c % 64);
    return rows;
}

template <std::size_t Order> consteval sign_rows<Order> paley(std::uint64_t field_order, std::size_t halves) {
    sign_rows<Order> rows;
    commutant::detail::write_paley_rows(rows.words.data(), field_order, halves);
    return rows;
}

// One flipped sign, in a corner, within, and behind bit 64.
static_assert(!is_hadamard(flipped(hadamard_rows<12>(), 0, 0)));
static_assert(!is_hadamard(flipped(hadamard_rows<12>(), 11, 11)));
static_assert(!is_hadamard(flipped(hadamard_rows<148>(), 70, 147)));
static_assert(!is_hadamard(flipped(hadamard_rows<64>(), 63, 63)));
static_assert(is_hadamard(flipped(flipped(hadamard_rows<12>(), 5, 5), 5, 5)));
static_assert(is_hadamard_by_translations(hadamard_rows<12>(), {11, 1}));
static_assert(!is_hadamard_by_translations(flipped(hadamard_rows<12>(), 0, 0), {11, 1}));
static_assert(!is_hadamard_by_translations(flipped(hadamard_rows<12>(), 7, 4), {11, 1}));
static_assert(is_hadamard_by_translations(hadamard_rows<148>(), {73, 1}));
static_assert(!is_hadamard_by_translations(flipped(hadamard_rows<148>(), 70, 147), {73, 1}));
static_assert(!is_symmetric(flipped(hadamard_rows<36>(), 20, 3)));

// One of 854 000 signs of order 924, in the last row and the last column but one.
constexpr auto flipped_924 = flipped(hadamard_rows<924>(), 923, 922);
static_assert(!commutant::rows_are_orthogonal(flipped_924, 923, 924));
static_assert(!commutant::is_translation_invariant(flipped_924, {461, 1}, 0, 0, 924));
static_assert(!is_symmetric(flipped_924, 923, 924));

// Every comparison of the translations on its own: within a run, round its end, and at infinity.
constexpr commutant::prime_power eleven{11, 1};
static_assert(commutant::is_translation_invariant(hadamard_rows<12>(), eleven, 0, 0, 12));
static_assert(!commutant::is_translation_invariant(flipped(hadamard_rows<12>(), 5, 4), eleven, 0, 5, 6));
static_assert(!commutant::is_translation_invariant(flipped(hadamard_rows<12>(), 5, 11), eleven, 0, 5, 6));
static_assert(!commutant::is_translation_invariant(flipped(hadamard_rows<12>(), 5, 0), eleven, 0, 5, 6));
static_assert(!commutant::is_translation_invariant(flipped(hadamard_rows<12>(), 0, 11), eleven, 0, 0, 1));
static_assert(commutant::is_translation_invariant(flipped(hadamard_rows<12>(), 5, 4), eleven, 0, 6, 12));

// Bits behind the last column would be counted as signs: all entries of these two are +1, and yet any two
// rows differ in half as many bits as they have columns.
static_assert(!is_hadamard(sign_rows<2>{{0b000, 0b100}}));
constexpr sign_rows<4> all_plus{{0b00010000, 0b00100000, 0b01000000, 0b10000000}};
static_assert(commutant::sign_row_product(all_plus, 0, 3) == 0);
static_assert(!is_hadamard(all_plus));
static_assert(commutant::is_translation_invariant(all_plus, {3, 1}, 0, 0, 4));
static_assert(!is_hadamard_by_translations(all_plus, {3, 1}));

// The right formula with the wrong residue of q mod 4. Translations move these rows too: it is the inner
// product of the representatives that refutes them.
static_assert(is_hadamard(paley<28>(27, 1)));
static_assert(!is_hadamard(paley<14>(13, 1)));
static_assert(!is_hadamard(paley<26>(25, 1)));
static_assert(commutant::is_translation_invariant(paley<14>(13, 1), {13, 1}, 0, 0, 14));
static_assert(!is_hadamard_by_translations(paley<14>(13, 1), {13, 1}));
static_assert(is_hadamard(paley<28>(13, 2)));
static_assert(!is_hadamard(paley<24>(11, 2)));
static_assert(commutant::is_translation_invariant(paley<24>(11, 2), {11, 1}, 0, 0, 24));
static_assert(!is_hadamard_by_translations(paley<24>(11, 2), {11, 1}));

// A row replaced by a copy of another, neither being a representative: here it is the translations that
// refute.
constexpr auto copied = [] {
    auto rows = hadamard_rows<12>();
    rows.words[7] = rows.words[4];
    return rows;
}();
static_assert(!is_hadamard(copied));
static_assert(commutant::representatives_are_orthogonal(copied, eleven));
static_assert(!is_hadamard_by_translations(copied, eleven));

// GF(27) taken for the integers mod 27.
static_assert(is_hadamard_by_translations(hadamard_rows<28>(), {3, 3}));
static_assert(!is_hadamard_by_translations(hadamard_rows<28>(), {27, 1}));

// A layout of other sides than q + 1 proves nothing.
static_assert(commutant::detail::paley_side(hadamard_rows<12>(), {11, 1}) == 12);
static_assert(commutant::detail::paley_side(hadamard_rows<12>(), {7, 1}) == 0);
static_assert(!is_hadamard_by_translations(hadamard_rows<12>(), {7, 1}));
static_assert(!is_hadamard_by_translations(hadamard_rows<4>(), {0, 1}));
static_assert(!is_hadamard_by_translations(hadamard_rows<4>(), {3, 0}));
static_assert(!is_hadamard_by_translations(hadamard_rows<4>(), {3, 64}));

}  // namespace
