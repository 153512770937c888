// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Core>
#include <Eigen/QR>

#include <commutant/readings/eigen_matrix.hpp>

namespace commutant {

/// A = Q R with the diagonal of R positive, which makes both unique.
template <class T> struct qr_factors {
    eigen_matrix<T> q;  ///< orthogonal
    eigen_matrix<T> r;  ///< upper triangular
};

/// Shape     a: [n, n], invertible
template <class T> [[nodiscard]] qr_factors<T> qr(eigen_matrix<T> const& a) {
    using storage = typename eigen_matrix<T>::storage;
    Eigen::HouseholderQR<storage> const factors(a.values);
    storage q = factors.householderQ();
    storage r = factors.matrixQR().template triangularView<Eigen::Upper>();
    for (Eigen::Index i = 0; i < r.rows(); ++i) {
        if (r(i, i) >= T(0)) continue;
        r.row(i) = -r.row(i);
        q.col(i) = -q.col(i);
    }
    return {std::move(q), std::move(r)};
}

/// The orthogonal factor of a square matrix: a as an orthogonal matrix, for any invertible a.
template <class T> [[nodiscard]] eigen_matrix<T> orthogonal_factor(eigen_matrix<T> const& a) {
    return qr(a).q;
}

}  // namespace commutant
