// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/transforms/diagonal.hpp>
#include <commutant/transforms/pairwise.hpp>

namespace commutant {

namespace detail {
template <class K, class M> struct value_of_kind { using type = typename K::template on<M>; };
template <pair_formula K, class M> struct value_of_kind<K, M> { using type = pairwise<K, M>; };
template <diagonal_formula K, class M> struct value_of_kind<K, M> { using type = diagonal<K, M>; };
}  // namespace detail

/// A transform of kind K with its parameters, read on matrices M.
template <transform_kind K, class M> using value_of = typename detail::value_of_kind<K, M>::type;

/// A transform of kind K with parameters drawn from the source.
template <transform_kind K, class M>
[[nodiscard]] constexpr value_of<K, M> make_transform(parameter_source<typename M::scalar>& source,
                                                      transform_shape const& shape) {
    if constexpr (self_made_kind<K>)
        return K::template make<M>(source, shape);
    else
        return value_of<K, M>::make(source, shape);
}

}  // namespace commutant
