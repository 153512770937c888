// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <stdexcept>
#include <utility>
#include <vector>

#include <commutant/core/matrix.hpp>
#include <commutant/transforms/kind.hpp>

namespace commutant {

/// Features in another order.
///
/// Equation  y_j = x_order[j]
/// Shape     order, position: [dim]; position is the inverse permutation
/// Cost      0 when merged
/// Errors    std::invalid_argument if the order is not a permutation
class permutation_map {
public:
    using kind = struct permutation;

    constexpr permutation_map() = default;
    explicit constexpr permutation_map(std::vector<std::size_t> order)
        : order_(std::move(order)), position_(order_.size(), order_.size()) {
        for (std::size_t j = 0; j < order_.size(); ++j) {
            if (order_[j] >= order_.size() || position_[order_[j]] != order_.size())
                throw std::invalid_argument("permutation: every feature must appear once in the order");
            position_[order_[j]] = j;
        }
    }

    [[nodiscard]] constexpr std::vector<std::size_t> const& order() const { return order_; }

    [[nodiscard]] friend constexpr permutation_map inverse(permutation_map t) {
        std::swap(t.order_, t.position_);
        return t;
    }
    [[nodiscard]] friend constexpr permutation_map transpose(permutation_map const& t) { return inverse(t); }
    [[nodiscard]] friend constexpr permutation_map inverse_transpose(permutation_map const& t) { return t; }
    [[nodiscard]] friend constexpr std::size_t dim(permutation_map const& t) { return t.order_.size(); }

private:
    std::vector<std::size_t> order_{};
    std::vector<std::size_t> position_{};
};

template <class M> [[nodiscard]] constexpr M apply(permutation_map const& t, M const& x) {
    return gather_columns(x, std::span<std::size_t const>(t.order().data(), t.order().size()));
}

/// The kind of a permutation.
struct permutation {
    static constexpr char const* name = "permutation";
    template <class M> using on = permutation_map;

    /// Fisher and Yates.
    template <class M>
    [[nodiscard]] static constexpr permutation_map make(parameter_source<typename M::scalar>& source,
                                                        transform_shape const& shape) {
        // The zero is written out: without it Clang 14 refuses the vector in constant expressions.
        std::vector<std::size_t> order(shape.dim, 0);
        for (std::size_t j = 0; j < shape.dim; ++j) order[j] = j;
        for (std::size_t j = shape.dim; j > 1; --j)
            std::swap(order[j - 1], order[source.random().next_below(j)]);
        return permutation_map(std::move(order));
    }
};

}  // namespace commutant
