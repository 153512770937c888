// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <commutant/optimize/tape_matrix.hpp>

namespace commutant {

namespace detail {

/// A rectangle of a matrix, its columns possibly strided.
struct tape_region {
    std::size_t first_row = 0;
    std::size_t n_rows = 0;
    slice features{};

    [[nodiscard]] std::size_t row_end() const { return first_row + n_rows; }
    /// One past the last column.
    [[nodiscard]] std::size_t column_end() const {
        return features.count == 0 ? features.begin
                                   : features.begin + (features.count - 1) * features.stride + 1;
    }
    [[nodiscard]] bool same_as(tape_region const& o) const {
        return first_row == o.first_row && n_rows == o.n_rows && features.begin == o.features.begin &&
               features.count == o.features.count &&
               (features.stride == o.features.stride || features.count < 2);
    }
    /// True only if no element is in both.
    [[nodiscard]] bool apart_from(tape_region const& o) const {
        if (row_end() <= o.first_row || o.row_end() <= first_row) return true;
        if (column_end() <= o.features.begin || o.column_end() <= features.begin) return true;
        std::size_t const stride = features.stride;
        return stride == o.features.stride && stride > 1 &&
               features.begin % stride != o.features.begin % stride;
    }
};

template <class T> using tape_storage = typename eigen_matrix<T>::storage;

/// The elements of x in a region, as an Eigen expression that f is called with.
template <class Storage, class F> void with_region(Storage& x, tape_region const& r, F f) {
    auto const index = [](std::size_t i) { return static_cast<Eigen::Index>(i); };
    if (r.features.stride == 1) {
        f(x.block(index(r.first_row), index(r.features.begin), index(r.n_rows), index(r.features.count)));
    } else {
        f(x(Eigen::seqN(index(r.first_row), index(r.n_rows)),
            Eigen::seqN(index(r.features.begin), index(r.features.count), index(r.features.stride))));
    }
}

/// A matrix put together from pieces written over a base; later pieces hide earlier ones.
template <class T> class assembly_node final : public tape_node<T> {
public:
    using pointer = typename tape_node<T>::pointer;

    assembly_node(std::size_t rows, std::size_t cols, pointer base) : tape_node<T>(rows, cols) {
        this->inputs_.push_back(std::move(base));
    }

    void write(tape_region const& r, pointer piece) {
        if (!beyond_all(r))
            for (auto const& earlier : regions_) overlapping_ = overlapping_ || !r.apart_from(earlier);
        regions_.push_back(r);
        this->inputs_.push_back(std::move(piece));
        row_end_ = row_end_ > r.row_end() ? row_end_ : r.row_end();
        column_end_ = column_end_ > r.column_end() ? column_end_ : r.column_end();
    }

    /// Where the gradient of a region goes: past this node if no piece, or one piece exactly, stands there.
    /// Returns false if it goes to this node itself.
    [[nodiscard]] bool sees_through(tape_region const& r, pointer& node, bool& whole) const {
        if (!beyond_all(r)) {
            for (std::size_t k = regions_.size(); k-- > 0;) {
                if (regions_[k].apart_from(r)) continue;
                if (!regions_[k].same_as(r)) return false;
                whole = true;
                node = this->inputs_[k + 1];
                return true;
            }
        }
        whole = false;
        node = this->inputs_[0];
        return true;
    }

protected:
    void pass_back() override {
        auto& g = this->gradient();
        auto const& base = this->inputs_[0];
        for (std::size_t k = regions_.size(); k-- > 0;) {
            auto const& piece = this->inputs_[k + 1];
            with_region(g, regions_[k], [&](auto&& part) {
                if (piece) piece->add(part);
                if (base || overlapping_) part.setZero();
            });
        }
        if (base) base->add(std::move(g));
    }
    void release() override { regions_.clear(); }

private:
    /// Beside or below every piece: the usual case, found without a search.
    [[nodiscard]] bool beyond_all(tape_region const& r) const {
        return r.first_row >= row_end_ || r.features.begin >= column_end_;
    }

    std::vector<tape_region> regions_{};
    bool overlapping_ = false;
    std::size_t row_end_ = 0;
    std::size_t column_end_ = 0;
};

/// values = x's elements in region r.
template <class T>
[[nodiscard]] tape_matrix<T> region_of(tape_matrix<T> const& x, tape_region const& r,
                                       eigen_matrix<T> values) {
    tape_matrix<T> result(std::move(values));
    auto node = x.node();
    bool whole = false;
    while (node != nullptr && !whole) {
        auto const* assembly = dynamic_cast<assembly_node<T> const*>(node.get());
        typename tape_node<T>::pointer next;
        if (assembly == nullptr || assembly->is_spent() || !assembly->sees_through(r, next, whole)) break;
        node = std::move(next);
    }
    if (node == nullptr || whole) return std::move(result).with_node(std::move(node));
    tape_matrix<T> const source = tape_matrix<T>(x).with_node(std::move(node));
    return recorded(std::move(result), {&source}, [r](auto& g, tape_inputs<T> const& in) {
        with_region(in[0]->gradient_to_fill(), r, [&](auto&& part) { part += g; });
    });
}

/// Writes v over region r of a.
///
/// In place while nobody else holds a's values or node; whoever has read them keeps what it has read.
template <class T> void set_region(tape_matrix<T>& a, tape_region const& r, tape_matrix<T> const& v) {
    auto node = a.node();
    bool const in_place = node != nullptr && node.use_count() == 2 && !node->is_spent() &&
                          dynamic_cast<assembly_node<T>*>(node.get()) != nullptr;
    if (!in_place && (node != nullptr || v.carries_gradient()))
        node = std::make_shared<assembly_node<T>>(a.rows(), a.cols(), std::move(node));
    if (node != nullptr) static_cast<assembly_node<T>&>(*node).write(r, v.node());
    // Values first without a node, so that they can be written to.
    tape_matrix<T> written = std::move(a).with_node(nullptr);
    Eigen::Map<tape_storage<T>> elements(written.data(), static_cast<Eigen::Index>(written.rows()),
                                         static_cast<Eigen::Index>(written.cols()));
    with_region(elements, r, [&](auto&& part) { part = v.value().values; });
    a = std::move(written).with_node(std::move(node));
}

[[nodiscard]] inline tape_region whole_rows(std::size_t begin, std::size_t count, std::size_t n_columns) {
    return {begin, count, {0, n_columns, 1}};
}

}  // namespace detail

template <class T> [[nodiscard]] tape_matrix<T> columns(tape_matrix<T> const& a, slice s) {
    return detail::region_of(a, {0, a.rows(), s}, columns(a.value(), s));
}

template <class T> void set_columns(tape_matrix<T>& a, slice s, tape_matrix<T> const& v) {
    detail::require(v.rows() == a.rows() && v.cols() == s.count,
                    "set_columns: the value has another shape than the slice");
    detail::set_region(a, {0, a.rows(), s}, v);
}

template <class T>
[[nodiscard]] tape_matrix<T> row_block(tape_matrix<T> const& a, std::size_t begin, std::size_t count) {
    return detail::region_of(a, detail::whole_rows(begin, count, a.cols()),
                             row_block(a.value(), begin, count));
}

template <class T> void set_row_block(tape_matrix<T>& a, std::size_t begin, tape_matrix<T> const& v) {
    detail::require(v.cols() == a.cols() && begin + v.rows() <= a.rows(),
                    "set_row_block: the value has another shape than the block");
    detail::set_region(a, detail::whole_rows(begin, v.rows(), a.cols()), v);
}

template <class T>
[[nodiscard]] tape_matrix<T> append_rows(tape_matrix<T> const& a, tape_matrix<T> const& b) {
    if (a.rows() == 0) return b;
    auto const n = static_cast<Eigen::Index>(a.rows());
    return recorded(tape_matrix<T>(append_rows(a.value(), b.value())), {&a, &b},
                    [n](auto& g, tape_inputs<T> const& in) {
                        if (in[0]) in[0]->add(g.topRows(n));
                        if (in[1]) in[1]->add(g.bottomRows(g.rows() - n));
                    });
}

/// Gradients of rows named more than once add up.
template <class T>
[[nodiscard]] tape_matrix<T> gather_rows(tape_matrix<T> const& table, std::span<int const> ids) {
    return recorded(tape_matrix<T>(gather_rows(table.value(), ids)), {&table},
                    [rows = std::vector<int>(ids.begin(), ids.end())](auto& g, tape_inputs<T> const& in) {
                        auto& to = in[0]->gradient_to_fill();
                        for (std::size_t i = 0; i < rows.size(); ++i)
                            to.row(rows[i]) += g.row(static_cast<Eigen::Index>(i));
                    });
}

template <class T>
[[nodiscard]] tape_matrix<T> gather_columns(tape_matrix<T> const& a, std::span<std::size_t const> order) {
    return recorded(
        tape_matrix<T>(gather_columns(a.value(), order)), {&a},
        [named = std::vector<std::size_t>(order.begin(), order.end())](auto& g, tape_inputs<T> const& in) {
            auto& to = in[0]->gradient_to_fill();
            for (std::size_t j = 0; j < named.size(); ++j)
                to.col(static_cast<Eigen::Index>(named[j])) += g.col(static_cast<Eigen::Index>(j));
        });
}

}  // namespace commutant
