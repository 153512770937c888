// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <commutant/core/polynomial.hpp>
#include <commutant/core/random.hpp>

#include "constant.hpp"

namespace cm = commutant;
using cm::polynomial;
using cm::rational_function;

namespace {

constexpr rational_function a = polynomial::variable(0), b = polynomial::variable(1),
                            c = polynomial::variable(2), d = polynomial::variable(3);

static_assert(a / b == (a * c) / (b * c));
static_assert(a / b + c / d == (a * d + b * c) / (b * d));
static_assert(a / b - c / d == (a * d - b * c) / (b * d));
static_assert((a / b) * (c / d) == (a * c) / (b * d));
static_assert((a / b) / (c / d) == (a * d) / (b * c));
static_assert(reciprocal(reciprocal(a) + reciprocal(b)) == a * b / (a + b));
static_assert((a * a - b * b) / (a - b) == a + b);
static_assert(-(a / b) == (-a) / b && a / b * 2 == a / b + a / b && a - a == 0 && a / a == 1);
static_assert(a / b != b / a);
static_assert(a / b + c / d != (a + c) / (b + d));
static_assert((a * a + b * b) / (a + b) != a + b);

// Cayley's rotation: its cosine and sine lie on the circle, for every t.
constexpr rational_function cosine = (1 - a * a) / (1 + a * a), sine = 2 * a / (1 + a * a);
static_assert(cosine * cosine + sine * sine == 1);
static_assert(cosine * cosine - sine * sine != 1);

// Sums that cancel do not drag their denominators along.
static_assert((a / b - a / b).denominator == 1 && (a / b * (c - c)).denominator == 1);

static_assert(constant<[] { return reciprocal(a); }>);
static_assert(!constant<[] { return reciprocal(a - a); }>);
static_assert(!constant<[] { return a / (b - b); }>);

// Fresh symbols are fresh.
static_assert([] {
    cm::parameter_source<rational_function> source(2);
    rational_function const x = source.near(1), y = source.near(1);
    return x == c && y == d && source.next() == 4 && source.sign() == 1;
}());

}  // namespace
