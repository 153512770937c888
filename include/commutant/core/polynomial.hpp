// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <limits>
#include <stdexcept>

#include <commutant/core/prime_field.hpp>

namespace commutant {

/// Polynomial with integer coefficients in up to 32 variables: the scalar in which lemmas are proved.
///
/// An identity between polynomials holds for all values of the variables, over every commutative ring: where two
/// readings of a formula give the same polynomial nothing is left to chance.
/// Errors    std::length_error beyond 96 terms or degree 15 in one variable, std::overflow_error beyond 64-bit
///           coefficients (inside a constant expression: a compile error, never a wrong answer)
class polynomial {
public:
    static constexpr std::size_t n_variables = 32;
    static constexpr std::size_t max_terms = 96;

    /// coefficient times the product of the variables v to the power (exponents >> 4 v) & 15.
    struct term {
        detail::uint128 exponents = 0;
        long long coefficient = 0;
        friend constexpr bool operator==(term const&, term const&) = default;
        [[nodiscard]] constexpr unsigned exponent(std::size_t v) const {
            return static_cast<unsigned>(exponents >> (4 * v)) & 15u;
        }
    };

    constexpr polynomial() = default;
    constexpr polynomial(int constant)  // NOLINT(google-explicit-constructor): integers are polynomials
    {
        if (constant != 0) append({0, constant});
    }

    [[nodiscard]] static constexpr polynomial variable(std::size_t v) {
        if (v >= n_variables) throw std::length_error("polynomial: too many variables");
        polynomial r;
        r.append({detail::uint128{1} << (4 * v), 1});
        return r;
    }

    [[nodiscard]] constexpr std::size_t size() const { return size_; }
    [[nodiscard]] constexpr term const& operator[](std::size_t k) const { return terms_[k]; }
    [[nodiscard]] constexpr bool is_zero() const { return size_ == 0; }

    friend constexpr bool operator==(polynomial const& a, polynomial const& b) {
        if (a.size_ != b.size_) return false;
        for (std::size_t k = 0; k < a.size_; ++k)
            if (!(a.terms_[k] == b.terms_[k])) return false;
        return true;
    }

    friend constexpr polynomial operator+(polynomial const& a, polynomial const& b) {
        return merged(a, b, 1);
    }
    friend constexpr polynomial operator-(polynomial const& a, polynomial const& b) {
        return merged(a, b, -1);
    }
    friend constexpr polynomial operator-(polynomial const& a) { return merged({}, a, -1); }
    friend constexpr polynomial operator*(polynomial const& a, polynomial const& b) {
        polynomial r;
        for (std::size_t i = 0; i < a.size_; ++i) {
            polynomial row;
            for (std::size_t j = 0; j < b.size_; ++j) row.append(product_of(a.terms_[i], b.terms_[j]));
            r = r + row;
        }
        return r;
    }

private:
    constexpr void append(term t) {
        if (t.coefficient == 0) return;
        if (size_ == max_terms) throw std::length_error("polynomial: more than max_terms terms");
        terms_[size_++] = t;
    }

    [[nodiscard]] static constexpr long long narrowed(detail::int128 v) {
        if (v > std::numeric_limits<long long>::max() || v < std::numeric_limits<long long>::min())
            throw std::overflow_error("polynomial: a coefficient needs more than 64 bits");
        return static_cast<long long>(v);
    }

    /// Term order is that of the packed exponents, so it survives multiplication by one term.
    [[nodiscard]] static constexpr term product_of(term const& a, term const& b) {
        for (std::size_t v = 0; v < n_variables; ++v)
            if (a.exponent(v) + b.exponent(v) > 15) throw std::length_error("polynomial: a degree above 15");
        return {a.exponents + b.exponents,
                narrowed(static_cast<detail::int128>(a.coefficient) * b.coefficient)};
    }

    [[nodiscard]] static constexpr polynomial merged(polynomial const& a, polynomial const& b, int sign) {
        polynomial r;
        std::size_t i = 0, j = 0;
        while (i < a.size_ || j < b.size_) {
            if (j == b.size_ || (i < a.size_ && a.terms_[i].exponents < b.terms_[j].exponents)) {
                r.append(a.terms_[i++]);
            } else if (i == a.size_ || b.terms_[j].exponents < a.terms_[i].exponents) {
                r.append({b.terms_[j].exponents,
                          narrowed(static_cast<detail::int128>(sign) * b.terms_[j].coefficient)});
                ++j;
            } else {
                r.append({a.terms_[i].exponents,
                          narrowed(a.terms_[i].coefficient +
                                   static_cast<detail::int128>(sign) * b.terms_[j].coefficient)});
                ++i, ++j;
            }
        }
        return r;
    }

    std::size_t size_ = 0;
    std::array<term, max_terms> terms_{};
};

/// Quotient of two polynomials, for formulas that divide (inverses). Equal means equal after cross-multiplication,
/// that is, wherever no denominator vanishes.
struct rational_function {
    polynomial numerator{};
    polynomial denominator{1};

    constexpr rational_function() = default;
    constexpr rational_function(int constant) : numerator(constant) {}  // NOLINT(google-explicit-constructor)
    constexpr rational_function(polynomial const& p) : numerator(p) {}  // NOLINT(google-explicit-constructor)
    constexpr rational_function(polynomial const& n, polynomial const& d) : numerator(n), denominator(d) {}

    friend constexpr bool operator==(rational_function const& a, rational_function const& b) {
        return a.numerator * b.denominator == b.numerator * a.denominator;
    }
    friend constexpr rational_function operator+(rational_function const& a, rational_function const& b) {
        if (a.denominator == b.denominator)
            return {a.numerator + b.numerator, simplest(a.denominator, a.numerator + b.numerator)};
        return {a.numerator * b.denominator + b.numerator * a.denominator, a.denominator * b.denominator};
    }
    friend constexpr rational_function operator-(rational_function const& a) {
        return {-a.numerator, a.denominator};
    }
    friend constexpr rational_function operator-(rational_function const& a, rational_function const& b) {
        return a + (-b);
    }
    friend constexpr rational_function operator*(rational_function const& a, rational_function const& b) {
        polynomial const n = a.numerator * b.numerator;
        return {n, simplest(a.denominator * b.denominator, n)};
    }
    friend constexpr rational_function operator/(rational_function const& a, rational_function const& b) {
        return a * reciprocal(b);
    }
    [[nodiscard]] friend constexpr rational_function reciprocal(rational_function const& a) {
        if (a.numerator.is_zero()) throw std::domain_error("rational_function: zero has no reciprocal");
        return {a.denominator, a.numerator};
    }

private:
    /// Zero has denominator 1: keeps sums that cancel short.
    [[nodiscard]] static constexpr polynomial simplest(polynomial const& denominator,
                                                       polynomial const& numerator) {
        return numerator.is_zero() ? polynomial(1) : denominator;
    }
};

}  // namespace commutant
