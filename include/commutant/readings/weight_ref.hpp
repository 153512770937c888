// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>

#include <commutant/readings/eigen_matrix.hpp>

namespace commutant {

/// A weight, bias or gain in the caller's own buffer: merges read it in double precision and write it back in place, one
/// rounding for each value written. Nothing is owned and no weight is copied; work space is one block of rows or columns.
///
/// Shape     [rows, cols], row i starting at data[i * row_stride]
/// Layout    row-major, elements of a row next to each other
template <class T> class weight_ref {
public:
    using scalar = double;
    using working = eigen_matrix<double>;

    weight_ref() = default;
    weight_ref(T* data, std::size_t rows, std::size_t cols, std::size_t row_stride)
        : data_(data), rows_(rows), cols_(cols), row_stride_(row_stride) {}
    /// Errors    std::invalid_argument if the span is not rows * cols long
    weight_ref(std::span<T> elements, std::size_t rows, std::size_t cols)
        : weight_ref(elements.data(), rows, cols, cols) {
        if (elements.size() != rows * cols)
            throw std::invalid_argument("weight_ref: the buffer has " + std::to_string(elements.size()) +
                                        " elements, expected rows * cols = " + std::to_string(rows) + " * " +
                                        std::to_string(cols));
    }
    /// A row-major Eigen::Ref or Map (of a bias: one row).
    template <class Derived>
        requires(Derived::IsRowMajor != 0)
    explicit weight_ref(Eigen::MapBase<Derived, Eigen::WriteAccessors>& x)
        : weight_ref(x.data(), static_cast<std::size_t>(x.rows()), static_cast<std::size_t>(x.cols()),
                     static_cast<std::size_t>(x.outerStride())) {}

    [[nodiscard]] std::size_t rows() const { return rows_; }
    [[nodiscard]] std::size_t cols() const { return cols_; }

    [[nodiscard]] friend working columns(weight_ref const& w, slice s) {
        return w.map()(Eigen::all, working::sequence(s)).template cast<double>();
    }
    friend void set_columns(weight_ref& w, slice s, working const& v) {
        w.map()(Eigen::all, working::sequence(s)) = v.values.template cast<T>();
    }
    [[nodiscard]] friend working row_block(weight_ref const& w, std::size_t begin, std::size_t count) {
        return w.map().middleRows(working::index(begin), working::index(count)).template cast<double>();
    }
    friend void set_row_block(weight_ref& w, std::size_t begin, working const& v) {
        w.map().middleRows(working::index(begin), v.values.rows()) = v.values.template cast<T>();
    }

private:
    using storage = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    [[nodiscard]] auto map() const {
        return Eigen::Map<storage, Eigen::Unaligned, Eigen::OuterStride<>>(
            data_, working::index(rows_), working::index(cols_),
            Eigen::OuterStride<>(working::index(row_stride_)));
    }

    T* data_ = nullptr;
    std::size_t rows_ = 0;
    std::size_t cols_ = 0;
    std::size_t row_stride_ = 0;
};

}  // namespace commutant
