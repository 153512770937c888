// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/SVD>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include <commutant/core/random.hpp>
#include <commutant/readings/eigen_matrix.hpp>
#include <commutant/transforms/kind.hpp>
#include <commutant/transforms/value.hpp>

// What every transform owes, whatever its kind, checked on its matrix: the rows that it makes of the
// identity's.

namespace transform_laws {

namespace cm = commutant;

template <class T> [[nodiscard]] cm::eigen_matrix<T> random_rows(std::size_t rows, std::size_t dim) {
    cm::random_source random(31 * rows + dim);
    cm::eigen_matrix<T> x(rows, dim);
    for (T& v : x.elements()) v = static_cast<T>(2 * random.next_unit() - 1);
    return x;
}

template <class M, class Transform> [[nodiscard]] M matrix_of(Transform const& t) {
    return apply(t, cm::identity_matrix<M>(dim(t)));
}

template <class M> [[nodiscard]] double largest_difference(M const& a, M const& b) {
    REQUIRE(a.rows() == b.rows());
    REQUIRE(a.cols() == b.cols());
    return a.size() == 0 ? 0.0 : static_cast<double>((a.values - b.values).cwiseAbs().maxCoeff());
}

/// Largest and smallest singular value.
struct extent {
    double largest, least;
    template <class M> explicit extent(M const& a) {
        Eigen::MatrixXd const wide = a.values.template cast<double>();
        auto const values = Eigen::JacobiSVD<Eigen::MatrixXd>(wide).singularValues();
        largest = values.maxCoeff(), least = values.minCoeff();
    }
    [[nodiscard]] double condition() const { return largest / least; }
};

/// Requires that apply, inverse, transpose and inverse_transpose of t are those of one invertible matrix.
template <class M, class Transform> void require_laws(Transform const& t) {
    using T = typename M::scalar;
    static_assert(cm::transform_on<Transform, M>);
    std::size_t const n = dim(t);
    M const a = matrix_of<M>(t), x = random_rows<T>(5, n), y = random_rows<T>(5, n);
    extent const size(a);
    double const eps = static_cast<double>(std::numeric_limits<T>::epsilon()), terms = static_cast<double>(n);
    CAPTURE(n, size.largest, size.condition());
    REQUIRE(size.least > 0);

    // Rounding of n products: numbers up to |A|, or up to |A^-1| where an inverse was computed, which loses
    // the condition number; 8 for the few operations on top.
    double const forward = 8 * eps * terms * std::max(1.0, size.largest);
    double const backward = 8 * eps * terms * size.condition() * std::max(1.0, 1 / size.least);
    double const round_trip = 8 * eps * terms * size.condition() * size.condition();

    CHECK(largest_difference(apply(t, x), product(x, a)) <= forward);
    CHECK(largest_difference(matrix_of<M>(transpose(t)), transpose(a)) <= forward);
    CHECK(largest_difference(matrix_of<M>(inverse(t)), inverse(a)) <= backward);
    CHECK(largest_difference(matrix_of<M>(cm::inverse_transpose(t)), transpose(inverse(a))) <= backward);
    // In any order, and twice is not at all.
    CHECK(largest_difference(matrix_of<M>(inverse(transpose(t))), transpose(inverse(a))) <= backward);
    CHECK(largest_difference(matrix_of<M>(transpose(transpose(t))), a) <= forward);
    CHECK(largest_difference(matrix_of<M>(inverse(inverse(t))), a) <= round_trip);

    CHECK(largest_difference(apply(inverse(t), apply(t, x)), x) <= round_trip);
    CHECK(largest_difference(apply(t, apply(inverse(t), x)), x) <= round_trip);
    // <x T, y> = <x, y T^T> and <x T, y T^-T> = <x, y>, row by row against row.
    CHECK(largest_difference(product_transposed(apply(t, x), y),
                             product_transposed(x, apply(transpose(t), y))) <= forward * terms);
    CHECK(largest_difference(product_transposed(apply(t, x), apply(cm::inverse_transpose(t), y)),
                             product_transposed(x, y)) <= round_trip * terms);
    // No rows at all.
    CHECK(apply(t, M(0, n)).rows() == 0);
    CHECK(apply(t, M(0, n)).cols() == n);
}

template <class Kind, class M>
[[nodiscard]] auto random_transform(std::uint64_t seed, cm::transform_shape const& shape) {
    cm::random_source random(seed);
    cm::parameter_source<typename M::scalar> source(random);
    return cm::make_transform<Kind, M>(source, shape);
}

}  // namespace transform_laws
