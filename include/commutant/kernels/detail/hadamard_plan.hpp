// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/transforms/hadamard_apply.hpp>
#include <commutant/transforms/hadamard_matrix.hpp>
#include <commutant/transforms/hadamard_order.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

namespace commutant::kernels {
namespace detail {

/// Rows of n that are summed together: more of them where more outputs share the sums, and no single row left over.
[[nodiscard]] constexpr std::size_t core_group_size(std::size_t n) noexcept {
    return n <= 64 ? 4 : n % 5 != 1 ? 5 : 6;
}

/// Which signed sum of a group output c of the first n rows and columns takes, and its sign: 2 m + (1 if sum m is
/// subtracted).
///
/// Layout    group g holds rows g * group_size ..; its first half is h = (rows + 1) / 2 of them. Bits of m, set for
///           minus: rows 1 .. h - 1 against row 0, then the second half against the first, then rows h + 1 .. against
///           row h
[[nodiscard]] constexpr std::uint16_t core_term(sign_rows_view core, std::size_t n, hadamard_side side,
                                                std::size_t c, std::size_t g) {
    std::size_t const group_size = core_group_size(n);
    std::size_t const first = g * group_size;
    std::size_t const rows = std::min(group_size, n - first);
    bool minus[8] = {};
    for (std::size_t i = 0; i < rows; ++i)
        minus[i] = side == hadamard_side::plain ? core.is_minus(first + i, c) : core.is_minus(c, first + i);
    std::size_t const half = (rows + 1) / 2;
    unsigned sum = 0;
    for (std::size_t i = 1; i < rows; ++i)
        if (minus[i] != minus[i > half ? half : 0]) sum |= 1U << (i - 1);
    return static_cast<std::uint16_t>(2 * sum + (minus[0] ? 1 : 0));
}

}  // namespace detail

/// What applying H = H_core (x) H_Sylvester needs to know, made once; applying it allocates nothing.
///
/// The core's rows are taken in groups. Within a group every signed sum is formed once, up to a sign: of the first
/// half, of the second half, and first +- second. Each output then adds one sum per group, with its sign:
/// about core / group + 2^(group - 1) / group additions per feature in place of core. A core of Paley's second
/// construction is made of one of half its order, K = C + I, so that core / 2 takes the place of core:
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
        if (order.core == 1) return;
        if (std::has_single_bit(order.core)) {  // the same matrix, and the butterflies are faster
            butterflies_ = order.size();
            return;
        }
        butterflies_ = order.power_of_two;
        dynamic_sign_rows const rows = hadamard_rows(order.core);
        if (find_hadamard_recipe(order.core)->construction == hadamard_construction::paley_two) n_halves_ = 2;
        group_size_ = detail::core_group_size(core_rows());
        n_groups_ = (core_rows() + group_size_ - 1) / group_size_;
        terms_.reserve(core_rows() * n_groups_);
        for (std::size_t first = 0; first < n_groups_; first += groups_at_once())
            for (std::size_t c = 0; c < core_rows(); ++c)
                for (std::size_t g = first; g < groups_end(first); ++g)
                    terms_.push_back(
                        static_cast<std::uint16_t>(2 * (g - first) * sums_per_group() +
                                                   detail::core_term(rows, core_rows(), side, c, g)));
    }
    /// Features in one vector: n = find_hadamard_order's.
    explicit hadamard_plan(std::size_t n, hadamard_side side = hadamard_side::plain)
        : hadamard_plan(require_hadamard_order(n), side) {}

    [[nodiscard]] hadamard_order order() const noexcept { return order_; }
    [[nodiscard]] hadamard_side side() const noexcept { return side_; }
    [[nodiscard]] std::size_t size() const noexcept { return order_.size(); }

    /// Length of the runs that only butterflies work on; size() without a core.
    [[nodiscard]] std::size_t butterflies() const noexcept {
        return butterflies_ == 0 ? size() : butterflies_;
    }
    /// Rows of the core; 1 without one.
    [[nodiscard]] std::size_t core() const noexcept { return size() / butterflies(); }
    /// 2 where the core is made of one of half its order.
    [[nodiscard]] std::size_t n_halves() const noexcept { return n_halves_; }
    /// Rows and columns of what the core is made of.
    [[nodiscard]] std::size_t core_rows() const noexcept { return core() / n_halves_; }
    [[nodiscard]] std::size_t group_size() const noexcept { return group_size_; }
    [[nodiscard]] std::size_t n_groups() const noexcept { return n_groups_; }
    /// Sums that a whole group has.
    [[nodiscard]] std::size_t sums_per_group() const noexcept { return std::size_t{1} << (group_size_ - 1); }
    /// Rows of group g; the last group may be smaller.
    [[nodiscard]] std::size_t group_rows(std::size_t g) const noexcept {
        return std::min(group_size_, core_rows() - g * group_size_);
    }
    /// Groups whose sums are in one table, so that the table stays close to the processor.
    [[nodiscard]] std::size_t groups_at_once() const noexcept { return table_size / sums_per_group(); }
    /// Behind the last group of the table that begins with group first.
    [[nodiscard]] std::size_t groups_end(std::size_t first) const noexcept {
        return std::min(n_groups_, first + groups_at_once());
    }
    /// Terms of the groups first .. groups_end(first), those of output 0 and then those of output 1 ..: each 2 m + (1 if
    /// it is subtracted), m the number of a sum in the table.
    [[nodiscard]] std::uint16_t const* terms(std::size_t first) const noexcept {
        return terms_.data() + first * core_rows();
    }

    /// Elements of scratch that applying the plan in place needs, of the type it is applied to: a copy with its rows
    /// apart, and sums.
    [[nodiscard]] std::size_t scratch_size() const noexcept {
        if (core() == 1) return 0;
        return alignment + core() * (butterflies() + row_gap) +
               std::max(n_halves_ * n_groups_ * sums_per_group(), table_size * largest_sum);
    }

    /// Elements between rows of the copy, so that they do not compete for the same places in the cache.
    static constexpr std::size_t row_gap = 16;
    /// Elements that may be left out to begin at a cache line.
    static constexpr std::size_t alignment = 16;
    /// Sums in a table.
    static constexpr std::size_t table_size = 128;
    /// Elements that a sum may take: those of two registers of sixteen and with both signs.
    static constexpr std::size_t largest_sum = 64;

private:
    hadamard_order order_;
    hadamard_side side_;
    std::size_t butterflies_ = 0;
    std::size_t n_halves_ = 1;
    std::size_t group_size_ = 1;
    std::size_t n_groups_ = 0;
    std::vector<std::uint16_t> terms_;
};

}  // namespace commutant::kernels
