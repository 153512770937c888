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

/// Rows of a core that are summed together.
[[nodiscard]] constexpr std::size_t core_group_size(std::size_t core) noexcept { return core <= 64 ? 4 : 6; }

/// Which signed sum of a group output c takes, and its sign: 2 m + (1 if sum m is subtracted).
///
/// Layout    group g holds rows g * group_size ..; its first half is h = (rows + 1) / 2 of them. Bits of m, set for
///           minus: rows 1 .. h - 1 against row 0, then the second half against the first, then rows h + 1 .. against
///           row h
[[nodiscard]] constexpr std::uint16_t core_term(sign_rows_view core, hadamard_side side, std::size_t c,
                                                std::size_t g) {
    std::size_t const group_size = core_group_size(core.order);
    std::size_t const first = g * group_size;
    std::size_t const rows = std::min(group_size, core.order - first);
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
/// about core / group + 2^(group - 1) / group additions per feature in place of core.
///
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
        group_size_ = detail::core_group_size(order.core);
        n_groups_ = (order.core + group_size_ - 1) / group_size_;
        terms_.reserve(order.core * n_groups_);
        for (std::size_t c = 0; c < order.core; ++c)
            for (std::size_t g = 0; g < n_groups_; ++g) terms_.push_back(detail::core_term(rows, side, c, g));
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
    [[nodiscard]] std::size_t group_size() const noexcept { return group_size_; }
    [[nodiscard]] std::size_t n_groups() const noexcept { return n_groups_; }
    /// Sums that a whole group has.
    [[nodiscard]] std::size_t sums_per_group() const noexcept { return std::size_t{1} << (group_size_ - 1); }
    /// Rows of group g; the last group may be smaller.
    [[nodiscard]] std::size_t group_rows(std::size_t g) const noexcept {
        return std::min(group_size_, core() - g * group_size_);
    }
    /// n_groups() terms of output row c, each 2 m + (1 if sum m is subtracted).
    [[nodiscard]] std::uint16_t const* terms(std::size_t c) const noexcept {
        return terms_.data() + c * n_groups_;
    }

    /// Elements of scratch that applying the plan in place needs, of the type it is applied to: a copy with its rows
    /// apart, and sums.
    [[nodiscard]] std::size_t scratch_size() const noexcept {
        if (core() == 1) return 0;
        return alignment + core() * (butterflies() + row_gap) +
               std::max(n_groups_ * sums_per_group(), 2 * table_size);
    }

    /// Elements between rows of the copy, so that they do not compete for the same places in the cache.
    static constexpr std::size_t row_gap = 16;
    /// Elements that may be left out to begin at a cache line.
    static constexpr std::size_t alignment = 16;
    /// Elements of sums that stay close to the processor.
    static constexpr std::size_t table_size = 8192;

private:
    hadamard_order order_;
    hadamard_side side_;
    std::size_t butterflies_ = 0;
    std::size_t group_size_ = 1;
    std::size_t n_groups_ = 0;
    std::vector<std::uint16_t> terms_;
};

}  // namespace commutant::kernels
