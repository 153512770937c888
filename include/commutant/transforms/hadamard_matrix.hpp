// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/core/galois_field.hpp>
#include <commutant/transforms/hadamard_order.hpp>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace commutant {

/// 64-bit words that one row of order signs takes.
[[nodiscard]] constexpr std::size_t words_per_sign_row(std::size_t order) noexcept {
    return (order + 63) / 64;
}

/// A square matrix of signs that somebody else owns, one bit per entry.
///
/// Layout    entry (r, c) is bit c % 64 of word r * words_per_sign_row(order) + c / 64; a set bit is -1; the
///           bits behind the last column are clear
struct sign_rows_view {
    std::uint64_t const* words = nullptr;
    std::size_t order = 0;

    [[nodiscard]] constexpr std::uint64_t const* row(std::size_t r) const {
        return words + r * words_per_sign_row(order);
    }
    [[nodiscard]] constexpr bool is_minus(std::size_t r, std::size_t c) const {
        return (row(r)[c / 64] >> (c % 64)) & 1;
    }
};

/// A square matrix of signs whose order is known to the compiler; laid out as sign_rows_view says.
template <std::size_t Order> struct sign_rows {
    static constexpr std::size_t order = Order;
    std::array<std::uint64_t, Order * words_per_sign_row(Order)> words{};

    [[nodiscard]] constexpr sign_rows_view view() const { return {words.data(), Order}; }
    constexpr operator sign_rows_view() const { return view(); }
};

/// A square matrix of signs whose order is known at run time; laid out as sign_rows_view says.
struct dynamic_sign_rows {
    std::size_t order = 0;
    std::vector<std::uint64_t> words{};

    [[nodiscard]] constexpr sign_rows_view view() const { return {words.data(), order}; }
    constexpr operator sign_rows_view() const { return view(); }
};

