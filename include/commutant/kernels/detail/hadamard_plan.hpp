// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/core/galois_field.hpp>
#include <commutant/kernels/detail/hadamard_fold.hpp>
#include <commutant/transforms/hadamard_apply.hpp>
#include <commutant/transforms/hadamard_matrix.hpp>
#include <commutant/transforms/hadamard_order.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace commutant::kernels {

/// What applying H = H_core (x) H_Sylvester needs to know, made once; applying it allocates nothing.
///
/// A core of Paley's is folded, see hadamard_fold.hpp. One of his second construction is made of one of half its order,
/// K = C + I:
///
/// Equation  x [K, K - 2 I; K - 2 I, -K] = [(x_0 + x_1) K - 2 x_1, (x_0 - x_1) K - 2 x_0]
/// Errors    std::invalid_argument if order.power_of_two is not one; std::domain_error if there is no such core
class hadamard_plan {
public:
    explicit hadamard_plan(hadamard_order order, hadamard_side side = hadamard_side::plain)
        : order_(order), side_(side) {
        if (!std::has_single_bit(order.power_of_two))
            throw std::invalid_argument("hadamard_plan: order.power_of_two is " +
                                        std::to_string(order.power_of_two) + ", expected a power of two");
        butterflies_ = order.size();
        if (std::has_single_bit(order.core)) return;  // the same matrix, and the butterflies are faster
        std::optional<hadamard_recipe> const recipe = find_hadamard_recipe(order.core);
        if (!recipe) commutant::detail::throw_no_hadamard_rows(order.core);
        butterflies_ = order.power_of_two;
        core_ = order.core;
        n_halves_ = recipe->construction == hadamard_construction::paley_two ? 2 : 1;
        fold(galois_field(recipe->field_order));
    }
    /// Features in one vector: n = find_hadamard_order's.
    explicit hadamard_plan(std::size_t n, hadamard_side side = hadamard_side::plain)
        : hadamard_plan(require_hadamard_order(n), side) {}

    [[nodiscard]] hadamard_order order() const noexcept { return order_; }
    [[nodiscard]] hadamard_side side() const noexcept { return side_; }
    [[nodiscard]] std::size_t size() const noexcept { return order_.size(); }

    /// Length of the runs that only butterflies work on; size() without a core.
    [[nodiscard]] std::size_t butterflies() const noexcept { return butterflies_; }
    /// Rows of the core; 1 without one.
    [[nodiscard]] std::size_t core() const noexcept { return core_; }
    /// 2 where the core is made of one of half its order.
    [[nodiscard]] std::size_t n_halves() const noexcept { return n_halves_; }
    /// Rows and columns of what the core is made of.
    [[nodiscard]] std::size_t core_rows() const noexcept { return core() / n_halves_; }

    // Below, what only a plan with a core has.

    /// Pairs of rows that the core is folded into, see detail::fold_tables.
    [[nodiscard]] std::size_t n_pairs() const noexcept { return row_.size(); }
    /// [n_pairs] each.
    [[nodiscard]] std::uint16_t const* rows() const noexcept { return row_.data(); }
    [[nodiscard]] std::uint16_t const* opposite_rows() const noexcept { return opposite_.data(); }
    /// Whether chi(-1) = -1, and the core is not symmetric.
    [[nodiscard]] bool is_skew() const noexcept { return is_skew_; }
    /// Sign of the core's Q and of its first column.
    [[nodiscard]] int sign() const noexcept { return is_skew_ && side_ == hadamard_side::plain ? -1 : 1; }
    /// Outputs that are added up together.
    [[nodiscard]] std::size_t block() const noexcept { return detail::fold_block(n_pairs()); }
    /// What output t of any block takes of the parts behind the block's first: element t - s is the factor, -1, 0 or 1, of
    /// that of pair first + s, for t < block() and s < n_pairs().
    template <class T> [[nodiscard]] T const* entries(bool of_odd) const noexcept {
        auto const& all = [this]() -> auto& {
            if constexpr (sizeof(T) == 4)
                return entries_;
            else
                return wide_entries_;
        }
        ();
        return all[of_odd ? 1 : 0].data() + n_pairs() - 1;
    }
    /// How the outputs of pair i are put together.
    [[nodiscard]] detail::fold_ends const& ends(std::size_t pair) const noexcept { return ends_[pair % 2]; }

    /// Elements of scratch that applying the plan in place needs, of the type it is applied to: a copy, whose rows may lie
    /// apart, and the parts of the core's rows.
    [[nodiscard]] std::size_t scratch_size() const noexcept {
        if (core() == 1) return 0;
        return alignment + core() * (butterflies() + row_gap) + parts_per_pair * n_pairs() * largest_part;
    }

    /// Elements between rows of the copy, so that they do not compete for the same places in the cache.
    static constexpr std::size_t row_gap = 16;
    /// Elements that may be left out to begin at a cache line.
    static constexpr std::size_t alignment = 16;
    /// Even and odd parts, twice each, and two sums.
    static constexpr std::size_t parts_per_pair = 6;
    /// Elements that a part may take: two registers of sixteen.
    static constexpr std::size_t largest_part = 32;

private:
    void fold(galois_field const& field) {
        is_skew_ = field.order() % 4 == 3;
        std::size_t const n = detail::fold_pairs(static_cast<std::size_t>(field.order()));
        row_.resize(n);
        opposite_.resize(n);
        struct {
            std::vector<std::int8_t> even, odd;
        } folded{std::vector<std::int8_t>(n), std::vector<std::int8_t>(n)};
        detail::write_fold(field, {row_.data(), opposite_.data(), folded.even.data(), folded.odd.data()});
        for (bool const of_odd : {false, true})
            for (std::size_t k = 0; k < n + block() - 1; ++k) {  // t - s = k + 1 - n
                int const entry = k < n ? detail::fold_entry(folded, n, is_skew_, of_odd, 0, n - 1 - k)
                                        : detail::fold_entry(folded, n, is_skew_, of_odd, k + 1 - n, 0);
                entries_[of_odd ? 1 : 0].push_back(static_cast<float>(entry));
                wide_entries_[of_odd ? 1 : 0].push_back(entry);
            }
        int const of_two = field.quadratic_character(field.add(1, 1));
        for (std::size_t i = 0; i < 2; ++i) ends_[i] = detail::make_fold_ends(is_skew_, sign(), of_two, i);
    }

    hadamard_order order_;
    hadamard_side side_;
    std::size_t butterflies_ = 0;
    std::size_t core_ = 1;
    std::size_t n_halves_ = 1;
    bool is_skew_ = false;
    std::vector<std::uint16_t> row_{}, opposite_{};
    std::vector<float> entries_[2] = {};
    std::vector<double> wide_entries_[2] = {};
    detail::fold_ends ends_[2] = {};
};

}  // namespace commutant::kernels
