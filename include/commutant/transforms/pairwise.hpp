// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <utility>

#include <commutant/core/blocks.hpp>
#include <commutant/transforms/dense.hpp>
#include <commutant/transforms/kind.hpp>

namespace commutant {

/// Kinds whose block is the inverse, or the transpose, of another's.
template <class K> struct inverse_of {
    template <class... S> [[nodiscard]] static constexpr auto block(S const&... p) requires requires {
        K::block(p...);
    }
    { return inverse(K::block(p...)); }
};
template <class K> struct transpose_of {
    template <class... S> [[nodiscard]] static constexpr auto block(S const&... p) requires requires {
        K::block(p...);
    }
    { return transpose(K::block(p...)); }
};

/// One 2x2 block of kind K on every RoPE pair of a head, and any invertible matrix on the features without position.
///
/// Equation  (y1, y2)_i = (x1, x2)_i B_i,   i = 0 .. rotary_dim / 2 - 1;   y_rest = x_rest R
/// Shape     blocks: [1, rotary_dim / 2] each; rest: [dim - rotary_dim] squared, or nothing: the identity
/// Cost      0 when merged; 4 multiplications per pair online
template <class K, class M> struct pairwise {
    using kind = K;
    using matrix_type = M;

    block2<M> blocks;
    pairing rope_pairing;
    std::size_t dim;
    dense_map<M> rest{};

    [[nodiscard]] constexpr std::size_t rotary_dim() const { return 2 * blocks.b00.cols(); }

    /// From the parameters of the formula.  p[k]: [1, rotary_dim / 2], parameter k of every pair
    template <std::size_t N>
    [[nodiscard]] static constexpr pairwise from_parameters(
        std::array<M, N> const& p, pairing rope_pairing,
        std::size_t dim) requires(N == detail::block_arity<K, lanes<M>>()) {
        auto const block = [&]<std::size_t... I>(std::index_sequence<I...>) {
            std::array<lanes<M>, N> const values{lanes<M>(p[I])...};
            return detail::block_of<K>(values.data());
        }
        (std::make_index_sequence<N>{});
        std::size_t const n = p[0].cols();
        return {{block.b00.values(n), block.b01.values(n), block.b10.values(n), block.b11.values(n)},
                rope_pairing,
                dim};
    }

    /// Drawn from the source: parameter 0 of every pair near 1, the others near 0.
    [[nodiscard]] static constexpr pairwise make(parameter_source<typename M::scalar>& source,
                                                 transform_shape const& shape) {
        constexpr std::size_t n = detail::block_arity<K, lanes<M>>();
        std::array<M, n> p{};
        for (std::size_t k = 0; k < n; ++k)
            p[k] = parameter_matrix<M>(source, 1, shape.rotary_dim / 2, k == 0 ? 1 : 0);
        pairwise t = from_parameters(p, shape.rope_pairing, shape.dim);
        if (shape.rotary_dim < shape.dim) t.rest = dense::make<M>(source, {shape.dim - shape.rotary_dim});
        return t;
    }
};

template <class K, class M> [[nodiscard]] constexpr std::size_t dim(pairwise<K, M> const& t) { return t.dim; }

template <class K, class M> [[nodiscard]] constexpr M apply(pairwise<K, M> const& t, M const& x) {
    detail::require(x.cols() == t.dim,
                    "apply: the matrix must have as many columns as the transform has features");
    block2<M> const& b = t.blocks;
    M y = mapped_pairs(x, t.rope_pairing, t.rotary_dim(), [&](M const& x1, M const& x2) {
        return std::pair<M, M>(scale_columns(x1, b.b00) + scale_columns(x2, b.b10),
                               scale_columns(x1, b.b01) + scale_columns(x2, b.b11));
    });
    if (dim(t.rest) != 0) {
        slice const rest{t.rotary_dim(), t.dim - t.rotary_dim()};
        set_columns(y, rest, apply(t.rest, columns(x, rest)));
    }
    return y;
}

template <class K, class M> [[nodiscard]] constexpr auto inverse(pairwise<K, M> const& t) {
    auto const in_lanes = [](M const& m) { return lanes<M>(m); };
    auto const b = inverse(block2<lanes<M>>{in_lanes(t.blocks.b00), in_lanes(t.blocks.b01),
                                            in_lanes(t.blocks.b10), in_lanes(t.blocks.b11)});
    std::size_t const n = t.blocks.b00.cols();
    return pairwise<inverse_of<K>, M>{{b.b00.values(n), b.b01.values(n), b.b10.values(n), b.b11.values(n)},
                                      t.rope_pairing,
                                      t.dim,
                                      inverse(t.rest)};
}

template <class K, class M> [[nodiscard]] constexpr auto transpose(pairwise<K, M> const& t) {
    return pairwise<transpose_of<K>, M>{transpose(t.blocks), t.rope_pairing, t.dim, transpose(t.rest)};
}

}  // namespace commutant
