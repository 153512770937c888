// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Core>
#include <Eigen/LU>
#include <cmath>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <utility>

#include <commutant/core/matrix.hpp>

namespace commutant {

/// Row-major matrix of float or double on Eigen: the matrix type of running.
///
/// Brings every word of core/matrix.hpp; large products are Eigen's GEMM. Shapes are the caller's duty at this level,
/// checked by the model and merge entry points (and by Eigen's assertions in debug builds).
template <class T> class eigen_matrix {
public:
    using scalar = T;
    using storage = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

    eigen_matrix() = default;
    /// Zeros.
    eigen_matrix(std::size_t rows, std::size_t cols) : values(storage::Zero(index(rows), index(cols))) {}
    template <class Derived>
    eigen_matrix(Eigen::DenseBase<Derived> const& x)
        : values(x)  // NOLINT(google-explicit-constructor)
    {}

    [[nodiscard]] std::size_t rows() const { return static_cast<std::size_t>(values.rows()); }
    [[nodiscard]] std::size_t cols() const { return static_cast<std::size_t>(values.cols()); }
    [[nodiscard]] std::size_t size() const { return static_cast<std::size_t>(values.size()); }
    [[nodiscard]] T* data() { return values.data(); }
    [[nodiscard]] T const* data() const { return values.data(); }
    [[nodiscard]] T& operator()(std::size_t i, std::size_t j) { return values(index(i), index(j)); }
    [[nodiscard]] T const& operator()(std::size_t i, std::size_t j) const {
        return values(index(i), index(j));
    }
    /// All elements, row after row.
    [[nodiscard]] std::span<T> elements() { return {data(), size()}; }
    [[nodiscard]] std::span<T const> elements() const { return {data(), size()}; }

    [[nodiscard]] static Eigen::Index index(std::size_t i) { return static_cast<Eigen::Index>(i); }
    [[nodiscard]] static auto sequence(slice s) {
        return Eigen::seqN(index(s.begin), index(s.count), index(s.stride));
    }

    storage values;
};

template <class T> [[nodiscard]] eigen_matrix<T> product(eigen_matrix<T> const& a, eigen_matrix<T> const& b) {
    eigen_matrix<T> r;
    r.values.noalias() = a.values * b.values;
    return r;
}

template <class T>
[[nodiscard]] eigen_matrix<T> product_transposed(eigen_matrix<T> const& a, eigen_matrix<T> const& b) {
    eigen_matrix<T> r;
    r.values.noalias() = a.values * b.values.transpose();
    return r;
}

/// In squares that stay in cache: whole rows on one side are whole columns on the other.
template <class T> [[nodiscard]] eigen_matrix<T> transpose(eigen_matrix<T> const& a) {
    constexpr std::size_t side = 16;
    eigen_matrix<T> r;
    r.values.resize(a.values.cols(), a.values.rows());
    std::size_t const rows = a.rows(), cols = a.cols();
    for (std::size_t i = 0; i < rows; i += side)
        for (std::size_t j = 0; j < cols; j += side) {
            std::size_t const i_end = i + side < rows ? i + side : rows,
                              j_end = j + side < cols ? j + side : cols;
            for (std::size_t k = j; k < j_end; ++k)
                for (std::size_t l = i; l < i_end; ++l) r.data()[k * rows + l] = a.data()[l * cols + k];
        }
    return r;
}

template <class T>
[[nodiscard]] eigen_matrix<T> operator+(eigen_matrix<T> const& a, eigen_matrix<T> const& b) {
    return a.values + b.values;
}
/// A sum into a temporary's own storage.
template <class T> [[nodiscard]] eigen_matrix<T> operator+(eigen_matrix<T>&& a, eigen_matrix<T> const& b) {
    a.values += b.values;
    return std::move(a);
}
template <class T>
[[nodiscard]] eigen_matrix<T> operator-(eigen_matrix<T> const& a, eigen_matrix<T> const& b) {
    return a.values - b.values;
}

template <class T>
[[nodiscard]] eigen_matrix<T> elementwise_product(eigen_matrix<T> const& a, eigen_matrix<T> const& b) {
    return a.values.cwiseProduct(b.values);
}

template <class T> [[nodiscard]] eigen_matrix<T> scaled(eigen_matrix<T> const& a, T s) {
    return a.values * s;
}
template <class T> [[nodiscard]] eigen_matrix<T> scaled(eigen_matrix<T>&& a, T s) {
    a.values *= s;
    return std::move(a);
}
template <class T> [[nodiscard]] eigen_matrix<T> shifted(eigen_matrix<T> const& a, T s) {
    return a.values.array() + s;
}

template <class T>
[[nodiscard]] eigen_matrix<T> scale_columns(eigen_matrix<T> const& a, eigen_matrix<T> const& r) {
    return a.values.array().rowwise() * r.values.row(0).array();
}

template <class T>
[[nodiscard]] eigen_matrix<T> scale_rows(eigen_matrix<T> const& a, eigen_matrix<T> const& c) {
    return a.values.array().colwise() * c.values.col(0).array();
}

template <class T>
[[nodiscard]] eigen_matrix<T> add_to_rows(eigen_matrix<T> const& a, eigen_matrix<T> const& r) {
    return a.values.rowwise() + r.values.row(0);
}

template <class T> [[nodiscard]] eigen_matrix<T> reciprocal(eigen_matrix<T> const& a) {
    return a.values.cwiseInverse();
}
template <class T> [[nodiscard]] eigen_matrix<T> rsqrt(eigen_matrix<T> const& a) {
    return a.values.array().sqrt().inverse();
}
template <class T> [[nodiscard]] eigen_matrix<T> silu(eigen_matrix<T> const& a) {
    return a.values.array() / (T(1) + (-a.values.array()).exp());
}

template <class T> [[nodiscard]] eigen_matrix<T> elementwise_exp(eigen_matrix<T> const& a) {
    return a.values.array().exp();
}
template <class T> [[nodiscard]] eigen_matrix<T> elementwise_sin(eigen_matrix<T> const& a) {
    return a.values.array().sin();
}
template <class T> [[nodiscard]] eigen_matrix<T> elementwise_cos(eigen_matrix<T> const& a) {
    return a.values.array().cos();
}

template <class T> [[nodiscard]] eigen_matrix<T> mean_square_rows(eigen_matrix<T> const& a) {
    return a.values.rowwise().squaredNorm() / static_cast<T>(a.cols());
}

template <class T>
[[nodiscard]] eigen_matrix<T> causal_softmax(eigen_matrix<T> a, std::size_t first_position) {
    for (Eigen::Index i = 0; i < a.values.rows(); ++i) {
        auto const seen = static_cast<Eigen::Index>(first_position) + i + 1;
        auto row = a.values.row(i).head(seen).array();
        row = (row - row.maxCoeff()).exp();
        row /= row.sum();
        a.values.row(i).tail(a.values.cols() - seen).setZero();
    }
    return a;
}

template <class T> [[nodiscard]] eigen_matrix<T> columns(eigen_matrix<T> const& a, slice s) {
    if (a.size() == 0) return eigen_matrix<T>(a.rows(), s.count);
    if (s.stride == 1) return a.values.middleCols(a.index(s.begin), a.index(s.count));
    return a.values(Eigen::all, a.sequence(s));
}

template <class T> void set_columns(eigen_matrix<T>& a, slice s, eigen_matrix<T> const& v) {
    if (a.size() == 0) return;
    if (s.stride == 1)
        a.values.middleCols(a.index(s.begin), a.index(s.count)) = v.values;
    else
        a.values(Eigen::all, a.sequence(s)) = v.values;
}

template <class T>
[[nodiscard]] eigen_matrix<T> row_block(eigen_matrix<T> const& a, std::size_t begin, std::size_t count) {
    if (a.size() == 0) return eigen_matrix<T>(count, a.cols());
    return a.values.middleRows(a.index(begin), a.index(count));
}

template <class T> void set_row_block(eigen_matrix<T>& a, std::size_t begin, eigen_matrix<T> const& v) {
    if (v.size() == 0) return;
    a.values.middleRows(a.index(begin), v.values.rows()) = v.values;
}

template <class T>
[[nodiscard]] eigen_matrix<T> append_rows(eigen_matrix<T> const& a, eigen_matrix<T> const& b) {
    if (a.rows() == 0) return b;
    eigen_matrix<T> r;
    r.values.resize(a.values.rows() + b.values.rows(), a.values.cols());
    r.values << a.values, b.values;
    return r;
}

template <class T>
[[nodiscard]] eigen_matrix<T> gather_rows(eigen_matrix<T> const& table, std::span<int const> ids) {
    eigen_matrix<T> r;
    r.values.resize(static_cast<Eigen::Index>(ids.size()), table.values.cols());
    for (std::size_t i = 0; i < ids.size(); ++i) r.values.row(r.index(i)) = table.values.row(ids[i]);
    return r;
}

template <class T>
[[nodiscard]] eigen_matrix<T> gather_columns(eigen_matrix<T> const& a, std::span<std::size_t const> order) {
    if (a.rows() == 0) return eigen_matrix<T>(0, order.size());
    eigen_matrix<T> r;
    r.values.resize(a.values.rows(), r.index(order.size()));
    for (std::size_t j = 0; j < order.size(); ++j) r.values.col(r.index(j)) = a.values.col(r.index(order[j]));
    return r;
}

/// Inverse by LU with partial pivoting.
/// Errors    std::domain_error if a is singular to working precision
template <class T> [[nodiscard]] eigen_matrix<T> inverse(eigen_matrix<T> const& a) {
    if (a.size() == 0) return a;
    Eigen::PartialPivLU<typename eigen_matrix<T>::storage> const lu(a.values);
    if (!(lu.rcond() > Eigen::NumTraits<T>::epsilon()))
        throw std::domain_error("inverse: the " + std::to_string(a.rows()) + " x " +
                                std::to_string(a.cols()) +
                                " matrix is singular to working precision, expected an invertible one");
    return eigen_matrix<T>(lu.inverse());
}

}  // namespace commutant
