// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>

namespace commutant {

namespace detail {
__extension__ using uint128 = unsigned __int128;
__extension__ using int128 = __int128;

/// splitmix64's output function: a bijection of 64-bit words that looks random.
[[nodiscard]] constexpr std::uint64_t mix(std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}
}  // namespace detail

/// Element of GF(p), p = 2^61 - 1: the scalar in which whole blocks are proved.
///
/// Two different rational functions of total degree d agree at a random point with probability at most d / p
/// (Schwartz, Zippel), so an identity that holds at one random point holds, but for about one chance in 2^50.
/// Errors    std::domain_error for the reciprocal of zero (inside a constant expression: a compile error)
class prime_field {
public:
    static constexpr std::uint64_t modulus = (std::uint64_t{1} << 61) - 1;

    constexpr prime_field() = default;
    constexpr prime_field(int v)  // NOLINT(google-explicit-constructor): integers are elements
        : value_(v >= 0 ? static_cast<std::uint64_t>(v)
                        : modulus - static_cast<std::uint64_t>(-static_cast<std::int64_t>(v))) {}

    /// The element that a 64-bit word stands for, modulo p.
    [[nodiscard]] static constexpr prime_field from_word(std::uint64_t w) { return reduced(w); }

    /// The element that a 122-bit product, or the sum of up to 64 of them, stands for.
    [[nodiscard]] static constexpr prime_field reduced(detail::uint128 w) {
        std::uint64_t low = static_cast<std::uint64_t>(w & modulus) +
                            static_cast<std::uint64_t>((w >> 61) & modulus) +
                            static_cast<std::uint64_t>(w >> 122);
        low = (low & modulus) + (low >> 61);
        prime_field r;
        r.value_ = low == modulus ? 0 : low;
        return r;
    }

    [[nodiscard]] constexpr std::uint64_t value() const { return value_; }

    friend constexpr prime_field operator+(prime_field a, prime_field b) {
        return reduced(detail::uint128{a.value_} + b.value_);
    }
    friend constexpr prime_field operator-(prime_field a, prime_field b) {
        return reduced(detail::uint128{a.value_} + modulus - b.value_);
    }
    friend constexpr prime_field operator-(prime_field a) { return prime_field{} - a; }
    friend constexpr prime_field operator*(prime_field a, prime_field b) {
        return reduced(detail::uint128{a.value_} * b.value_);
    }
    friend constexpr prime_field operator/(prime_field a, prime_field b) { return a * reciprocal(b); }
    friend constexpr bool operator==(prime_field, prime_field) = default;

    /// a^e.
    [[nodiscard]] friend constexpr prime_field power(prime_field a, std::uint64_t e) {
        prime_field r = 1;
        for (; e != 0; e >>= 1) {
            if (e & 1) r = r * a;
            a = a * a;
        }
        return r;
    }

    /// 1 / a, by the extended Euclidean algorithm.
    [[nodiscard]] friend constexpr prime_field reciprocal(prime_field a) {
        if (a.value_ == 0) throw std::domain_error("prime_field: zero has no reciprocal");
        std::int64_t r0 = static_cast<std::int64_t>(modulus), r1 = static_cast<std::int64_t>(a.value_),
                     t0 = 0, t1 = 1;
        while (r1 != 0) {
            std::int64_t const quotient = r0 / r1, r2 = r0 - quotient * r1, t2 = t0 - quotient * t1;
            r0 = r1, r1 = r2, t0 = t1, t1 = t2;
        }
        prime_field r;
        r.value_ = static_cast<std::uint64_t>(t0 < 0 ? t0 + static_cast<std::int64_t>(modulus) : t0);
        return r;
    }

    /// u^e with e even and 2e = -1 (mod (p - 1) / 2): multiplicative, squares to 1/u on squares, and
    /// rsqrt(S^2 u) = rsqrt(u) / S for every square S. That, and no more, is what 1/sqrt is assumed to do.
    [[nodiscard]] friend constexpr prime_field rsqrt(prime_field u) {
        constexpr std::uint64_t half_group = (modulus - 1) / 2;
        constexpr std::uint64_t exponent = (half_group - 1) / 2 + half_group;
        static_assert(exponent % 2 == 0 && (2 * exponent + 1) % half_group == 0);
        return power(u, exponent);
    }

    /// Uninterpreted functions: equal arguments give equal values, and nothing else is known about them.
    [[nodiscard]] friend constexpr prime_field silu(prime_field u) {
        return from_word(detail::mix(u.value_ ^ 0x51c0de5a11aull));
    }

private:
    friend constexpr prime_field dot(prime_field const*, std::size_t, prime_field const*, std::size_t,
                                     std::size_t);
    friend constexpr void softmax_in_place(prime_field*, std::size_t);

    std::uint64_t value_ = 0;
};

/// sum over k of a[k] b[k], with one reduction for every 32 products.
[[nodiscard]] constexpr prime_field dot(prime_field const* a, std::size_t a_stride, prime_field const* b,
                                        std::size_t b_stride, std::size_t n) {
    detail::uint128 sum = 0;
    for (std::size_t begin = 0; begin < n; begin += 32) {
        std::size_t const end = n - begin > 32 ? begin + 32 : n;
        for (std::size_t k = begin; k < end; ++k)
            sum += detail::uint128{a[k * a_stride].value_} * b[k * b_stride].value_;
        sum = prime_field::reduced(sum).value_;
    }
    return prime_field::reduced(sum);
}

/// Softmax, uninterpreted but for what every softmax has: it reads the differences to the row's first logit, all of
/// them, so adding one number to a whole row changes nothing.
constexpr void softmax_in_place(prime_field* row, std::size_t n) {
    std::uint64_t state = n;
    for (std::size_t j = 0; j < n; ++j)
        state = detail::mix(state + (row[j] - row[0]).value_ + 0x9e3779b97f4a7c15u);
    for (std::size_t j = 0; j < n; ++j) row[j] = prime_field::from_word(detail::mix(state ^ (j + 1)));
}

/// The square root of 1/2: 2^61 = 1, so sqrt(2) = 2^31 and its reciprocal is 2^30.
[[nodiscard]] constexpr prime_field sqrt_half(prime_field) {
    return prime_field::from_word(std::uint64_t{1} << 30);
}

}  // namespace commutant
