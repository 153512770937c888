// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <concepts>
#include <cstddef>
#include <type_traits>

#include <commutant/transforms/block_hadamard.hpp>
#include <commutant/transforms/compose.hpp>
#include <commutant/transforms/direct_sum.hpp>
#include <commutant/transforms/kronecker.hpp>
#include <commutant/transforms/scaled_rotation.hpp>

#include "transform_laws.hpp"

namespace cm = commutant;
using transform_laws::largest_difference;
using transform_laws::matrix_of;
using transform_laws::random_transform;
using transform_laws::require_laws;

namespace {

template <class T> using M = cm::eigen_matrix<T>;

template <class T> double rounding(std::size_t n) {
    return 32 * static_cast<double>(n) * static_cast<double>(std::numeric_limits<T>::epsilon());
}

/// a * b applies a first: in row vectors its matrix is A B.
template <class T, class A, class B> auto checked_product(A const& a, B const& b) {
    auto const both = a * b;
    CHECK(dim(both) == dim(a));
    CHECK(largest_difference(matrix_of<M<T>>(both), product(matrix_of<M<T>>(a), matrix_of<M<T>>(b))) <=
          rounding<T>(dim(a)));
    require_laws<M<T>>(both);
    return both;
}

}  // namespace

TEMPLATE_TEST_CASE("compose: a * b is a, then b, and keeps what both have", "[transforms]", float, double) {
    using T = TestType;
    std::size_t const n = GENERATE(as<std::size_t>{}, 2, 8, 12);
    auto const draw = [n]<class K>(K, std::uint64_t seed) { return random_transform<K, M<T>>(seed, {n}); };
    auto const a = draw(cm::dense{}, 1), b = draw(cm::dense{}, 2);
    auto const q = draw(cm::orthogonal{}, 3), r = draw(cm::orthogonal{}, 4);
    auto const s = draw(cm::channel_scale{}, 5), u = draw(cm::channel_scale{}, 6);
    auto const p = draw(cm::permutation{}, 7), o = draw(cm::permutation{}, 8);
    cm::block_hadamard_map const h(n, 0);

    static_assert(std::same_as<decltype(a * b), cm::dense_map<M<T>>>);
    static_assert(std::same_as<decltype(q * r), cm::orthogonal_map<M<T>>>);
    static_assert(std::same_as<decltype(s * u), cm::diagonal<cm::channel_scale, M<T>>>);
    static_assert(std::same_as<decltype(p * o), cm::permutation_map>);
    checked_product<T>(a, b);
    checked_product<T>(q, r);
    checked_product<T>(s, u);
    checked_product<T>(p, o);
    // Of different kinds.
    checked_product<T>(a, s);
    checked_product<T>(p, h);
    checked_product<T>(s, q);
    checked_product<T>(p * o, a * b);
    checked_product<T>(s * p, h);
}

TEMPLATE_TEST_CASE("compose: scaled rotations stay pairs, with the features that carry no position",
                   "[transforms]", float, double) {
    using T = TestType;
    auto const pairs = GENERATE(cm::pairing::half_split, cm::pairing::interleaved);
    std::size_t const rotary_dim = GENERATE(as<std::size_t>{}, 4, 6);
    cm::transform_shape const shape{6, rotary_dim, pairs};
    auto const a = random_transform<cm::scaled_rotation, M<T>>(1, shape);
    auto b = random_transform<cm::scaled_rotation, M<T>>(2, shape);
    auto const both = checked_product<T>(a, b);
    CHECK(both.rotary_dim() == rotary_dim);
    // Where one of them leaves those features alone.
    b.rest = {};
    checked_product<T>(a, b);
    checked_product<T>(b, a);
    checked_product<T>(b, b);

    auto const other = random_transform<cm::scaled_rotation, M<T>>(
        2, {6, rotary_dim,
            pairs == cm::pairing::half_split ? cm::pairing::interleaved : cm::pairing::half_split});
    CHECK_THROWS_WITH(a * other, Catch::Contains("same pairing"));
    CHECK_THROWS_WITH((a * random_transform<cm::scaled_rotation, M<T>>(2, {6, 2, pairs})),
                      Catch::Contains("same pairing, rotary_dim"));
}

TEST_CASE("compose: transforms of different sizes are refused", "[transforms]") {
    auto const dense = [](std::size_t n) { return random_transform<cm::dense, M<double>>(1, {n}); };
    auto const scale = [](std::size_t n) { return random_transform<cm::channel_scale, M<double>>(1, {n}); };
    CHECK_THROWS_WITH(dense(2) * scale(3), Catch::Contains("different numbers of features"));
    CHECK_THROWS_WITH(cm::permutation_map({0, 1}) * cm::permutation_map({0}),
                      Catch::Contains("different numbers of features"));
}

TEMPLATE_TEST_CASE("direct_sum: each summand on its own features", "[transforms]", float, double) {
    using T = TestType;
    auto a = random_transform<cm::dense, M<T>>(1, {3});
    auto s = random_transform<cm::channel_scale, M<T>>(2, {5});
    cm::direct_sum<decltype(a), decltype(s)> const both{a, s};
    require_laws<M<T>>(both);
    auto const x = matrix_of<M<T>>(both), xa = matrix_of<M<T>>(a), xs = matrix_of<M<T>>(s);
    REQUIRE(x.cols() == 8);
    for (std::size_t i = 0; i < 8; ++i)
        for (std::size_t j = 0; j < 8; ++j) {
            T const expected = i < 3 && j < 3 ? xa(i, j) : i >= 3 && j >= 3 ? xs(i - 3, j - 3) : T(0);
            CHECK(std::abs(x(i, j) - expected) <= static_cast<T>(rounding<T>(8)));
        }
}

TEMPLATE_TEST_CASE("repeated: every kv head's transform n_rep times in a row", "[transforms][gqa]", float,
                   double) {
    using T = TestType;
    std::size_t const n_rep = GENERATE(as<std::size_t>{}, 1, 2, 4);
    std::vector of_kv_head{random_transform<cm::dense, M<T>>(1, {3}),
                           random_transform<cm::dense, M<T>>(2, {3})};
    auto const heads = cm::repeated(of_kv_head, n_rep);
    require_laws<M<T>>(heads);
    CHECK(dim(heads) == 6 * n_rep);
    auto const x = transform_laws::random_rows<T>(2, dim(heads)), y = apply(heads, x);
    for (std::size_t h = 0; h < 2 * n_rep; ++h) {
        cm::slice const head{3 * h, 3};
        CHECK(largest_difference(columns(y, head), apply(of_kv_head[h / n_rep], columns(x, head))) == 0);
    }
}

TEMPLATE_TEST_CASE("kronecker: entry ((i, k), (j, l)) is A_ij B_kl", "[transforms]", float, double) {
    using T = TestType;
    auto a = random_transform<cm::dense, M<T>>(1, {3});
    auto b = random_transform<cm::orthogonal, M<T>>(2, {4});
    cm::kronecker<decltype(a), decltype(b)> const both{a, b};
    require_laws<M<T>>(both);
    auto const x = matrix_of<M<T>>(both), xa = matrix_of<M<T>>(a), xb = matrix_of<M<T>>(b);
    REQUIRE(x.cols() == 12);
    for (std::size_t i = 0; i < 12; ++i)
        for (std::size_t j = 0; j < 12; ++j)
            CHECK(std::abs(x(i, j) - xa(i / 4, j / 4) * xb(i % 4, j % 4)) <= static_cast<T>(rounding<T>(12)));
    CHECK_THROWS_WITH(apply(both, M<T>(1, 11)), Catch::Contains("as many columns"));
}
