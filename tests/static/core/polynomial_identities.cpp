// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <cstddef>

#include <commutant/core/polynomial.hpp>
#include <commutant/core/random.hpp>

#include "constant.hpp"

namespace cm = commutant;
using cm::polynomial;

namespace {

constexpr polynomial a = polynomial::variable(0), b = polynomial::variable(1), c = polynomial::variable(2),
                     last = polynomial::variable(31);

constexpr polynomial power(polynomial const& x, int n) {
    polynomial r = 1;
    for (int k = 0; k < n; ++k) r = r * x;
    return r;
}
/// The coefficient at powers of the first three variables; zero where there is no such term.
constexpr long long coefficient(polynomial const& p, unsigned i, unsigned j = 0, unsigned k = 0) {
    for (std::size_t t = 0; t < p.size(); ++t)
        if (p[t].exponent(0) == i && p[t].exponent(1) == j && p[t].exponent(2) == k) return p[t].coefficient;
    return 0;
}

// Expansions known by heart.
static_assert((a + b) * (a + b) == a * a + 2 * a * b + b * b);
static_assert((a + b) * (a - b) == a * a - b * b);
static_assert((a * a + b * b) * (c * c + last * last) ==
              (a * c - b * last) * (a * c - b * last) + (a * last + b * c) * (a * last + b * c));
static_assert((a - 1) * (1 + a + a * a + power(a, 3) + power(a, 4)) == power(a, 5) - 1);
static_assert(coefficient(power(1 + a, 15), 7) == 6435 && power(1 + a, 15).size() == 16);
static_assert(coefficient(power(a + b + c, 3), 1, 1, 1) == 6 && power(a + b + c, 3).size() == 10);
static_assert(coefficient(power(a - 2 * b, 5), 2, 3) == -80);
static_assert((a + b) * (a + b) != a * a + b * b);

// Zero has no terms, one variable is not another, and a degree does not run over into the next variable.
static_assert(polynomial{} == 0 && polynomial(0).is_zero() && (a - a).is_zero() && (a * 0).is_zero());
static_assert((a + b - a - b).size() == 0 && (a + b - a).size() == 1);
static_assert(a != b && a != 1 && !a.is_zero());
static_assert(power(a, 15) * b != b * b && power(a, 15).size() == 1 && power(a, 15)[0].exponent(0) == 15);
static_assert(power(last, 15)[0].exponent(31) == 15 && power(last, 15)[0].exponent(30) == 0);

/// Whether the laws of a commutative ring hold for random polynomials.
consteval bool are_a_ring() {
    cm::random_source random(7);
    auto const draw = [&] {
        polynomial p = static_cast<int>(random.next_below(7)) - 3;
        for (int t = 0; t < 3; ++t) {
            polynomial term = static_cast<int>(random.next_below(7)) - 3;
            for (int d = 0; d < 3; ++d) term = term * polynomial::variable(random.next_below(4));
            p = p + term;
        }
        return p;
    };
    for (int k = 0; k < 8; ++k) {
        polynomial const x = draw(), y = draw(), z = draw();
        if (x * y != y * x || (x + y) + z != x + (y + z) || (x * y) * z != x * (y * z)) return false;
        if (x * (y + z) != x * y + x * z || x - y != -(y - x) || x + polynomial{} != x || x * 1 != x)
            return false;
    }
    return true;
}
static_assert(are_a_ring());

// What does not fit is refused, never wrong. Beside each refusal the largest that fits.
static_assert(constant<[] { return polynomial::variable(31); }>);
static_assert(!constant<[] { return polynomial::variable(32); }>);

static_assert(constant<[] { return power(a, 15); }>);
static_assert(!constant<[] { return power(a, 16); }>);
static_assert(!constant<[] { return power(last, 8) * power(last, 8); }>);

/// The sum of n different terms.
constexpr polynomial sum_of(int n) {
    polynomial r;
    for (int k = 0; k < n; ++k) r = r + power(a, k / 10) * power(b, k % 10);
    return r;
}
constexpr polynomial half = sum_of(48), full = half + last * half;
static_assert(polynomial::max_terms == 96 && full.size() == 96 && full == half * (1 + last));
static_assert(constant<[] { return full + full; }>);
static_assert(!constant<[] { return full + last * last; }>);
static_assert(!constant<[] { return full * (1 + c); }>);

constexpr polynomial two_to_the(int n) { return power(2, n); }
static_assert(coefficient(two_to_the(62) + (two_to_the(62) - 1), 0) == 0x7fffffffffffffff);
static_assert(!constant<[] { return two_to_the(63); }>);
static_assert(!constant<[] { return two_to_the(62) + two_to_the(62); }>);
static_assert(constant<[] { return -two_to_the(62) - two_to_the(62); }>);
static_assert(!constant<[] { return -two_to_the(62) - two_to_the(62) - 1; }>);
static_assert(!constant<[] { return -(-two_to_the(62) - two_to_the(62)); }>);

}  // namespace