namespace detail {

// Bits are handled a word at a time: entry by entry, an order of 924 would pass the step limit of constant
// evaluation (1 048 576 in Clang) many times over.

/// The count (1 .. 64) bits of words that begin at bit position first, lowest first.
[[nodiscard]] constexpr std::uint64_t read_bits(std::uint64_t const* words, std::size_t first,
                                                std::size_t count) {
    std::size_t const offset = first % 64;
    std::uint64_t bits = words[first / 64] >> offset;
    if (offset + count > 64) bits |= words[first / 64 + 1] << (64 - offset);
    return count == 64 ? bits : bits & ((std::uint64_t{1} << count) - 1);
}

/// Copies count bits onto bits that are clear, each exclusive-or flip.
constexpr void copy_bits(std::uint64_t* to, std::size_t to_first, std::uint64_t const* from,
                         std::size_t from_first, std::size_t count, bool flip) {
    while (count != 0) {
        std::size_t const offset = to_first % 64;
        std::size_t const taken = count < 64 - offset ? count : 64 - offset;
        std::uint64_t bits = read_bits(from, from_first, taken);
        if (flip) bits ^= ~std::uint64_t{0} >> (64 - taken);
        to[to_first / 64] |= bits << offset;
        to_first += taken;
        from_first += taken;
        count -= taken;
    }
}

constexpr void set_bit(std::uint64_t* words, std::size_t at) {
    words[at / 64] |= std::uint64_t{1} << (at % 64);
}

/// Sylvester's matrix: row r begins as +1 and doubles once per bit of the order, negated where r has the bit.
constexpr void write_sylvester_rows(std::uint64_t* words, std::size_t order) {
    std::size_t const row_words = words_per_sign_row(order);
    for (std::size_t r = 0; r < order; ++r) {
        std::uint64_t* const row = words + r * row_words;
        std::size_t width = 1;
        for (; width < order && width < 64; width *= 2) {
            row[0] |= (r & width ? row[0] ^ ((std::uint64_t{1} << width) - 1) : row[0]) << width;
        }
        for (; width < order; width *= 2) {
            for (std::size_t w = 0; w < width / 64; ++w) row[width / 64 + w] = r & width ? ~row[w] : row[w];
        }
    }
}

/// Paley's matrices around Q_ij = chi(i - j), i and j in GF(q), chi the quadratic character.
///
/// Equation  C = [0, 1; e 1, Q] with e = -1 for one half, 1 for two halves
///           one half (Paley I):   H = C + I
///           two halves (Paley II): H = [C + I, C - I; C - I, -C - I]
/// Shape     words: [halves (q + 1) * words_per_sign_row(halves (q + 1))], all clear before
///
/// H is a Hadamard matrix for one half if q = 3 mod 4, for two halves if q = 1 mod 4. This function writes
/// what it is asked for all the same, so that the proofs have something to refute.
constexpr void write_paley_rows(std::uint64_t* words, std::uint64_t field_order, std::size_t halves) {
    galois_field const field{field_order};
    std::size_t const q = static_cast<std::size_t>(field_order);
    std::size_t const p = field.characteristic();
    std::size_t const side = q + 1;
    std::size_t const row_words = words_per_sign_row(halves * side);
    using element = galois_field::element;

    std::vector<unsigned char> is_square(q, 0);
    for (std::size_t a = 0; a < q; ++a) {
        is_square[field.multiply(static_cast<element>(a), static_cast<element>(a))] = 1;
    }

    // Elements that share all base-p digits but the last are neighbours. Over such a run of columns j, i - j
    // runs backwards through another run, cyclically; so each run is stored backwards and twice, and a piece
    // of a row of Q is a window of p bits of it.
    std::vector<std::uint64_t> windows((2 * q + 63) / 64, 0);
    for (std::size_t a = 0; a < q; ++a) {
        if (is_square[a] != 0) continue;
        std::size_t const run = a - a % p;
        std::size_t const backwards = a % p == 0 ? 0 : p - a % p;
        set_bit(windows.data(), 2 * run + backwards);
        set_bit(windows.data(), 2 * run + backwards + p);
    }
    for (std::size_t row_run = 0; row_run < q; row_run += p) {
        for (std::size_t column_run = 0; column_run < q; column_run += p) {
            std::size_t const run =
                field.subtract(static_cast<element>(row_run), static_cast<element>(column_run));
            for (std::size_t low = 0; low < p; ++low) {
                std::size_t const first = 2 * run + (low == 0 ? 0 : p - low);
                for (std::size_t a = 0; a < halves; ++a) {
                    std::uint64_t* const row = words + (a * side + 1 + row_run + low) * row_words;
                    for (std::size_t b = 0; b < halves; ++b) {
                        copy_bits(row, b * side + 1 + column_run, windows.data(), first, p, a == 1 && b == 1);
                    }
                }
            }
        }
    }

    // The border and the diagonal; what is +1 there is clear already.
    if (halves == 1) {
        for (std::size_t i = 1; i < side; ++i) set_bit(words + i * row_words, 0);
        return;
    }
    for (std::size_t i = 0; i < side; ++i) {
        std::uint64_t* const upper = words + i * row_words;
        std::uint64_t* const lower = words + (side + i) * row_words;
        set_bit(upper, side + i);
        set_bit(lower, i);
        set_bit(lower, side);
        set_bit(words + side * row_words, side + i);
    }
}

constexpr void write_hadamard_rows(std::uint64_t* words, std::size_t order, hadamard_recipe recipe) {
    switch (recipe.construction) {
        case hadamard_construction::sylvester:
            return write_sylvester_rows(words, order);
        case hadamard_construction::paley_one:
            return write_paley_rows(words, recipe.field_order, 1);
        case hadamard_construction::paley_two:
            return write_paley_rows(words, recipe.field_order, 2);
    }
}

[[noreturn]] inline void throw_no_hadamard_rows(std::size_t order) {
    std::size_t const block = largest_power_of_two_divisor(order);
    throw std::domain_error("hadamard_rows: order is " + std::to_string(order) + ", expected at most " +
                            std::to_string(largest_hadamard_core) +
                            " and 2^k, q + 1 (q = 3 mod 4) or 2 (q + 1) (q = 1 mod 4) for a prime power q" +
                            (order == 0 ? ""
                                        : "; use blocks of " + std::to_string(block) +
                                              ", the largest power of two that divides it"));
}

}  // namespace detail

/// The rows of a Hadamard matrix, H H^T = Order * I, unnormalised; Order known to the compiler.
///
/// Equation  see hadamard_construction and detail::write_paley_rows
/// Shape     [Order, Order] signs
/// Law       is_hadamard (hadamard_proof.hpp)
/// Partner   the inverse of H / sqrt(Order) is its transpose, which differs from it unless is_symmetric
template <std::size_t Order>
    requires hadamard_core_order<Order>
[[nodiscard]] constexpr sign_rows<Order> hadamard_rows() {
    sign_rows<Order> rows;
    detail::write_hadamard_rows(rows.words.data(), Order, *find_hadamard_recipe(Order));
    return rows;
}

/// The rows of a Hadamard matrix, as hadamard_rows<Order>() writes them; order known at run time.
///
/// Errors    std::domain_error if find_hadamard_recipe knows no core of this order
[[nodiscard]] constexpr dynamic_sign_rows hadamard_rows(std::size_t order) {
    std::optional<hadamard_recipe> const recipe = find_hadamard_recipe(order);
    if (!recipe) detail::throw_no_hadamard_rows(order);
    dynamic_sign_rows rows{order, std::vector<std::uint64_t>(order * words_per_sign_row(order), 0)};
    detail::write_hadamard_rows(rows.words.data(), order, *recipe);
    return rows;
}

}  // namespace commutant
