// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include <commutant/optimize/tape_matrix.hpp>
#include <commutant/readings/eigen_qr.hpp>

namespace commutant {

/// a = q r.  a: (g - q L) r^-T, L the symmetric matrix that has the lower triangle of g^T q
template <class T> [[nodiscard]] tape_matrix<T> orthogonal_factor(tape_matrix<T> const& a) {
    auto factors = qr(a.value());
    tape_matrix<T> const q(std::move(factors.q));
    return recorded(
        q, {&a}, [q = saved_values<T>(q), r = std::move(factors.r)](auto& g, tape_inputs<T> const& in) {
            using storage = typename eigen_matrix<T>::storage;
            storage symmetric = g.transpose() * *q;
            symmetric = symmetric.template selfadjointView<Eigen::Lower>();
            storage const left = g - *q * symmetric;
            in[0]->add(storage(
                r.values.template triangularView<Eigen::Upper>().solve(left.transpose()).transpose()));
        });
}

}  // namespace commutant
