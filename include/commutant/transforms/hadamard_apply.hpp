// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/transforms/hadamard_matrix.hpp>
#include <commutant/transforms/hadamard_order.hpp>

#include <bit>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>

namespace commutant {

/// Whether x is multiplied by H or by its transpose; they differ for Paley's first construction.
enum class hadamard_side {
    plain,      ///< x <- x H
    transposed  ///< x <- x H^T = order.size() x H^-1
};

/// Whether entry (row, column) of H = H_core (x) H_Sylvester is -1.
///
/// Shape     core: [order.core, order.core]; row, column: 0 .. order.size() - 1
[[nodiscard]] constexpr bool hadamard_entry_is_minus(sign_rows_view core, hadamard_order order,
                                                     std::size_t row, std::size_t column) {
    std::size_t const shared = (row % order.power_of_two) & (column % order.power_of_two);
    return core.is_minus(row / order.power_of_two, column / order.power_of_two) !=
           (std::popcount(shared) % 2 == 1);
}

/// Elements of scratch that apply_hadamard needs.
[[nodiscard]] constexpr std::size_t hadamard_scratch_size(hadamard_order order) noexcept {
    return order.core == 1 ? 0 : order.size() + order.power_of_two;
}

namespace detail {

[[noreturn]] inline void throw_bad_hadamard(char const* what, std::size_t found,
                                            std::string const& expected) {
    throw std::invalid_argument("apply_hadamard: " + std::string{what} + " is " + std::to_string(found) +
                                ", expected " + expected);
}

constexpr void check_hadamard(hadamard_order order, sign_rows_view core, std::size_t scratch_size) {
    if (!std::has_single_bit(order.power_of_two)) {
        throw_bad_hadamard("order.power_of_two", order.power_of_two, "a power of two");
    }
    if (core.order != order.core) throw_bad_hadamard("order of core", core.order, std::to_string(order.core));
    std::size_t const needed = hadamard_scratch_size(order);
    if (scratch_size < needed) {
        throw_bad_hadamard("size of scratch", scratch_size, "at least " + std::to_string(needed));
    }
}

/// x <- x H for Sylvester's H, in place, by butterflies over growing distances.
template <class S> constexpr void apply_sylvester(S* x, std::size_t stride, std::size_t size) {
    for (std::size_t distance = 1; distance < size; distance *= 2) {
        for (std::size_t begin = 0; begin < size; begin += 2 * distance) {
            for (std::size_t j = begin; j < begin + distance; ++j) {
                S const low = x[j * stride];
                S const high = x[(j + distance) * stride];
                x[j * stride] = low + high;
                x[(j + distance) * stride] = low - high;
            }
        }
    }
}

}  // namespace detail

/// x <- x H or x <- x H^T, unnormalised, H = H_core (x) H_Sylvester: the reference for every faster body.
///
/// Equation  y_(c, j) = sum_(r, i) x_(r, i) (H_core)_rc (H_Sylvester)_ij; (H_core)_cr for
///           hadamard_side::transposed
/// Shape     x: [order.size()]; core: [order.core, order.core], the rows of hadamard_rows(order.core), made
///           once by the caller; scratch: [hadamard_scratch_size(order)] at least
/// Layout    feature i = core_index * order.power_of_two + j is x[i * stride]
/// Alias     scratch and x may not overlap
/// Partner   the other side, divided by order.size(), is the inverse; dividing by sqrt(order.size()) makes
///           both orthogonal
/// Cost      order.size() * (log2(order.power_of_two) + order.core) additions, no multiplication
/// Errors    std::invalid_argument if order.power_of_two is not one, core has another order than order.core,
///           or scratch is too short
///
/// S is any type with + and - for which S{} is zero: floating point, or an exact scalar while compiling.
template <class S>
constexpr void apply_hadamard(S* x, std::size_t stride, hadamard_order order, sign_rows_view core,
                              std::span<S> scratch, hadamard_side side = hadamard_side::plain) {
    detail::check_hadamard(order, core, scratch.size());
    std::size_t const width = order.power_of_two;
    if (order.core == 1) return detail::apply_sylvester(x, stride, width);

    // Copied next to each other, so that the loops over j below run over neighbours whatever the stride.
    S* const copy = scratch.data();
    S* const sum = copy + order.size();
    for (std::size_t i = 0; i < order.size(); ++i) copy[i] = x[i * stride];
    for (std::size_t r = 0; r < order.core; ++r) detail::apply_sylvester(copy + r * width, 1, width);
    for (std::size_t c = 0; c < order.core; ++c) {
        for (std::size_t j = 0; j < width; ++j) sum[j] = S{};
        for (std::size_t r = 0; r < order.core; ++r) {
            S const* const from = copy + r * width;
            bool const minus = side == hadamard_side::plain ? core.is_minus(r, c) : core.is_minus(c, r);
            if (minus) {
                for (std::size_t j = 0; j < width; ++j) sum[j] = sum[j] - from[j];
            } else {
                for (std::size_t j = 0; j < width; ++j) sum[j] = sum[j] + from[j];
            }
        }
        for (std::size_t j = 0; j < width; ++j) x[(c * width + j) * stride] = sum[j];
    }
}

}  // namespace commutant
