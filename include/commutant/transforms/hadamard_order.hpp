// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/core/galois_field.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>

namespace commutant {

/// The constructions of a Hadamard matrix of order K that need no table.
enum class hadamard_construction {
    sylvester,  ///< K = 2^k: entry (i, j) is -1 to the number of bits that i and j share
    paley_one,  ///< K = q + 1, q a prime power, q = 3 mod 4: never symmetric above order 2
    paley_two   ///< K = 2 (q + 1), q a prime power, q = 1 mod 4: symmetric
};

/// How one core is built.
struct hadamard_recipe {
    hadamard_construction construction = hadamard_construction::sylvester;
    std::uint64_t field_order = 0;  ///< q of Paley's constructions; 0 for Sylvester's

    friend constexpr bool operator==(hadamard_recipe const&, hadamard_recipe const&) = default;
};

/// Above this order the bit rows of a core are not built: they would pass 512 MiB.
inline constexpr std::size_t largest_hadamard_core = 65536;

/// Above this order a core is not chosen unless the caller asks: it costs a quarter to a half of that many additions per
/// feature.
inline constexpr std::size_t largest_practical_hadamard_core = 1024;

/// The construction of a core of this order: Sylvester's if it has one, else Paley's first, else his second.
///
/// nullopt if none of the three has this order, or if it is above largest_hadamard_core.
[[nodiscard]] constexpr std::optional<hadamard_recipe> find_hadamard_recipe(std::size_t order) {
    if (order > largest_hadamard_core) return std::nullopt;
    if (std::has_single_bit(order)) return hadamard_recipe{hadamard_construction::sylvester, 0};
    if (order % 4 != 0) return std::nullopt;
    if (find_prime_power(order - 1)) return hadamard_recipe{hadamard_construction::paley_one, order - 1};
    std::size_t const field_order = order / 2 - 1;
    if (field_order % 4 == 1 && find_prime_power(field_order)) {
        return hadamard_recipe{hadamard_construction::paley_two, field_order};
    }
    return std::nullopt;
}

/// Satisfied when hadamard_rows<Order>() exists, which is when Order is a power of two or one of Paley's.
///
/// Model: 344 = 7^3 + 1. Non-model: 172, for which neither 171 nor 85 is a prime power.
template <std::size_t Order> concept hadamard_core_order = find_hadamard_recipe(Order)
.has_value();

/// A Hadamard matrix of order core * power_of_two: a core tensored with Sylvester's matrix.
///
/// Feature i of a vector is i = core_index * power_of_two + j.
struct hadamard_order {
    std::size_t core = 1;
    std::size_t power_of_two = 1;

    [[nodiscard]] constexpr std::size_t size() const noexcept { return core * power_of_two; }
    friend constexpr bool operator==(hadamard_order const&, hadamard_order const&) = default;
};

/// The largest power of two that divides n, the block of T_d when no full order is wanted; 0 for n = 0.
[[nodiscard]] constexpr std::size_t largest_power_of_two_divisor(std::size_t n) noexcept {
    return n & (~n + 1);
}

/// n as core * power_of_two with the smallest core, which is 1 when n is a power of two.
///
/// nullopt if no core of at most max_core exists: 13696 = 107 * 128 has none at all.
[[nodiscard]] constexpr std::optional<hadamard_order> find_hadamard_order(
    std::size_t n, std::size_t max_core = largest_practical_hadamard_core) {
    if (n == 0) return std::nullopt;
    std::size_t power_of_two = largest_power_of_two_divisor(n);
    for (; power_of_two != 0; power_of_two /= 2) {
        std::size_t const core = n / power_of_two;
        if (core > max_core) break;
        if (find_hadamard_recipe(core)) return hadamard_order{core, power_of_two};
    }
    return std::nullopt;
}

namespace detail {

[[noreturn]] inline void throw_no_hadamard_order(char const* api, std::size_t n, std::size_t max_core) {
    if (n == 0) throw std::domain_error(std::string{api} + ": order is 0, expected at least 1");
    std::size_t const block = largest_power_of_two_divisor(n);
    throw std::domain_error(
        std::string{api} + ": order " + std::to_string(n) + " = " + std::to_string(n / block) + " * " +
        std::to_string(block) + " has no Sylvester or Paley core of at most " + std::to_string(max_core) +
        "; use blocks of " + std::to_string(block) + ", the largest power of two that divides it");
}

}  // namespace detail

/// find_hadamard_order for callers that cannot go on without one.
///
/// Errors    std::domain_error naming n and the block to fall back to
[[nodiscard]] constexpr hadamard_order require_hadamard_order(
    std::size_t n, std::size_t max_core = largest_practical_hadamard_core) {
    std::optional<hadamard_order> const found = find_hadamard_order(n, max_core);
    if (!found) detail::throw_no_hadamard_order("require_hadamard_order", n, max_core);
    return *found;
}

}  // namespace commutant
