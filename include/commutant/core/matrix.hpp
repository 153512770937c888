// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <stdexcept>
#include <utility>

#include <commutant/core/scalar.hpp>

namespace commutant {

/// Features begin, begin + stride, ..., count of them.
struct slice {
    std::size_t begin = 0;
    std::size_t count = 0;
    std::size_t stride = 1;
};

/// Row-major matrix of any scalar, usable in constant expressions: the matrix type of proofs.
///
/// The free functions below are the vocabulary in which operators, transforms, the decoder block and merges are
/// written. Other readings (eigen_matrix at run time, a tape for training) bring the same words for their own type,
/// and argument-dependent lookup picks the reading.
///
/// Errors    shapes that do not fit throw std::invalid_argument (inside a constant expression: a compile error)
template <class T> class matrix {
public:
    using scalar = T;

    constexpr matrix() = default;
    /// Zeros.
    constexpr matrix(std::size_t rows, std::size_t cols)
        : rows_(rows), cols_(cols), data_(new T[rows * cols]{}) {}
    constexpr matrix(matrix const& o) : rows_(o.rows_), cols_(o.cols_), data_(new T[o.size()]) {
        for (std::size_t k = 0; k < size(); ++k) data_[k] = o.data_[k];
    }
    constexpr matrix(matrix&& o) noexcept
        : rows_(std::exchange(o.rows_, 0)),
          cols_(std::exchange(o.cols_, 0)),
          data_(std::exchange(o.data_, nullptr)) {}
    constexpr matrix& operator=(matrix o) noexcept {
        std::swap(rows_, o.rows_), std::swap(cols_, o.cols_), std::swap(data_, o.data_);
        return *this;
    }
    constexpr ~matrix() { delete[] data_; }

    [[nodiscard]] constexpr std::size_t rows() const { return rows_; }
    [[nodiscard]] constexpr std::size_t cols() const { return cols_; }
    [[nodiscard]] constexpr std::size_t size() const { return rows_ * cols_; }
    [[nodiscard]] constexpr T* data() { return data_; }
    [[nodiscard]] constexpr T const* data() const { return data_; }
    [[nodiscard]] constexpr T& operator()(std::size_t i, std::size_t j) { return data_[i * cols_ + j]; }
    [[nodiscard]] constexpr T const& operator()(std::size_t i, std::size_t j) const {
        return data_[i * cols_ + j];
    }

    friend constexpr bool operator==(matrix const& a, matrix const& b) {
        if (a.rows_ != b.rows_ || a.cols_ != b.cols_) return false;
        for (std::size_t k = 0; k < a.size(); ++k)
            if (!(a.data_[k] == b.data_[k])) return false;
        return true;
    }

private:
    std::size_t rows_ = 0;
    std::size_t cols_ = 0;
    T* data_ = nullptr;
};

namespace detail {
constexpr void require(bool fits, char const* what) {
    if (!fits) throw std::invalid_argument(what);
}

/// A matrix of a's shape whose element k is f(k).
template <class T, class F> constexpr matrix<T> generated(std::size_t rows, std::size_t cols, F f) {
    matrix<T> r(rows, cols);
    T* const out = r.data();
    for (std::size_t k = 0; k < rows * cols; ++k) out[k] = f(k);
    return r;
}
}  // namespace detail

/// a b.  a: [n, k], b: [k, m]
template <class T> [[nodiscard]] constexpr matrix<T> product(matrix<T> const& a, matrix<T> const& b) {
    detail::require(a.cols() == b.rows(), "product: the columns of a must be as many as the rows of b");
    std::size_t const m = b.cols();
    if (b.rows() == 0) return matrix<T>(a.rows(), m);  // no column of b to point at
    return detail::generated<T>(a.rows(), m, [&](std::size_t k) {
        return dot(a.data() + k / m * a.cols(), 1, b.data() + k % m, m, a.cols());
    });
}

/// a b^T.  a: [n, k], b: [m, k]; a linear layer, attention scores
template <class T>
[[nodiscard]] constexpr matrix<T> product_transposed(matrix<T> const& a, matrix<T> const& b) {
    detail::require(a.cols() == b.cols(), "product_transposed: a and b must have the same number of columns");
    std::size_t const m = b.rows();
    return detail::generated<T>(a.rows(), m, [&](std::size_t k) {
        return dot(a.data() + k / m * a.cols(), 1, b.data() + k % m * b.cols(), 1, a.cols());
    });
}

template <class T> [[nodiscard]] constexpr matrix<T> transpose(matrix<T> const& a) {
    return detail::generated<T>(a.cols(), a.rows(),
                                [&](std::size_t k) { return a(k % a.rows(), k / a.rows()); });
}

template <class T> [[nodiscard]] constexpr matrix<T> operator+(matrix<T> const& a, matrix<T> const& b) {
    detail::require(a.rows() == b.rows() && a.cols() == b.cols(), "operator+: shapes differ");
    return detail::generated<T>(a.rows(), a.cols(), [&](std::size_t k) { return a.data()[k] + b.data()[k]; });
}

template <class T> [[nodiscard]] constexpr matrix<T> operator-(matrix<T> const& a, matrix<T> const& b) {
    detail::require(a.rows() == b.rows() && a.cols() == b.cols(), "operator-: shapes differ");
    return detail::generated<T>(a.rows(), a.cols(), [&](std::size_t k) { return a.data()[k] - b.data()[k]; });
}

template <class T>
[[nodiscard]] constexpr matrix<T> elementwise_product(matrix<T> const& a, matrix<T> const& b) {
    detail::require(a.rows() == b.rows() && a.cols() == b.cols(), "elementwise_product: shapes differ");
    return detail::generated<T>(a.rows(), a.cols(), [&](std::size_t k) { return a.data()[k] * b.data()[k]; });
}

/// a s, s one number.
template <class T> [[nodiscard]] constexpr matrix<T> scaled(matrix<T> const& a, T const& s) {
    return detail::generated<T>(a.rows(), a.cols(), [&](std::size_t k) { return a.data()[k] * s; });
}

/// a plus s in every element.
template <class T> [[nodiscard]] constexpr matrix<T> shifted(matrix<T> const& a, T const& s) {
    return detail::generated<T>(a.rows(), a.cols(), [&](std::size_t k) { return a.data()[k] + s; });
}

/// a diag(r).  r: [1, a.cols()]
template <class T> [[nodiscard]] constexpr matrix<T> scale_columns(matrix<T> const& a, matrix<T> const& r) {
    detail::require(r.rows() == 1 && r.cols() == a.cols(), "scale_columns: one factor for each column");
    return detail::generated<T>(a.rows(), a.cols(),
                                [&](std::size_t k) { return a.data()[k] * r.data()[k % a.cols()]; });
}

/// diag(c) a.  c: [a.rows(), 1]
template <class T> [[nodiscard]] constexpr matrix<T> scale_rows(matrix<T> const& a, matrix<T> const& c) {
    detail::require(c.cols() == 1 && c.rows() == a.rows(), "scale_rows: one factor for each row");
    return detail::generated<T>(a.rows(), a.cols(),
                                [&](std::size_t k) { return a.data()[k] * c.data()[k / a.cols()]; });
}

/// r added to every row of a: a bias.  r: [1, a.cols()]
template <class T> [[nodiscard]] constexpr matrix<T> add_to_rows(matrix<T> const& a, matrix<T> const& r) {
    detail::require(r.rows() == 1 && r.cols() == a.cols(), "add_to_rows: one number for each column");
    return detail::generated<T>(a.rows(), a.cols(),
                                [&](std::size_t k) { return a.data()[k] + r.data()[k % a.cols()]; });
}

/// 1 / x in every element.
template <class T> [[nodiscard]] constexpr matrix<T> reciprocal(matrix<T> const& a) {
    return detail::generated<T>(a.rows(), a.cols(), [&](std::size_t k) { return reciprocal(a.data()[k]); });
}

/// 1 / sqrt(x) in every element.
template <class T> [[nodiscard]] constexpr matrix<T> rsqrt(matrix<T> const& a) {
    return detail::generated<T>(a.rows(), a.cols(), [&](std::size_t k) { return rsqrt(a.data()[k]); });
}

/// x sigmoid(x) in every element.
template <class T> [[nodiscard]] constexpr matrix<T> silu(matrix<T> const& a) {
    return detail::generated<T>(a.rows(), a.cols(), [&](std::size_t k) { return silu(a.data()[k]); });
}

/// Mean of the squares of each row: [a.rows(), 1].
template <class T> [[nodiscard]] constexpr matrix<T> mean_square_rows(matrix<T> const& a) {
    T const share = reciprocal(T(static_cast<int>(a.cols())));
    return detail::generated<T>(a.rows(), 1, [&](std::size_t i) {
        T const* const row = a.data() + i * a.cols();
        return dot(row, 1, row, 1, a.cols()) * share;
    });
}

/// Softmax over the columns that row i may see: 0 .. first_position + i; zero beyond.
template <class T> [[nodiscard]] constexpr matrix<T> causal_softmax(matrix<T> a, std::size_t first_position) {
    for (std::size_t i = 0; i < a.rows(); ++i) {
        std::size_t const seen = first_position + i + 1;
        softmax_in_place(a.data() + i * a.cols(), seen);
        for (std::size_t j = seen; j < a.cols(); ++j) a(i, j) = T(0);
    }
    return a;
}

/// The named columns of a.
template <class T> [[nodiscard]] constexpr matrix<T> columns(matrix<T> const& a, slice s) {
    detail::require(s.count == 0 || s.begin + (s.count - 1) * s.stride < a.cols(),
                    "columns: the slice ends past the last column");
    return detail::generated<T>(
        a.rows(), s.count, [&](std::size_t k) { return a(k / s.count, s.begin + k % s.count * s.stride); });
}

/// Writes v over the named columns of a.
template <class T> constexpr void set_columns(matrix<T>& a, slice s, matrix<T> const& v) {
    detail::require(v.rows() == a.rows() && v.cols() == s.count,
                    "set_columns: the value has another shape than the slice");
    for (std::size_t k = 0; k < v.size(); ++k) a(k / s.count, s.begin + k % s.count * s.stride) = v.data()[k];
}

/// Rows begin .. begin + count of a.
template <class T>
[[nodiscard]] constexpr matrix<T> row_block(matrix<T> const& a, std::size_t begin, std::size_t count) {
    detail::require(begin + count <= a.rows(), "row_block: the block ends past the last row");
    return detail::generated<T>(count, a.cols(),
                                [&](std::size_t k) { return a.data()[begin * a.cols() + k]; });
}

/// Writes v over the rows of a that start at begin.
template <class T> constexpr void set_row_block(matrix<T>& a, std::size_t begin, matrix<T> const& v) {
    detail::require(v.cols() == a.cols() && begin + v.rows() <= a.rows(),
                    "set_row_block: the value has another shape than the block");
    for (std::size_t k = 0; k < v.size(); ++k) a.data()[begin * a.cols() + k] = v.data()[k];
}

/// a with b below it.
template <class T> [[nodiscard]] constexpr matrix<T> append_rows(matrix<T> const& a, matrix<T> const& b) {
    if (a.rows() == 0) return b;
    matrix<T> r(a.rows() + b.rows(), a.cols());
    set_row_block(r, 0, a);
    set_row_block(r, a.rows(), b);
    return r;
}

/// Row ids[i] of the table, for each i.
template <class T>
[[nodiscard]] constexpr matrix<T> gather_rows(matrix<T> const& table, std::span<int const> ids) {
    return detail::generated<T>(ids.size(), table.cols(), [&](std::size_t k) {
        return table(static_cast<std::size_t>(ids[k / table.cols()]), k % table.cols());
    });
}

/// Column order[j] of a becomes column j.
template <class T>
[[nodiscard]] constexpr matrix<T> gather_columns(matrix<T> const& a, std::span<std::size_t const> order) {
    return detail::generated<T>(a.rows(), order.size(),
                                [&](std::size_t k) { return a(k / order.size(), order[k % order.size()]); });
}

/// Inverse of a square matrix, by its adjugate for order 2, otherwise by Gauss and Jordan with the first non-zero pivot
/// of each column: exact in exact scalars, no method for floating point.
/// Errors    std::domain_error if a is singular
template <class T> [[nodiscard]] constexpr matrix<T> inverse(matrix<T> a) {
    std::size_t const n = a.rows();
    detail::require(a.cols() == n, "inverse: a must be square");
    if (n == 2) {  // keeps the entries of symbolic matrices short
        T const determinant = a(0, 0) * a(1, 1) - a(0, 1) * a(1, 0);
        if (determinant == T(0)) throw std::domain_error("inverse: a is singular");
        T const share = reciprocal(determinant);
        matrix<T> adjugate(2, 2);
        adjugate(0, 0) = a(1, 1) * share, adjugate(0, 1) = -a(0, 1) * share;
        adjugate(1, 0) = -a(1, 0) * share, adjugate(1, 1) = a(0, 0) * share;
        return adjugate;
    }
    matrix<T> r(n, n);
    for (std::size_t i = 0; i < n; ++i) r(i, i) = T(1);
    for (std::size_t c = 0; c < n; ++c) {
        std::size_t pivot = c;
        while (pivot < n && a(pivot, c) == T(0)) ++pivot;
        if (pivot == n) throw std::domain_error("inverse: a is singular");
        T const factor = reciprocal(a(pivot, c));
        for (std::size_t j = 0; j < n; ++j) {
            std::swap(a(pivot, j), a(c, j)), std::swap(r(pivot, j), r(c, j));
            a(c, j) = a(c, j) * factor;
            r(c, j) = r(c, j) * factor;
        }
        for (std::size_t i = 0; i < n; ++i) {
            T const f = a(i, c);
            if (i == c || f == T(0)) continue;
            for (std::size_t j = 0; j < n; ++j) {
                a(i, j) = a(i, j) - f * a(c, j);
                r(i, j) = r(i, j) - f * r(c, j);
            }
        }
    }
    return r;
}

/// The identity of order n, in reading M.
template <class M> [[nodiscard]] constexpr M identity_matrix(std::size_t n) {
    M r(n, n);
    for (std::size_t i = 0; i < n; ++i) r(i, i) = typename M::scalar(1);
    return r;
}

}  // namespace commutant
