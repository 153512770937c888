// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

#include <commutant/laws/commutes_with.hpp>
#include <commutant/sites/admissible.hpp>
#include <commutant/transforms/block_hadamard.hpp>
#include <commutant/transforms/compose.hpp>
#include <commutant/transforms/direct_sum.hpp>
#include <commutant/transforms/kronecker.hpp>
#include <commutant/transforms/scaled_rotation.hpp>

namespace cm = commutant;
using field = cm::matrix<cm::prime_field>;
using rotations = cm::pairwise<cm::scaled_rotation, field>;
using scales = cm::diagonal<cm::channel_scale, field>;

struct shear {
    template <class S> static constexpr cm::block2<S> block(S const& a) { return {1, a, 0, 1}; }
};

// Products keep the structure that both factors have.
static_assert(std::same_as<decltype(std::declval<scales>() * std::declval<scales>()), scales>);
static_assert(
    std::same_as<decltype(std::declval<cm::dense_map<field>>() * std::declval<cm::dense_map<field>>()),
                 cm::dense_map<field>>);
static_assert(std::same_as<decltype(std::declval<cm::orthogonal_map<field>>() *
                                    std::declval<cm::orthogonal_map<field>>()),
                           cm::orthogonal_map<field>>);

// The product of scaled rotations is proved to commute with RoPE, from the product of the blocks; with a shear it is not.
using rotation_product = decltype(std::declval<rotations>() * std::declval<rotations>());
static_assert(cm::admissible_at_query_key<rotation_product>);
static_assert(!cm::admissible_at_query_key<cm::product_of<cm::scaled_rotation, shear>>);
static_assert(!cm::admissible_at_query_key<cm::product_of<shear, cm::scaled_rotation>>);

// So are inverse and transpose.
static_assert(cm::admissible_at_query_key<decltype(inverse(std::declval<rotations>()))>);
static_assert(cm::admissible_at_query_key<decltype(cm::inverse_transpose(std::declval<rotations>()))>);
static_assert(!cm::admissible_at_query_key<cm::inverse_of<shear>>);

// Mixed products, sums and tensors: what structure cannot tell, the provers decide.
using mixed = cm::composed<scales, cm::dense_map<field>>;
static_assert(cm::admissible_at_value_output<mixed> && !cm::admissible_at_up_down<mixed>);
using scaled_twice = cm::composed<scales, scales>;
static_assert(cm::admissible_at_up_down<scaled_twice>);
using sum = cm::direct_sum<cm::orthogonal_map<field>, cm::orthogonal_map<field>>;
static_assert(cm::admissible_at_residual_stream<sum>);
static_assert(!cm::admissible_at_residual_stream<cm::direct_sum<cm::orthogonal_map<field>, scales>>);
using tensor = cm::kronecker<cm::orthogonal_map<field>, cm::orthogonal_map<field>>;
static_assert(cm::admissible_at_residual_stream<tensor> && cm::admissible_at_down_input<tensor>);
static_assert(!cm::admissible_at_residual_stream<cm::kronecker<scales, cm::orthogonal_map<field>>>);

// Values: (a * b) applies a first; inverse and transpose reverse; A (x) B is the Kronecker product of the matrices.
template <class T> constexpr field matrix_of(T const& t) {
    return apply(t, cm::identity_matrix<field>(dim(t)));
}
template <class K> constexpr auto drawn(std::uint64_t seed, std::size_t n) {
    cm::random_source random(seed);
    cm::parameter_source<cm::prime_field> source(random);
    return cm::make_transform<K, field>(source, {n, n});
}
constexpr bool products_are_in_order() {
    auto const a = drawn<cm::dense>(1, 4);
    auto const b = drawn<cm::channel_scale>(2, 4);
    auto const r = drawn<cm::scaled_rotation>(3, 4), q = drawn<cm::scaled_rotation>(4, 4);
    auto const p = drawn<cm::permutation>(5, 4), o = drawn<cm::permutation>(6, 4);
    return matrix_of(a * b) == product(matrix_of(a), matrix_of(b)) &&
           matrix_of(b * a) == product(matrix_of(b), matrix_of(a)) &&
           !(matrix_of(a * b) == matrix_of(b * a)) &&
           matrix_of(r * q) == product(matrix_of(r), matrix_of(q)) &&
           matrix_of(p * o) == product(matrix_of(p), matrix_of(o)) &&
           matrix_of(a * a) == product(matrix_of(a), matrix_of(a));
}
static_assert(products_are_in_order());
template <class T> constexpr bool inverse_and_transpose_fit(T const& t) {
    return product(matrix_of(t), matrix_of(inverse(t))) == cm::identity_matrix<field>(dim(t)) &&
           transpose(matrix_of(t)) == matrix_of(transpose(t)) &&
           matrix_of(cm::inverse_transpose(t)) == transpose(matrix_of(inverse(t)));
}
static_assert(inverse_and_transpose_fit(drawn<cm::dense>(1, 3) * drawn<cm::channel_scale>(2, 3)));
static_assert(inverse_and_transpose_fit(drawn<cm::scaled_rotation>(1, 4) * drawn<cm::scaled_rotation>(2, 4)));
static_assert(inverse_and_transpose_fit(cm::direct_sum<cm::dense_map<field>, scales>{
    drawn<cm::dense>(1, 3), drawn<cm::channel_scale>(2, 2)}));
static_assert(inverse_and_transpose_fit(cm::kronecker<cm::dense_map<field>, scales>{
    drawn<cm::dense>(1, 3), drawn<cm::channel_scale>(2, 2)}));
constexpr bool repeat_inverts() {
    std::vector<cm::dense_map<field>> of_kv_head;
    of_kv_head.push_back(drawn<cm::dense>(1, 2));
    of_kv_head.push_back(drawn<cm::dense>(2, 2));
    return inverse_and_transpose_fit(cm::repeated(of_kv_head, 2));
}
static_assert(repeat_inverts());
constexpr bool kronecker_is_the_product_of_entries() {
    auto const a = drawn<cm::dense>(1, 2);
    auto const b = drawn<cm::dense>(2, 3);
    field const k = matrix_of(cm::kronecker<cm::dense_map<field>, cm::dense_map<field>>{a, b});
    for (std::size_t i = 0; i < 6; ++i)
        for (std::size_t j = 0; j < 6; ++j)
            if (!(k(i, j) == a.forward(i / 3, j / 3) * b.forward(i % 3, j % 3))) return false;
    return true;
}
static_assert(kronecker_is_the_product_of_entries());
constexpr bool repeat_is_consecutive() {
    std::vector<scales> of_kv_head;
    of_kv_head.push_back(drawn<cm::channel_scale>(1, 2));
    of_kv_head.push_back(drawn<cm::channel_scale>(2, 2));
    auto const r = cm::repeated(of_kv_head, 2);
    return r.blocks.size() == 4 && r.blocks[1].factors == of_kv_head[0].factors &&
           r.blocks[2].factors == of_kv_head[1].factors;
}
static_assert(repeat_is_consecutive());
