// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>

#include <commutant/core/lanes.hpp>
#include <commutant/core/pairing.hpp>
#include <commutant/core/random.hpp>

namespace commutant {

/// What a transform is built for: the features of one head, of the MLP, or of the residual stream.
struct transform_shape {
    std::size_t dim = 0;         ///< features it acts on
    std::size_t rotary_dim = 0;  ///< of these, rotated by RoPE (query_key only)
    pairing rope_pairing = pairing::half_split;
    std::size_t block = 0;  ///< width of the blocks of a block transform; 0: as wide as it may be
};

/// Row-vector 2x2 block: (x1, x2) -> (x1 b00 + x2 b10, x1 b01 + x2 b11).
template <class S> struct block2 { S b00, b01, b10, b11; };

template <class S> [[nodiscard]] constexpr block2<S> transpose(block2<S> const& b) {
    return {b.b00, b.b10, b.b01, b.b11};
}

template <class S> [[nodiscard]] constexpr block2<S> inverse(block2<S> const& b) {
    S const share = S(1) / (b.b00 * b.b11 - b.b01 * b.b10);
    return {b.b11 * share, -b.b01 * share, -b.b10 * share, b.b00 * share};
}

template <class S> [[nodiscard]] constexpr block2<S> operator*(block2<S> const& a, block2<S> const& b) {
    return {a.b00 * b.b00 + a.b01 * b.b10, a.b00 * b.b01 + a.b01 * b.b11, a.b10 * b.b00 + a.b11 * b.b10,
            a.b10 * b.b01 + a.b11 * b.b11};
}

namespace detail {
template <class K, class S> constexpr std::size_t block_arity() {
    if constexpr (requires(S p) { K::block(p); })
        return 1;
    else if constexpr (requires(S p) { K::block(p, p); })
        return 2;
    else if constexpr (requires(S p) { K::block(p, p, p); })
        return 3;
    else if constexpr (requires(S p) { K::block(p, p, p, p); })
        return 4;
    else
        return 0;
}

/// K::block of n parameters given as an array.
template <class K, class S> [[nodiscard]] constexpr block2<S> block_of(S const* p) {
    constexpr std::size_t n = block_arity<K, S>();
    if constexpr (n == 1)
        return K::block(p[0]);
    else if constexpr (n == 2)
        return K::block(p[0], p[1]);
    else if constexpr (n == 3)
        return K::block(p[0], p[1], p[2]);
    else
        return K::block(p[0], p[1], p[2], p[3]);
}
}  // namespace detail

/// A kind of transform given by the 2x2 block that acts on each RoPE pair: a static function template `block` of one
/// to four parameters. Satisfied by a struct with that formula and nothing else; the library derives the rest.
///
/// Model     scaled_rotation.  Non-model  channel_scale
template <class K> concept pair_formula = detail::block_arity<K, prime_field>()
> 0;

/// A kind of transform given by the factor of each feature: a static function template `factor` of one parameter.
///
/// Model     channel_scale.  Non-model  scaled_rotation
template <class K> concept diagonal_formula = requires(prime_field p) {
    { K::factor(p) } -> std::same_as<prime_field>;
};

/// A kind of transform that brings its own value type: `K::on<M>`, and `K::make<M>(source, shape)` which draws one.
///
/// Model     dense, orthogonal.  Non-model  scaled_rotation
template <class K>
concept self_made_kind = requires(parameter_source<prime_field>& source, transform_shape shape) {
    K::template make<matrix<prime_field>>(source, shape);
};

/// What may stand at a site of a plan.
template <class K> concept transform_kind = pair_formula<K> || diagonal_formula<K> || self_made_kind<K>;

/// A transform with parameters, read on matrices M: applies to the rows of a matrix and has an inverse and a transpose.
///
/// Model     scaled_rotation's value.  Non-model  a linear layer
template <class T, class M> concept transform_on = requires(T const& t, M const& x) {
    { apply(t, x) } -> std::same_as<M>;
    { dim(t) } -> std::convertible_to<std::size_t>;
    inverse(t);
    transpose(t);
};

/// x -> x T^-T: what the linear behind, or the other factor of a product, takes.
template <class T> [[nodiscard]] constexpr auto inverse_transpose(T const& t) {
    return transpose(inverse(t));
}

}  // namespace commutant
