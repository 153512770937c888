// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/core/galois_field.hpp>
#include <commutant/transforms/hadamard_order.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

// Paley's matrices, folded. Elements of the field come in pairs (a, -a), and chi(-1) is 1 or -1. So Q = chi(i - j) maps what
// a vector has in common at a and -a, and what it has of opposite sign there, apart from each other: two matrices of half
// the size. Of the entries (chi(a - b) +- chi(a + b)) / 2 of either, half are zero. What is left to add is a quarter.
//
// Pairs are numbered by powers of a generator, which makes both matrices circulant: entry (i, j) depends on i - j. A
// block of outputs is then the same additions for every block, on inputs that begin elsewhere.

namespace commutant::kernels::detail {

/// Pairs (a, -a) of non-zero elements.
[[nodiscard]] constexpr std::size_t fold_pairs(std::size_t q) noexcept { return (q - 1) / 2; }

/// Outputs that are added up together: what there are registers for.
[[nodiscard]] constexpr std::size_t fold_block(std::size_t n_pairs) noexcept {
    std::size_t const n_blocks = (n_pairs + 19) / 20;
    return (n_pairs + n_blocks - 1) / n_blocks;
}

/// Pair that the sums of output i begin with: its block's first. The last block is a whole one, and has the outputs that
/// it shares with the one before.
[[nodiscard]] constexpr std::size_t fold_begin(std::size_t n_pairs, std::size_t i) noexcept {
    std::size_t const block = fold_block(n_pairs);
    return i < n_pairs - block ? i - i % block : n_pairs - block;
}

/// Where a fold is written.
///
/// Layout    pair i is (a, -a) at rows row[i] and opposite[i] of a core whose row 0 is the border's. For chi(-1) = -1 a runs
///           through the squares g^(2i), otherwise through g^i, and both parts of pair i are taken with the sign (-1)^i.
///           even[k], odd[k]: what output i takes of the even and of the odd part of pair i - k; for chi(-1) = 1 and
///           k < 0 odd has the other sign. [0] is 0: that entry, a half, is in fold_ends
/// Shape     [n_pairs] each
struct fold_tables {
    std::uint16_t* row;
    std::uint16_t* opposite;
    std::int8_t* even;
    std::int8_t* odd;
};

/// Satisfies g^n = 1 for no n below q - 1.
[[nodiscard]] constexpr bool is_generator(galois_field const& field, galois_field::element g) {
    std::uint64_t const n = field.order() - 1;
    std::uint64_t rest = n;
    for (std::uint64_t divisor = 2; rest != 1; ++divisor) {
        if (rest % divisor != 0) continue;
        if (field.power(g, n / divisor) == 1) return false;
        while (rest % divisor == 0) rest /= divisor;
    }
    return true;
}

/// Folds Q of a field of odd order.
constexpr void write_fold(galois_field const& field, fold_tables const& to) {
    using element = galois_field::element;
    bool const is_skew = field.order() % 4 == 3;
    std::size_t const n = fold_pairs(static_cast<std::size_t>(field.order()));
    element g = 2 % static_cast<element>(field.order());
    while (!is_generator(field, g)) ++g;
    element const step = is_skew ? field.multiply(g, g) : g;
    element a = 1;
    for (std::size_t i = 0; i < n; ++i) {
        to.row[i] = static_cast<std::uint16_t>(1 + a);
        to.opposite[i] = static_cast<std::uint16_t>(1 + field.negate(a));
        int const minus = field.quadratic_character(field.subtract(a, 1));
        int const plus = field.quadratic_character(field.add(a, 1));
        to.even[i] = static_cast<std::int8_t>(i == 0 ? 0 : (minus + plus) / 2);
        to.odd[i] = static_cast<std::int8_t>(i == 0 ? 0 : (minus - plus) / 2);
        a = field.multiply(a, step);
    }
}

/// What output t of a block takes of the pair s behind the block's first: -1, 0 or 1.
template <class Fold>
[[nodiscard]] constexpr int fold_entry(Fold const& fold, std::size_t n_pairs, bool is_skew, bool of_odd,
                                       std::size_t t, std::size_t s) noexcept {
    std::size_t const k = t >= s ? t - s : n_pairs + t - s;
    if (!of_odd) return fold.even[k];
    return t < s && !is_skew ? -fold.odd[k] : fold.odd[k];
}

/// The rest of two outputs a and -a, from the sums E and O of pair i: what the circulants leave out and the identity.
///
/// Equation  y_a = first_factor (E + O + first_weight r), r the even part of pair i if first_is_even, else its odd part;
///           y_-a = second_factor (E - O + second_weight r)
struct fold_ends {
    bool first_is_even, second_is_even;
    std::int8_t first_weight, second_weight, first_factor, second_factor;
};

/// For pair i of a core whose Q has a sign; of_two: chi(2).
[[nodiscard]] constexpr fold_ends make_fold_ends(bool is_skew, int sign, int of_two, std::size_t i) noexcept {
    auto const as_sign = [](int x) { return static_cast<std::int8_t>(x < 0 ? -1 : 1); };
    if (is_skew)
        return {sign * of_two > 0, sign * of_two < 0, as_sign(sign),
                as_sign(of_two),   as_sign(sign),     as_sign(-sign)};
    int const alternating = i % 2 == 0 ? 1 : -1;
    bool const is_even = of_two * alternating > 0;
    return {is_even, is_even, as_sign(alternating), as_sign(of_two), 1, 1};
}

/// A core known to the compiler, so that every addition of it can be written out.
template <std::size_t Order> struct written_core {
    static constexpr hadamard_recipe recipe = *find_hadamard_recipe(Order);
    static constexpr std::size_t q = recipe.field_order;
    static constexpr bool is_skew = q % 4 == 3;
    static constexpr std::size_t n_pairs = fold_pairs(q);
    static constexpr std::size_t block = fold_block(n_pairs);

    struct folded {
        std::array<std::uint16_t, n_pairs> row{}, opposite{};
        std::array<std::int8_t, n_pairs> even{}, odd{};
        int of_two = 0;
    };
    static constexpr folded fold = [] {
        folded f;
        galois_field const field{q};
        write_fold(field, {f.row.data(), f.opposite.data(), f.even.data(), f.odd.data()});
        f.of_two = field.quadratic_character(field.add(1, 1));
        return f;
    }();

    /// See fold_entry.
    [[nodiscard]] static constexpr int entry(bool of_odd, std::size_t t, std::size_t s) noexcept {
        return fold_entry(fold, n_pairs, is_skew, of_odd, t, s);
    }
};

/// Calls f with written_core<core>{} if additions of that core are written out, which are those of common models; whether
/// they are. Clang would not compile more than 256 pairs, unless told to.
///
/// Note      they take compilers some 10 seconds: COMMUTANT_FEW_WRITTEN_CORES leaves two small ones, for results that are the
///           same and builds where speed is not what matters
template <class F> [[nodiscard]] inline bool with_written_core(std::size_t core, F const& f) noexcept {
    switch (core) {
        case 36:
            f(written_core<36>{});
            return true;
        case 44:
            f(written_core<44>{});
            return true;
#if !defined(COMMUTANT_FEW_WRITTEN_CORES)
        case 60:
            f(written_core<60>{});
            return true;
        case 68:
            f(written_core<68>{});
            return true;
        case 76:
            f(written_core<76>{});
            return true;
        case 84:
            f(written_core<84>{});
            return true;
        case 100:
            f(written_core<100>{});
            return true;
        case 108:
            f(written_core<108>{});
            return true;
        case 140:
            f(written_core<140>{});
            return true;
        case 148:
            f(written_core<148>{});
            return true;
        case 344:
            f(written_core<344>{});
            return true;
#endif
        default:
            return false;
    }
}

}  // namespace commutant::kernels::detail
