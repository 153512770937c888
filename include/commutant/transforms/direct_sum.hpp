// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include <commutant/core/blocks.hpp>
#include <commutant/transforms/value.hpp>

namespace commutant {

/// One transform on the first features, another on the rest.
///
/// Equation  y = (x_1 A, x_2 B)
template <class A, class B> struct direct_sum {
    A first;
    B second;

    struct kind {
        static constexpr char const* name = "direct_sum";
        template <class M>
        using on = direct_sum<value_of<typename A::kind, M>, value_of<typename B::kind, M>>;
        /// Half of the features each.
        template <class M>
        [[nodiscard]] static constexpr on<M> make(parameter_source<typename M::scalar>& source,
                                                  transform_shape const& shape) {
            auto a = make_transform<typename A::kind, M>(source, {.dim = shape.dim / 2});
            return {std::move(a),
                    make_transform<typename B::kind, M>(source, {.dim = shape.dim - shape.dim / 2})};
        }
    };
};

template <class A, class B> [[nodiscard]] constexpr std::size_t dim(direct_sum<A, B> const& t) {
    return dim(t.first) + dim(t.second);
}

template <class A, class B, class M> [[nodiscard]] constexpr M apply(direct_sum<A, B> const& t, M const& x) {
    detail::require(x.cols() == dim(t),
                    "apply: the matrix must have as many columns as the transform has features");
    slice const first{0, dim(t.first)}, second{dim(t.first), dim(t.second)};
    M y(x.rows(), x.cols());
    set_columns(y, first, apply(t.first, columns(x, first)));
    set_columns(y, second, apply(t.second, columns(x, second)));
    return y;
}
template <class A, class B> [[nodiscard]] constexpr auto inverse(direct_sum<A, B> const& t) {
    return direct_sum<decltype(inverse(t.first)), decltype(inverse(t.second))>{inverse(t.first),
                                                                               inverse(t.second)};
}
template <class A, class B> [[nodiscard]] constexpr auto transpose(direct_sum<A, B> const& t) {
    return direct_sum<decltype(transpose(t.first)), decltype(transpose(t.second))>{transpose(t.first),
                                                                                   transpose(t.second)};
}

/// Transforms of one type side by side, each on its own block of features: the heads of an attention layer.
///
/// Shape     every block acts on the same number of features
template <class T> struct block_diagonal { std::vector<T> blocks; };

/// Every block n_rep times in a row, as grouped queries read their kv heads.
template <class T>
[[nodiscard]] constexpr block_diagonal<T> repeated(std::vector<T> const& of_kv_head, std::size_t n_rep) {
    block_diagonal<T> r;
    for (T const& t : of_kv_head)
        for (std::size_t k = 0; k < n_rep; ++k) r.blocks.push_back(t);
    return r;
}

template <class T> [[nodiscard]] constexpr std::size_t dim(block_diagonal<T> const& t) {
    return t.blocks.empty() ? 0 : t.blocks.size() * dim(t.blocks[0]);
}
template <class T, class M> [[nodiscard]] constexpr M apply(block_diagonal<T> const& t, M const& x) {
    detail::require(x.cols() == dim(t),
                    "apply: the matrix must have as many columns as the transform has features");
    return mapped_column_blocks(x, dim(t.blocks[0]),
                                [&](std::size_t i, M const& block) { return apply(t.blocks[i], block); });
}
template <class T> [[nodiscard]] constexpr auto inverse(block_diagonal<T> const& t) {
    block_diagonal<decltype(inverse(t.blocks[0]))> r;
    for (T const& b : t.blocks) r.blocks.push_back(inverse(b));
    return r;
}
template <class T> [[nodiscard]] constexpr auto transpose(block_diagonal<T> const& t) {
    block_diagonal<decltype(transpose(t.blocks[0]))> r;
    for (T const& b : t.blocks) r.blocks.push_back(transpose(b));
    return r;
}

}  // namespace commutant
