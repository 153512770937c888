// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// GF(p^k): the field laws over every element, and the quadratic character against the squares themselves.

#include <commutant/core/galois_field.hpp>

#include <cstdint>
#include <type_traits>

namespace {

using commutant::find_prime_power;
using commutant::galois_field;
using commutant::prime_power;

static_assert(!find_prime_power(0));
static_assert(!find_prime_power(1));
static_assert(find_prime_power(2) == prime_power{2, 1});
static_assert(!find_prime_power(6));
static_assert(find_prime_power(461) == prime_power{461, 1});
static_assert(find_prime_power(343) == prime_power{7, 3});
static_assert(!find_prime_power(923));   // 13 * 71
static_assert(!find_prime_power(3423));  // 3 * 7 * 163
static_assert(find_prime_power(65536) == prime_power{2, 16});

// Laws with the first factor in first .. last - 1: three factors of GF(9) pass the step limit in one
// expression.
consteval bool is_commutative_ring(galois_field const& field, std::uint32_t first, std::uint32_t last) {
    auto const q = static_cast<std::uint32_t>(field.order());
    for (std::uint32_t a = first; a < last; ++a) {
        if (field.add(a, 0) != a || field.multiply(a, 1) != a || field.multiply(a, 0) != 0) return false;
        if (field.add(a, field.negate(a)) != 0) return false;
        for (std::uint32_t b = 0; b < q; ++b) {
            if (field.add(a, b) != field.add(b, a) || field.multiply(a, b) != field.multiply(b, a))
                return false;
            if (field.add(field.subtract(a, b), b) != a) return false;
            for (std::uint32_t c = 0; c < q; ++c) {
                if (field.add(field.add(a, b), c) != field.add(a, field.add(b, c))) return false;
                if (field.multiply(field.multiply(a, b), c) != field.multiply(a, field.multiply(b, c)))
                    return false;
                if (field.multiply(a, field.add(b, c)) !=
                    field.add(field.multiply(a, b), field.multiply(a, c))) {
                    return false;
                }
            }
        }
    }
    return true;
}

consteval bool non_zero_elements_have_inverses(galois_field const& field) {
    for (std::uint32_t a = 1; a < field.order(); ++a) {
        if (field.multiply(a, field.power(a, field.order() - 2)) != 1) return false;
    }
    return true;
}

static_assert(is_commutative_ring(galois_field{2}, 0, 2));
static_assert(is_commutative_ring(galois_field{4}, 0, 4));
static_assert(is_commutative_ring(galois_field{7}, 0, 7));
static_assert(is_commutative_ring(galois_field{8}, 0, 4));
static_assert(is_commutative_ring(galois_field{8}, 4, 8));
static_assert(is_commutative_ring(galois_field{9}, 0, 5));
static_assert(is_commutative_ring(galois_field{9}, 5, 9));
static_assert(non_zero_elements_have_inverses(galois_field{2}));
static_assert(non_zero_elements_have_inverses(galois_field{4}));
static_assert(non_zero_elements_have_inverses(galois_field{7}));
static_assert(non_zero_elements_have_inverses(galois_field{8}));
static_assert(non_zero_elements_have_inverses(galois_field{9}));
static_assert(non_zero_elements_have_inverses(galois_field{16}));
static_assert(non_zero_elements_have_inverses(galois_field{25}));
static_assert(non_zero_elements_have_inverses(galois_field{27}));
static_assert(non_zero_elements_have_inverses(galois_field{49}));

// The integers mod 9 are what GF(9) must not be: there 3 * 3 is zero.
static_assert(galois_field{9}.multiply(3, 3) != 0);
static_assert(galois_field{9}.add(1, 2) == 0);

// t^2 + 1 over GF(3), t^3 + t + 1 over GF(2): the smallest irreducible ones, known by hand.
static_assert(galois_field{9}.modulus_coefficient(0) == 1 && galois_field{9}.modulus_coefficient(1) == 0);
static_assert(galois_field{8}.modulus_coefficient(0) == 1 && galois_field{8}.modulus_coefficient(1) == 1 &&
              galois_field{8}.modulus_coefficient(2) == 0);
static_assert(galois_field{9}.multiply(3, 3) == 2);  // t * t = -1
static_assert(galois_field{8}.multiply(4, 2) == 3);  // t^2 * t = t + 1

consteval bool character_marks_the_squares(galois_field const& field) {
    for (std::uint32_t a = 0; a < field.order(); ++a) {
        bool is_square = false;
        for (std::uint32_t b = 1; b < field.order(); ++b) is_square = is_square || field.multiply(b, b) == a;
        if (field.quadratic_character(a) != (a == 0 ? 0 : is_square ? 1 : -1)) return false;
    }
    return true;
}

static_assert(character_marks_the_squares(galois_field{3}));
static_assert(character_marks_the_squares(galois_field{8}));
static_assert(character_marks_the_squares(galois_field{13}));
static_assert(character_marks_the_squares(galois_field{27}));
static_assert(character_marks_the_squares(galois_field{49}));

// -1 is a square exactly when q = 1 mod 4: what makes Q symmetric in Paley's second construction, skew in his
// first.
static_assert(galois_field{27}.quadratic_character(galois_field{27}.negate(1)) == -1);
static_assert(galois_field{49}.quadratic_character(galois_field{49}.negate(1)) == 1);
static_assert(galois_field{343}.quadratic_character(galois_field{343}.negate(1)) == -1);
static_assert(galois_field{461}.quadratic_character(galois_field{461}.negate(1)) == 1);

template <std::uint64_t Order> concept is_a_field = requires {
    typename std::integral_constant<std::uint64_t, galois_field{Order}.order()>;
};
static_assert(is_a_field<25>);
static_assert(!is_a_field<1>);
static_assert(!is_a_field<12>);
static_assert(!is_a_field<(std::uint64_t{1} << 32)>);

}  // namespace
