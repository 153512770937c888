// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include <commutant/transforms/kind.hpp>

namespace commutant {

/// One factor for each feature, of kind K.
///
/// Equation  y_j = x_j f_j
/// Shape     factors: [1, dim], none zero
/// Cost      0 when merged
template <class K, class M> struct diagonal {
    using kind = K;
    M factors;

    [[nodiscard]] static constexpr diagonal from_parameters(M const& p) {
        return {K::factor(lanes<M>(p)).values(p.cols())};
    }

    /// Drawn from the source: parameters near 1 with either sign.
    [[nodiscard]] static constexpr diagonal make(parameter_source<typename M::scalar>& source,
                                                 transform_shape const& shape) {
        M p = parameter_matrix<M>(source, 1, shape.dim, 1);
        for (std::size_t j = 0; j < shape.dim; ++j) p(0, j) = p(0, j) * source.sign();
        return from_parameters(p);
    }
};

template <class K, class M> [[nodiscard]] constexpr std::size_t dim(diagonal<K, M> const& t) {
    return t.factors.cols();
}
template <class K, class M> [[nodiscard]] constexpr M apply(diagonal<K, M> const& t, M const& x) {
    return scale_columns(x, t.factors);
}
template <class K, class M> [[nodiscard]] constexpr diagonal<K, M> inverse(diagonal<K, M> const& t) {
    return {reciprocal(t.factors)};
}
template <class K, class M> [[nodiscard]] constexpr diagonal<K, M> transpose(diagonal<K, M> const& t) {
    return t;
}

}  // namespace commutant
