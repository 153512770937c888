// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

#include <commutant/core/polynomial.hpp>

namespace commutant {

/// Symbols that appear in residuals, so that a compiler's message can be read.
template <std::size_t I>
struct parameter;  ///< parameter I of the transform, in the order in which it draws them
template <std::size_t I> struct feature;      ///< feature I of what the transform is applied to
template <std::size_t I> struct cosine;       ///< of RoPE's angle for pair I
template <std::size_t I> struct sine;         ///< of RoPE's angle for pair I
template <std::size_t I> struct gate;         ///< activated gate of channel I
template <std::size_t I> struct query;        ///< feature I of a query
template <std::size_t I> struct probability;  ///< attention probability I
template <class Symbol, unsigned Exponent> struct power_of;

/// Coefficient times the product of the factors.
template <long long Coefficient, class... Factors> struct term;

/// What is left of T(op(x)) - op(T(x)): one polynomial, term by term. residual<> is zero: the law holds.
template <class... Terms> struct residual;

/// Stands for the terms beyond the first six.
struct more_terms;

namespace detail {
template <class... T> struct type_list {};

template <class... A, class... B> auto joined(type_list<A...>, type_list<B...>) -> type_list<A..., B...>;

template <class Symbol, unsigned Exponent> auto factor() {
    if constexpr (Exponent == 0)
        return type_list<>{};
    else if constexpr (Exponent == 1)
        return type_list<std::type_identity<Symbol>>{};
    else
        return type_list<std::type_identity<power_of<Symbol, Exponent>>>{};
}

template <class... L> struct concatenated { using type = type_list<>; };
template <class First, class... Rest> struct concatenated<First, Rest...> {
    using type = decltype(joined(First{}, typename concatenated<Rest...>::type{}));
};

template <long long C, class... F>
auto term_of(type_list<std::type_identity<F>...>) -> std::type_identity<term<C, F...>>;

/// Poly::value is a polynomial, Op::symbol<V> the name of its variable V.
template <class Op, class Poly, std::size_t K> struct named_term {
    static constexpr polynomial::term t = Poly::value[K];
    template <std::size_t... V>
    static auto factors(std::index_sequence<V...>) ->
        typename concatenated<decltype(factor<typename Op::template symbol<V>, t.exponent(V)>())...>::type;
    using type = typename decltype(term_of<t.coefficient>(
        factors(std::make_index_sequence<polynomial::n_variables>{})))::type;
};

template <class Op, class Poly, std::size_t... K> auto named_residual(std::index_sequence<K...>) {
    if constexpr (Poly::value.size() > sizeof...(K))
        return std::type_identity<residual<typename named_term<Op, Poly, K>::type..., more_terms>>{};
    else
        return std::type_identity<residual<typename named_term<Op, Poly, K>::type...>>{};
}
}  // namespace detail

/// The polynomial Poly::value written as a type, with the names that Op gives to its variables.
template <class Op, class Poly>
using residual_type = typename decltype(detail::named_residual<Op, Poly>(
    std::make_index_sequence<(Poly::value.size() < 6 ? Poly::value.size() : 6)>{}))::type;

}  // namespace commutant
