// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/core/galois_field.hpp>
#include <commutant/transforms/hadamard_matrix.hpp>
#include <commutant/transforms/hadamard_order.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace commutant {

/// Inner product of rows r and s: the exclusive or marks the columns where they differ, popcount counts them.
[[nodiscard]] constexpr std::ptrdiff_t sign_row_product(sign_rows_view rows, std::size_t r, std::size_t s) {
    std::uint64_t const* const left = rows.row(r);
    std::uint64_t const* const right = rows.row(s);
    std::size_t const row_words = words_per_sign_row(rows.order);
    int differing = 0;
    for (std::size_t w = 0; w < row_words; ++w) differing += std::popcount(left[w] ^ right[w]);
    return static_cast<std::ptrdiff_t>(rows.order) - 2 * static_cast<std::ptrdiff_t>(differing);
}

/// Whether the bits behind the last column are clear, as sign_row_product needs them to be.
[[nodiscard]] constexpr bool sign_rows_end_clear(sign_rows_view rows) {
    if (rows.order % 64 == 0) return true;
    for (std::size_t r = 0; r < rows.order; ++r) {
        if (rows.row(r)[rows.order / 64] >> (rows.order % 64) != 0) return false;
    }
    return true;
}

/// Whether each of the rows first .. last - 1 is orthogonal to every row above it.
///
/// Ranges that cover 0 .. order - 1 make the whole proof; they split it where one constant expression would
/// pass the compiler's step limit.
[[nodiscard]] constexpr bool rows_are_orthogonal(sign_rows_view rows, std::size_t first, std::size_t last) {
    if (!sign_rows_end_clear(rows)) return false;
    for (std::size_t r = first; r < last; ++r) {
        for (std::size_t s = 0; s < r; ++s) {
            if (sign_row_product(rows, r, s) != 0) return false;
        }
    }
    return true;
}

/// Whether H H^T = order * I, from all pairs of rows. H^T H = order * I follows, because H is square.
///
/// Cost      order^2 / 2 row products; at compile time within Clang's default limit up to about order 180
[[nodiscard]] constexpr bool is_hadamard(sign_rows_view rows) {
    return rows_are_orthogonal(rows, 0, rows.order);
}

/// Whether H_rc = H_cr for the rows first .. last - 1 and all columns before the diagonal.
[[nodiscard]] constexpr bool is_symmetric(sign_rows_view rows, std::size_t first, std::size_t last) {
    for (std::size_t r = first; r < last; ++r) {
        for (std::size_t c = 0; c < r; ++c) {
            if (rows.is_minus(r, c) != rows.is_minus(c, r)) return false;
        }
    }
    return true;
}

/// Whether H = H^T; only then is H / sqrt(order) its own inverse.
[[nodiscard]] constexpr bool is_symmetric(sign_rows_view rows) { return is_symmetric(rows, 0, rows.order); }

namespace detail {

[[nodiscard]] constexpr bool same_bits(std::uint64_t const* left, std::size_t left_first,
                                       std::uint64_t const* right, std::size_t right_first,
                                       std::size_t count) {
    while (count != 0) {
        std::size_t const taken = count < 64 ? count : 64;
        if (read_bits(left, left_first, taken) != read_bits(right, right_first, taken)) return false;
        left_first += taken;
        right_first += taken;
        count -= taken;
    }
    return true;
}

/// q + 1 if the order is a multiple of it, as in Paley's layout; otherwise 0.
[[nodiscard]] constexpr std::size_t paley_side(sign_rows_view rows, prime_power field_order) {
    if (field_order.prime < 2 || field_order.exponent == 0) return 0;
    std::size_t q = 1;
    for (std::size_t i = 0; i < field_order.exponent; ++i) {
        if (field_order.prime > rows.order / q) return 0;
        q *= static_cast<std::size_t>(field_order.prime);
    }
    return rows.order % (q + 1) == 0 ? q + 1 : 0;
}

}  // namespace detail

/// Whether adding p^digit to the field elements that index rows and columns leaves the matrix as it is.
///
/// Rows and columns are taken as halves of [infinity, 0, 1, .. q - 1], which is Paley's layout; infinity
/// stays where it is. Only the rows first .. last - 1 are looked at, each against the row that it is carried
/// to. Adding p^digit carries that base-p digit round without a carry into the next, so on bits it is a
/// rotation by p^digit within every segment of p^(digit + 1) columns.
///
/// Errors    none: false if order is not a multiple of q + 1 or digit not below the exponent of q
[[nodiscard]] constexpr bool is_translation_invariant(sign_rows_view rows, prime_power field_order,
                                                      std::size_t digit, std::size_t first,
                                                      std::size_t last) {
    std::size_t const side = detail::paley_side(rows, field_order);
    if (side == 0 || digit >= field_order.exponent) return false;
    std::size_t step = 1;
    for (std::size_t i = 0; i < digit; ++i) step *= static_cast<std::size_t>(field_order.prime);
    std::size_t const segment = step * static_cast<std::size_t>(field_order.prime);
    for (std::size_t r = first; r < last; ++r) {
        std::size_t const i = r % side;
        std::size_t const in_segment = i == 0 ? 0 : (i - 1) % segment;
        std::size_t const image = i == 0 ? r : r - in_segment + (in_segment + step) % segment;
        std::uint64_t const* const here = rows.row(r);
        std::uint64_t const* const there = rows.row(image);
        for (std::size_t half = 0; half < rows.order; half += side) {
            if (!detail::same_bits(here, half, there, half, 1)) return false;
            for (std::size_t begin = half + 1; begin < half + side; begin += segment) {
                std::size_t const kept = segment - step;
                if (!detail::same_bits(here, begin, there, begin + step, kept)) return false;
                if (!detail::same_bits(here, begin + kept, there, begin, step)) return false;
            }
        }
    }
    return true;
}

/// Whether the rows infinity and 0 of every half are orthogonal to every other row; false for another layout.
[[nodiscard]] constexpr bool representatives_are_orthogonal(sign_rows_view rows, prime_power field_order) {
    std::size_t const side = detail::paley_side(rows, field_order);
    if (side == 0 || !sign_rows_end_clear(rows)) return false;
    for (std::size_t half = 0; half < rows.order; half += side) {
        for (std::size_t r = half; r < half + 2; ++r) {
            for (std::size_t s = 0; s < rows.order; ++s) {
                if (s != r && sign_row_product(rows, r, s) != 0) return false;
            }
        }
    }
    return true;
}

/// A short proof of is_hadamard for Paley's layout: true proves it, false says nothing.
///
/// If a permutation of the columns carries row r to row r' for every r, then <r, s> = <r', s'>. The
/// translations by p^0, p^1, .. generate the additive group of GF(q), which carries row 0 of a half to every
/// row of that half but infinity, so every pair of rows has the inner product of a pair that begins with one
/// of the representatives.
///
/// Cost      order * (2 halves + exponent) row products instead of order^2 / 2
[[nodiscard]] constexpr bool is_hadamard_by_translations(sign_rows_view rows, prime_power field_order) {
    for (std::size_t digit = 0; digit < field_order.exponent; ++digit) {
        if (!is_translation_invariant(rows, field_order, digit, 0, rows.order)) return false;
    }
    return representatives_are_orthogonal(rows, field_order);
}

}  // namespace commutant
