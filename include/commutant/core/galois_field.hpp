// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>

namespace commutant {

/// A prime power p^k, taken apart.
struct prime_power {
    std::uint64_t prime = 0;
    std::size_t exponent = 0;

    friend constexpr bool operator==(prime_power const&, prime_power const&) = default;
};

/// The prime and the exponent of a prime power; nullopt for every other number, 0 and 1 included.
///
/// Cost      trial division, at most sqrt(value) steps
[[nodiscard]] constexpr std::optional<prime_power> find_prime_power(std::uint64_t value) {
    if (value < 2) return std::nullopt;
    std::uint64_t prime = value;
    for (std::uint64_t divisor = 2; divisor <= value / divisor; ++divisor) {
        if (value % divisor == 0) {
            prime = divisor;
            break;
        }
    }
    std::size_t exponent = 0;
    for (; value % prime == 0; value /= prime) ++exponent;
    if (value != 1) return std::nullopt;
    return prime_power{prime, exponent};
}

namespace detail {

[[noreturn]] inline void throw_no_galois_field(std::uint64_t order, std::uint64_t largest_order) {
    throw std::domain_error("galois_field: order is " + std::to_string(order) +
                            ", expected a prime power of at most " + std::to_string(largest_order));
}

}  // namespace detail

/// The finite field GF(q), q = p^k: polynomials over the integers mod p, modulo an irreducible of degree k.
///
/// The modulus is found by search: the monic irreducible polynomial whose lower coefficients, read as the
/// digits of a number in base p, make the smallest number. An element is the number in 0 .. q - 1 whose
/// base-p digits are its coefficients, constant term first, so 0 is zero, 1 is one, and for k = 1 this is
/// arithmetic mod p.
///
/// Shape     element: 0 .. q - 1; arguments outside are a precondition violation
/// Errors    std::domain_error if q is no prime power or above largest_order
class galois_field {
public:
    using element = std::uint32_t;
    static constexpr std::uint64_t largest_order = std::uint64_t{1} << 31;

    constexpr explicit galois_field(std::uint64_t order) : order_{order} {
        std::optional<prime_power> const factors =
            order <= largest_order ? find_prime_power(order) : std::nullopt;
        if (!factors) detail::throw_no_galois_field(order, largest_order);
        characteristic_ = static_cast<element>(factors->prime);
        degree_ = factors->exponent;
        std::uint64_t lower = 0;
        do {
            modulus_ = digits_of(lower++);
            modulus_.of[degree_] = 1;
        } while (!is_irreducible(modulus_, degree_));
    }

    [[nodiscard]] constexpr std::uint64_t order() const noexcept { return order_; }
    [[nodiscard]] constexpr element characteristic() const noexcept { return characteristic_; }
    [[nodiscard]] constexpr std::size_t degree() const noexcept { return degree_; }

    /// Coefficient of t^power in the modulus, a monic polynomial of this degree().
    [[nodiscard]] constexpr element modulus_coefficient(std::size_t power) const {
        return modulus_.of[power];
    }

    [[nodiscard]] constexpr element add(element a, element b) const {
        if (degree_ == 1) return static_cast<element>((std::uint64_t{a} + b) % characteristic_);
        element sum = 0;
        for (std::uint64_t place = 1; place < order_; place *= characteristic_) {
            element const digit = (a % characteristic_ + b % characteristic_) % characteristic_;
            sum += static_cast<element>(digit * place);
            a /= characteristic_;
            b /= characteristic_;
        }
        return sum;
    }

    [[nodiscard]] constexpr element negate(element a) const {
        element result = 0;
        for (std::uint64_t place = 1; place < order_; place *= characteristic_) {
            element const digit = (characteristic_ - a % characteristic_) % characteristic_;
            result += static_cast<element>(digit * place);
            a /= characteristic_;
        }
        return result;
    }

    [[nodiscard]] constexpr element subtract(element a, element b) const { return add(a, negate(b)); }

    [[nodiscard]] constexpr element multiply(element a, element b) const {
        if (degree_ == 1) return static_cast<element>(std::uint64_t{a} * b % characteristic_);
        coefficients const left = digits_of(a);
        coefficients const right = digits_of(b);
        coefficients product;
        for (std::size_t i = 0; i < degree_; ++i) {
            for (std::size_t j = 0; j < degree_; ++j) {
                std::uint64_t const term = std::uint64_t{left.of[i]} * right.of[j];
                product.of[i + j] = static_cast<element>((product.of[i + j] + term) % characteristic_);
            }
        }
        reduce(product, 2 * degree_ - 2, modulus_, degree_);
        element value = 0;
        for (std::size_t i = degree_; i-- > 0;) value = value * characteristic_ + product.of[i];
        return value;
    }

    /// a^exponent; power(a, 0) is 1, for zero too.
    [[nodiscard]] constexpr element power(element a, std::uint64_t exponent) const {
        element result = 1;
        for (; exponent != 0; exponent >>= 1) {
            if (exponent & 1) result = multiply(result, a);
            a = multiply(a, a);
        }
        return result;
    }

    /// 0 for zero, 1 for the square of a non-zero element, -1 for every other, by Euler's criterion.
    ///
    /// In characteristic 2 every element is a square.
    [[nodiscard]] constexpr int quadratic_character(element a) const {
        if (a == 0) return 0;
        if (characteristic_ == 2) return 1;
        return power(a, (order_ - 1) / 2) == 1 ? 1 : -1;
    }

private:
    // Room for a product of two polynomials of degree 30, the most that largest_order allows, constant term
    // first. A plain array: every subscript of a std::array is a call, and calls count while compiling.
    struct coefficients {
        element of[64] = {};
    };

    [[nodiscard]] constexpr coefficients digits_of(std::uint64_t value) const {
        coefficients digits;
        for (std::size_t i = 0; value != 0; value /= characteristic_) {
            digits.of[i++] = static_cast<element>(value % characteristic_);
        }
        return digits;
    }

    // polynomial <- polynomial mod divisor; divisor is monic.
    constexpr void reduce(coefficients& polynomial, std::size_t degree, coefficients const& divisor,
                          std::size_t divisor_degree) const {
        for (std::size_t top = degree + 1; top-- > divisor_degree;) {
            std::uint64_t const factor = characteristic_ - polynomial.of[top];
            for (std::size_t i = 0; i <= divisor_degree; ++i) {
                element& target = polynomial.of[top - divisor_degree + i];
                target = static_cast<element>((target + factor * divisor.of[i]) % characteristic_);
            }
        }
    }

    // Trial division by every monic polynomial of at most half the degree.
    [[nodiscard]] constexpr bool is_irreducible(coefficients const& polynomial, std::size_t degree) const {
        std::uint64_t count = 1;
        for (std::size_t divisor_degree = 1; 2 * divisor_degree <= degree; ++divisor_degree) {
            count *= characteristic_;
            for (std::uint64_t lower = 0; lower < count; ++lower) {
                coefficients divisor = digits_of(lower);
                divisor.of[divisor_degree] = 1;
                coefficients remainder = polynomial;
                reduce(remainder, degree, divisor, divisor_degree);
                bool divides = true;
                for (std::size_t i = 0; i < divisor_degree; ++i) divides = divides && remainder.of[i] == 0;
                if (divides) return false;
            }
        }
        return true;
    }

    std::uint64_t order_;
    element characteristic_ = 0;
    std::size_t degree_ = 0;
    coefficients modulus_;
};

}  // namespace commutant
