// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstddef>
#include <cstdint>

#include <commutant/core/prime_field.hpp>
#include <commutant/core/random.hpp>

namespace cm = commutant;
using cm::prime_field;

// What rsqrt, softmax and SiLU are known to do in exact arithmetic, and what they must not be: each false
// statement below, were it true, would let a wrong merge pass.

namespace {

/// Whether a claim about two elements, not zero, holds at random ones.
template <class Claim> consteval bool holds(Claim claim) {
    cm::random_source random(0xf1e1d);
    for (int k = 0; k < 16; ++k) {
        auto const a = prime_field::from_word(random.next_word()),
                   b = prime_field::from_word(random.next_word());
        if (!claim(a, b)) return false;
    }
    return true;
}
constexpr bool is_square(prime_field a) { return power(a, (prime_field::modulus - 1) / 2) == prime_field(1); }

using F = prime_field;

// 1 / sqrt is multiplicative, what it returns is a square, and squares pass out of it. Other elements change
// the sign.
static_assert(holds([](F a, F b) { return rsqrt(a * b) == rsqrt(a) * rsqrt(b); }));
static_assert(holds([](F a, F) { return is_square(rsqrt(a)); }));
static_assert(holds([](F a, F) { return rsqrt(a * a) * rsqrt(a * a) * a * a == F(1); }));
static_assert(holds([](F a, F u) {
    F const s = a * a;
    return rsqrt(s * s * u) * s == rsqrt(u);
}));
static_assert(holds([](F a, F u) {
    F const s = rsqrt(a);
    return rsqrt(s * s * u) * s == rsqrt(u);
}));
static_assert(holds([](F s, F u) { return rsqrt(s * s * u) * s == (is_square(s) ? rsqrt(u) : -rsqrt(u)); }));
static_assert(!holds([](F s, F u) { return rsqrt(s * s * u) * s == rsqrt(u); }));
static_assert(!holds([](F a, F b) { return rsqrt(a + b) == rsqrt(a) + rsqrt(b); }));
static_assert(!holds([](F a, F) { return rsqrt(a) == F(1) || rsqrt(a) == a; }));

// SiLU is a function and nothing besides.
static_assert(holds([](F a, F b) { return (a == b) == (silu(a) == silu(b)); }));
static_assert(!holds([](F a, F b) { return silu(a * b) == silu(a) * silu(b); }));
static_assert(!holds([](F a, F b) { return silu(a * b) == a * silu(b); }));
static_assert(!holds([](F a, F b) { return silu(a + b) == silu(a) + silu(b); }));
static_assert(!holds([](F a, F) { return silu(-a) == -silu(a); }));
static_assert(!holds([](F a, F) { return silu(-a) == silu(a); }));
static_assert(silu(F(0)) != F(0) && silu(F(1)) != F(1));

// Softmax sees differences, all of them.
using row = std::array<F, 3>;
constexpr row softmax(row x, std::size_t n = 3) {
    softmax_in_place(x.data(), n);
    return x;
}
constexpr row x{5, -3, 11};
static_assert(softmax(x) == softmax(x));
static_assert(softmax({x[0] + F(8), x[1] + F(8), x[2] + F(8)}) == softmax(x));
static_assert(holds([](F a, F b) { return softmax({a, b, a * b}) == softmax({a + b, b + b, a * b + b}); }));
static_assert(!holds([](F a, F b) { return softmax({a, b, a * b}) == softmax({a * a, b * a, a * b * a}); }));
constexpr bool differs_everywhere(row a, row b) { return a[0] != b[0] && a[1] != b[1] && a[2] != b[2]; }
static_assert(differs_everywhere(softmax({x[0] + F(1), x[1], x[2]}), softmax(x)));
static_assert(differs_everywhere(softmax({x[0], x[1] + F(1), x[2]}), softmax(x)));
static_assert(differs_everywhere(softmax({x[0], x[1], x[2] + F(1)}), softmax(x)));
// A shorter row is another function, and what lies behind it stays.
static_assert(softmax(x, 2)[2] == x[2] && softmax(x, 2)[0] != softmax(x)[0]);
static_assert(softmax({x[0], x[0], x[0]})[0] != softmax({x[0], x[0], x[0]})[1]);

}  // namespace
