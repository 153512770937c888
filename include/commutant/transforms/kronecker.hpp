// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <utility>

#include <commutant/core/blocks.hpp>
#include <commutant/transforms/value.hpp>

namespace commutant {

/// The Kronecker product of two transforms: features as a table, A along its columns, B along its rows.
///
/// Equation  y = x (A (x) B), feature i * dim(B) + j standing in row i, column j of the table
/// Cost      dim(A) + dim(B) multiplications per feature instead of dim(A) dim(B)
template <class A, class B> struct kronecker {
    A outer;
    B inner;

    struct kind {
        static constexpr char const* name = "kronecker";
        template <class M> using on = kronecker<value_of<typename A::kind, M>, value_of<typename B::kind, M>>;
        /// The most even split of the features into two factors.
        template <class M>
        [[nodiscard]] static constexpr on<M> make(parameter_source<typename M::scalar>& source,
                                                  transform_shape const& shape) {
            std::size_t outer_dim = 1;
            for (std::size_t d = 1; d * d <= shape.dim; ++d)
                if (shape.dim % d == 0) outer_dim = d;
            auto a = make_transform<typename A::kind, M>(source, {.dim = outer_dim});
            return {std::move(a),
                    make_transform<typename B::kind, M>(source, {.dim = shape.dim / outer_dim})};
        }
    };
};

template <class A, class B> [[nodiscard]] constexpr std::size_t dim(kronecker<A, B> const& t) {
    return dim(t.outer) * dim(t.inner);
}

template <class A, class B, class M> [[nodiscard]] constexpr M apply(kronecker<A, B> const& t, M const& x) {
    detail::require(x.cols() == dim(t),
                    "apply: the matrix must have as many columns as the transform has features");
    std::size_t const n = dim(t.inner);
    M const rows = mapped_column_blocks(x, n, [&](std::size_t, M const& row) { return apply(t.inner, row); });
    M y(x.rows(), x.cols());
    for (std::size_t j = 0; j < n; ++j) {
        slice const column{j, dim(t.outer), n};
        set_columns(y, column, apply(t.outer, columns(rows, column)));
    }
    return y;
}
template <class A, class B> [[nodiscard]] constexpr auto inverse(kronecker<A, B> const& t) {
    return kronecker<decltype(inverse(t.outer)), decltype(inverse(t.inner))>{inverse(t.outer),
                                                                             inverse(t.inner)};
}
template <class A, class B> [[nodiscard]] constexpr auto transpose(kronecker<A, B> const& t) {
    return kronecker<decltype(transpose(t.outer)), decltype(transpose(t.inner))>{transpose(t.outer),
                                                                                 transpose(t.inner)};
}

}  // namespace commutant
