// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <cstddef>

#include <commutant/transforms/block_hadamard.hpp>
#include <commutant/transforms/channel_scale.hpp>
#include <commutant/transforms/dense.hpp>
#include <commutant/transforms/orthogonal.hpp>
#include <commutant/transforms/permutation.hpp>
#include <commutant/transforms/scaled_rotation.hpp>
#include <commutant/transforms/value.hpp>

#include "transform_laws.hpp"

namespace cm = commutant;
using transform_laws::random_transform;
using transform_laws::require_laws;

namespace {

// What a user may write: nothing but the formula, of one to four parameters.
struct shear {
    template <class S> static constexpr cm::block2<S> block(S const& a) {
        return {S(1), S(0), a - S(1), S(1)};
    }
};
struct triangle {
    template <class S> static constexpr cm::block2<S> block(S const& a, S const& b, S const& c) {
        return {a, b, S(0), S(1) / S(2) + c / S(4)};
    }
};
struct any_block {
    template <class S> static constexpr cm::block2<S> block(S const& a, S const& b, S const& c, S const& d) {
        return {a, b, c, S(1) + d};
    }
};
struct inverse_scale {
    template <class S> static constexpr S factor(S const& s) { return S(1) / s; }
};

static_assert(cm::pair_formula<shear> && cm::pair_formula<triangle> && cm::pair_formula<any_block>);
static_assert(cm::pair_formula<cm::scaled_rotation> && !cm::pair_formula<cm::channel_scale>);
static_assert(cm::diagonal_formula<inverse_scale> && !cm::diagonal_formula<shear>);
static_assert(cm::self_made_kind<cm::dense> && !cm::self_made_kind<cm::scaled_rotation>);
static_assert(!cm::transform_kind<int>);

template <class T> using M = cm::eigen_matrix<T>;

}  // namespace

TEMPLATE_TEST_CASE("transforms: a pair formula is one invertible matrix in every use", "[transforms]", float,
                   double) {
    auto const pairs = GENERATE(cm::pairing::half_split, cm::pairing::interleaved);
    auto const shape =
        GENERATE(cm::transform_shape{2, 2}, cm::transform_shape{8, 8}, cm::transform_shape{6, 4},
                 cm::transform_shape{7, 2}, cm::transform_shape{3, 0}, cm::transform_shape{64, 64});
    CAPTURE(shape.dim, shape.rotary_dim, pairs == cm::pairing::interleaved);
    cm::transform_shape const s{shape.dim, shape.rotary_dim, pairs};
    std::uint64_t const seed = GENERATE(1u, 2u);
    CAPTURE(seed);
    require_laws<M<TestType>>(random_transform<cm::scaled_rotation, M<TestType>>(seed, s));
    require_laws<M<TestType>>(random_transform<shear, M<TestType>>(seed, s));
    require_laws<M<TestType>>(random_transform<triangle, M<TestType>>(seed, s));
    require_laws<M<TestType>>(random_transform<any_block, M<TestType>>(seed, s));
}

TEMPLATE_TEST_CASE(
    "transforms: dense, orthogonal, diagonal and permutation are one invertible matrix in every use",
    "[transforms]", float, double) {
    std::size_t const n = GENERATE(as<std::size_t>{}, 1, 2, 3, 8, 17, 64);
    std::uint64_t const seed = GENERATE(1u, 2u);
    CAPTURE(n, seed);
    require_laws<M<TestType>>(random_transform<cm::dense, M<TestType>>(seed, {n}));
    require_laws<M<TestType>>(random_transform<cm::orthogonal, M<TestType>>(seed, {n}));
    require_laws<M<TestType>>(random_transform<cm::channel_scale, M<TestType>>(seed, {n}));
    require_laws<M<TestType>>(random_transform<inverse_scale, M<TestType>>(seed, {n}));
    require_laws<M<TestType>>(random_transform<cm::permutation, M<TestType>>(seed, {n}));
}

TEMPLATE_TEST_CASE("transforms: block Hadamard is one invertible matrix in every use, symmetric or not",
                   "[transforms]", float, double) {
    struct size {
        std::size_t dim, block;
    };
    auto const s = GENERATE(size{1, 1}, size{2, 2}, size{8, 2}, size{8, 8}, size{24, 8}, size{12, 12},
                            size{24, 12}, size{24, 24}, size{56, 28}, size{7, 0}, size{96, 0});
    CAPTURE(s.dim, s.block);
    require_laws<M<TestType>>(cm::block_hadamard_map(s.dim, s.block));
    require_laws<M<TestType>>(transpose(cm::block_hadamard_map(s.dim, s.block)));
}

TEMPLATE_TEST_CASE("transforms: what is drawn as orthogonal keeps lengths", "[transforms]", float, double) {
    std::size_t const n = GENERATE(as<std::size_t>{}, 1, 2, 16, 48);
    auto const t = random_transform<cm::orthogonal, M<TestType>>(n, {n});
    auto const one = cm::identity_matrix<M<TestType>>(n);
    double const eps = static_cast<double>(std::numeric_limits<TestType>::epsilon());
    CHECK(transform_laws::largest_difference(product_transposed(t.q, t.q), one) <=
          8 * eps * static_cast<double>(n));
    if (n > 1) CHECK(transform_laws::largest_difference(t.q, one) > 0.1);
}

TEST_CASE("transforms: drawn transforms are well-conditioned", "[transforms]") {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        CAPTURE(seed);
        auto const condition = [&](auto const& t) {
            return transform_laws::extent(transform_laws::matrix_of<M<double>>(t)).condition();
        };
        // Parameter 0 in [1/2, 3/2], the angle's in [-1/2, 1/2]: scales between 1/2 and sqrt(10) / 2.
        CHECK(condition(random_transform<cm::scaled_rotation, M<double>>(seed, {32, 32})) <= std::sqrt(10.0));
        CHECK(condition(random_transform<cm::channel_scale, M<double>>(seed, {32})) <= 3.0);
        CHECK(condition(random_transform<cm::dense, M<double>>(seed, {32})) < 10.0);
    }
}
