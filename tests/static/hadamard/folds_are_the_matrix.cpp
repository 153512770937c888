// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// What the kernels add for a core, entry by entry, is the core. Core 344 is above Clang's limit of steps: unit.kernels.hadamard
// compares it.

#include <commutant/kernels/detail/hadamard_fold.hpp>
#include <commutant/transforms/hadamard_apply.hpp>
#include <commutant/transforms/hadamard_matrix.hpp>

#include <cstddef>

namespace {

using commutant::hadamard_rows;
using commutant::hadamard_side;
using commutant::kernels::detail::fold_ends;
using commutant::kernels::detail::fold_entry;
using commutant::kernels::detail::make_fold_ends;
using commutant::kernels::detail::written_core;

/// What one output takes of the rows a and -a of a pair.
struct pair_entries {
    int of_first, of_second;

    friend constexpr bool operator==(pair_entries, pair_entries) = default;
};

/// What the outputs of pair i take of the rows of pair j, by the sums of a block that begins with pair 0.
struct folded_entries {
    pair_entries first, second;

    constexpr folded_entries(int even, int odd, int sign, fold_ends const& ends, bool same_pair)
        : first(times(ends.first_factor, even, odd, sign, same_pair ? ends.first_weight : 0,
                      ends.first_is_even)),
          second(times(ends.second_factor, even, -odd, sign, same_pair ? ends.second_weight : 0,
                       ends.second_is_even)) {}

private:
    /// factor (even e + odd o + weight r) with e = sign (x_a + x_-a) and o = sign (x_a - x_-a), r one of them.
    static constexpr pair_entries times(int factor, int even, int odd, int sign, int weight, bool is_even) {
        (is_even ? even : odd) += weight;
        return {factor * sign * (even + odd), factor * sign * (even - odd)};
    }
};

template <std::size_t Order> constexpr bool fold_is_the_core(hadamard_side side, bool odd_parts_turn = true) {
    using core = written_core<Order>;
    constexpr auto rows = hadamard_rows<Order>();
    int const sign = core::is_skew && side == hadamard_side::plain ? -1 : 1;
    auto const entry = [&](std::size_t in, std::size_t out) {
        bool const minus =
            side == hadamard_side::plain ? rows.view().is_minus(in, out) : rows.view().is_minus(out, in);
        return minus ? -1 : 1;
    };
    for (std::size_t i = 0; i < core::n_pairs; ++i) {
        std::size_t const a = core::fold.row[i], b = core::fold.opposite[i];
        fold_ends const ends = make_fold_ends(core::is_skew, sign, core::fold.of_two, i);
        for (std::size_t j = 0; j < core::n_pairs; ++j) {
            bool const is_skew = core::is_skew || !odd_parts_turn;
            int const even = fold_entry(core::fold, core::n_pairs, is_skew, false, i, j);
            int const odd = fold_entry(core::fold, core::n_pairs, is_skew, true, i, j);
            int const alternating = !core::is_skew && j % 2 != 0 ? -1 : 1;
            folded_entries const f(even, odd, alternating, ends, i == j);
            std::size_t const c = core::fold.row[j], d = core::fold.opposite[j];
            if (f.first != pair_entries{entry(c, a), entry(d, a)}) return false;
            if (f.second != pair_entries{entry(c, b), entry(d, b)}) return false;
        }
    }
    return true;
}

template <std::size_t... Order> constexpr bool folds_are_the_cores() {
    return (fold_is_the_core<Order>(hadamard_side::plain) && ...) &&
           (fold_is_the_core<Order>(hadamard_side::transposed) && ...);
}

static_assert(folds_are_the_cores<12, 20, 28, 36, 44, 52, 60>());
static_assert(folds_are_the_cores<68, 76, 84>());
static_assert(fold_is_the_core<100>(hadamard_side::plain));
static_assert(fold_is_the_core<108>(hadamard_side::plain));
static_assert(fold_is_the_core<140>(hadamard_side::plain));
static_assert(fold_is_the_core<148>(hadamard_side::plain));

// Where chi(-1) = 1, odd parts change their sign as the circulant goes on behind its last pair. Where it is -1 they do not.
static_assert(!fold_is_the_core<36>(hadamard_side::plain, false));
static_assert(fold_is_the_core<28>(hadamard_side::plain, false));

}  // namespace
