// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <utility>

#include <commutant/transforms/channel_scale.hpp>
#include <commutant/transforms/dense.hpp>
#include <commutant/transforms/orthogonal.hpp>
#include <commutant/transforms/permutation.hpp>
#include <commutant/transforms/value.hpp>

namespace commutant {

/// The kind of a product of two pair formulas: its block is the product of their blocks, so its law is proved like theirs.
template <class A, class B> struct product_of {
    template <class... S>
        requires(sizeof...(S) ==
                 detail::block_arity<A, prime_field>() + detail::block_arity<B, prime_field>())
    [[nodiscard]] static constexpr auto block(S const&... p) {
        using scalar = std::common_type_t<S...>;
        std::array<scalar, sizeof...(S)> const values{p...};
        return detail::block_of<A>(values.data()) *
               detail::block_of<B>(values.data() + detail::block_arity<A, prime_field>());
    }
};

/// One transform after another, where nothing simpler is known of their product.
///
/// Equation  y = x A B
template <class A, class B> struct composed {
    A first;
    B second;

    struct kind {
        static constexpr char const* name = "composed";
        template <class M> using on = composed<value_of<typename A::kind, M>, value_of<typename B::kind, M>>;
        template <class M>
        [[nodiscard]] static constexpr on<M> make(parameter_source<typename M::scalar>& source,
                                                  transform_shape const& shape) {
            auto a = make_transform<typename A::kind, M>(source, shape);
            return {std::move(a), make_transform<typename B::kind, M>(source, shape)};
        }
    };
};

template <class A, class B> [[nodiscard]] constexpr std::size_t dim(composed<A, B> const& t) {
    return dim(t.first);
}
template <class A, class B, class M> [[nodiscard]] constexpr M apply(composed<A, B> const& t, M const& x) {
    return apply(t.second, apply(t.first, x));
}
template <class A, class B> [[nodiscard]] constexpr auto inverse(composed<A, B> const& t) {
    return composed<decltype(inverse(t.second)), decltype(inverse(t.first))>{inverse(t.second),
                                                                             inverse(t.first)};
}
template <class A, class B> [[nodiscard]] constexpr auto transpose(composed<A, B> const& t) {
    return composed<decltype(transpose(t.second)), decltype(transpose(t.first))>{transpose(t.second),
                                                                                 transpose(t.first)};
}

/// A transform with parameters of some kind.
template <class T> concept transform_value = requires(T const& t) {
    typename T::kind;
    dim(t);
    inverse(t);
    transpose(t);
};

/// a, then b. What both have is kept: scaled rotations stay pairwise, diagonals diagonal, orthogonal matrices
/// orthogonal, permutations permutations.
///
/// Errors    std::invalid_argument if they act on different numbers of features
template <transform_value A, transform_value B>
[[nodiscard]] constexpr auto operator*(A const& a, B const& b) {
    detail::require(dim(a) == dim(b), "operator*: the two transforms act on different numbers of features");
    return composed<A, B>{a, b};
}

template <class A, class B, class M>
[[nodiscard]] constexpr auto operator*(pairwise<A, M> const& a, pairwise<B, M> const& b) {
    detail::require(a.dim == b.dim && a.rotary_dim() == b.rotary_dim() && a.rope_pairing == b.rope_pairing,
                    "operator*: give both transforms the same pairing, rotary_dim and number of features");
    auto const lanes_of = [](block2<M> const& x) {
        return block2<lanes<M>>{lanes<M>(x.b00), lanes<M>(x.b01), lanes<M>(x.b10), lanes<M>(x.b11)};
    };
    auto const c = lanes_of(a.blocks) * lanes_of(b.blocks);
    std::size_t const n = a.blocks.b00.cols();
    pairwise<product_of<A, B>, M> r{
        {c.b00.values(n), c.b01.values(n), c.b10.values(n), c.b11.values(n)}, a.rope_pairing, a.dim};
    if (dim(a.rest) != 0 && dim(b.rest) != 0)
        r.rest = a.rest * b.rest;
    else if (dim(a.rest) != 0)
        r.rest = a.rest;
    else
        r.rest = b.rest;
    return r;
}

template <class A, class B, class M>
[[nodiscard]] constexpr diagonal<channel_scale, M> operator*(diagonal<A, M> const& a,
                                                             diagonal<B, M> const& b) {
    return {elementwise_product(a.factors, b.factors)};
}

template <class M>
[[nodiscard]] constexpr dense_map<M> operator*(dense_map<M> const& a, dense_map<M> const& b) {
    return {product(a.forward, b.forward), product(b.backward, a.backward)};
}

template <class M>
[[nodiscard]] constexpr orthogonal_map<M> operator*(orthogonal_map<M> const& a, orthogonal_map<M> const& b) {
    return {product(a.q, b.q)};
}

[[nodiscard]] constexpr permutation_map operator*(permutation_map const& a, permutation_map const& b) {
    detail::require(dim(a) == dim(b), "operator*: the two permutations act on different numbers of features");
    std::vector<std::size_t> order(dim(b), 0);
    for (std::size_t j = 0; j < order.size(); ++j) order[j] = a.order()[b.order()[j]];
    return permutation_map(std::move(order));
}

}  // namespace commutant
