// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <utility>

#include <commutant/transforms/kind.hpp>

namespace commutant {

/// Any invertible matrix, kept together with its inverse (T_v, one per kv head).
///
/// Equation  y = x A
/// Shape     forward, backward: [dim, dim], each the other's inverse
/// Cost      0 when merged
/// Errors    std::domain_error if the matrix given is singular
/// Paper     FPTQuant, arXiv:2506.04985
template <class M> struct dense_map {
    using kind = struct dense;
    using matrix_type = M;

    M forward{};
    M backward{};

    [[nodiscard]] static constexpr dense_map from_matrix(M a) {
        M inverted = inverse(a);
        return {std::move(a), std::move(inverted)};
    }
};

/// The kind of an invertible matrix.
struct dense {
    static constexpr char const* name = "dense";
    template <class M> using on = dense_map<M>;

    /// The identity plus a random matrix of spectral norm around one half.
    template <class M>
    [[nodiscard]] static constexpr dense_map<M> make(parameter_source<typename M::scalar>& source,
                                                     transform_shape const& shape) {
        using scalar = typename M::scalar;
        M a = parameter_matrix<M>(source, shape.dim, shape.dim, 0);
        if constexpr (std::floating_point<scalar>) a = scaled(a, rsqrt(static_cast<scalar>(shape.dim)));
        for (std::size_t i = 0; i < shape.dim; ++i) a(i, i) = a(i, i) + scalar(1);
        return dense_map<M>::from_matrix(std::move(a));
    }
};

template <class M> [[nodiscard]] constexpr std::size_t dim(dense_map<M> const& t) { return t.forward.cols(); }
template <class M> [[nodiscard]] constexpr M apply(dense_map<M> const& t, M const& x) {
    return product(x, t.forward);
}
template <class M> [[nodiscard]] constexpr dense_map<M> inverse(dense_map<M> const& t) {
    return {t.backward, t.forward};
}
template <class M> [[nodiscard]] constexpr dense_map<M> transpose(dense_map<M> const& t) {
    return {transpose(t.forward), transpose(t.backward)};
}

}  // namespace commutant
