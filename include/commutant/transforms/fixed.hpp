// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include <commutant/transforms/kind.hpp>

namespace commutant {

/// Stands for a size that is known at run time only.
inline constexpr std::size_t dynamic_dim = static_cast<std::size_t>(-1);

/// A transform whose size the type knows: the same value, and a wrong size no longer compiles.
///
/// Errors    std::invalid_argument if the value has another size
template <std::size_t Dim, class T> struct fixed : T {
    static constexpr std::size_t static_dim = Dim;

    constexpr fixed(T t) : T(std::move(t)) {  // NOLINT(google-explicit-constructor): the same transform
        if (dim(static_cast<T const&>(*this)) != Dim)
            throw std::invalid_argument("fixed: the transform has " +
                                        std::to_string(dim(static_cast<T const&>(*this))) +
                                        " features, expected " + std::to_string(Dim));
    }
};

/// A query_key transform whose pairing the type knows.
///
/// Errors    std::invalid_argument if the value has the other pairing
template <pairing P, class T> struct fixed_pairing : T {
    static constexpr pairing static_pairing = P;

    constexpr fixed_pairing(T t)
        : T(std::move(t)) {  // NOLINT(google-explicit-constructor): the same transform
        if (this->rope_pairing != P)
            throw std::invalid_argument("fixed_pairing: the transform has the other pairing");
    }
};

namespace detail {
template <class T> inline constexpr std::size_t static_dim_of = dynamic_dim;
template <class T>
    requires requires { T::static_dim; }
inline constexpr std::size_t static_dim_of<T> = T::static_dim;
template <class T, class U> inline constexpr bool pairings_agree = true;
template <class T, class U>
    requires requires {
        T::static_pairing;
        U::static_pairing;
    }
inline constexpr bool pairings_agree<T, U> = T::static_pairing == U::static_pairing;
}  // namespace detail

/// The two agree on their number of features as far as their types know it.
/// Model  fixed<64, ...> and fixed_heads<64>.  Non-model  fixed<64, ...> and fixed_heads<128>
template <class T, class U> concept same_dim_as = detail::static_dim_of<T>
== dynamic_dim || detail::static_dim_of<U> == dynamic_dim ||
    detail::static_dim_of<T> == detail::static_dim_of<U>;

/// The two agree on RoPE's pairing as far as their types know it.
/// Model  fixed_pairing<half_split, ...> and heads.  Non-model  fixed_pairing<half_split, ...> and
/// rope_heads<64, interleaved>
template <class T, class U> concept same_pairing_as = detail::pairings_agree<T, U>;

}  // namespace commutant
