// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include <commutant/transforms/kind.hpp>

namespace commutant {

/// Cayley's transform of a skew-symmetric matrix: orthogonal, exactly so in exact arithmetic.
///
/// Equation  (I - A)^-1 (I + A) = 2 (I - A)^-1 - I, which needs no product
/// Shape     upper: [dim, dim]; A = upper - upper^T, so only differences across the diagonal count
template <class M> [[nodiscard]] constexpr M cayley(M const& upper) {
    using scalar = typename M::scalar;
    M const one = identity_matrix<M>(upper.rows());
    return scaled(inverse(one - (upper - transpose(upper))), scalar(2)) - one;
}

/// A rotation (or reflection) of all features at once (T_r on the residual stream; T_v when held orthogonal).
///
/// Equation  y = x Q, Q^-1 = Q^T
/// Shape     q: [dim, dim]
/// Law       passes RMSNorm once gains are folded (laws/)
/// Cost      0 when merged
/// Paper     FPTQuant, arXiv:2506.04985
template <class M> struct orthogonal_map {
    using kind = struct orthogonal;
    using matrix_type = M;
    M q;
};

/// The kind of an orthogonal matrix.
struct orthogonal {
    static constexpr char const* name = "orthogonal";
    template <class M> using on = orthogonal_map<M>;

    template <class M>
    [[nodiscard]] static constexpr orthogonal_map<M> make(parameter_source<typename M::scalar>& source,
                                                          transform_shape const& shape) {
        M upper(shape.dim, shape.dim);
        for (std::size_t i = 0; i < shape.dim; ++i)
            for (std::size_t j = i + 1; j < shape.dim; ++j) upper(i, j) = source.near(0);
        return {cayley(upper)};
    }
};

template <class M> [[nodiscard]] constexpr std::size_t dim(orthogonal_map<M> const& t) { return t.q.cols(); }
template <class M> [[nodiscard]] constexpr M apply(orthogonal_map<M> const& t, M const& x) {
    return product(x, t.q);
}
template <class M> [[nodiscard]] constexpr orthogonal_map<M> inverse(orthogonal_map<M> const& t) {
    return {transpose(t.q)};
}
template <class M> [[nodiscard]] constexpr orthogonal_map<M> transpose(orthogonal_map<M> const& t) {
    return {transpose(t.q)};
}
template <class M> [[nodiscard]] constexpr orthogonal_map<M> inverse_transpose(orthogonal_map<M> const& t) {
    return t;
}

}  // namespace commutant
