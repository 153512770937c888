// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <commutant/core/blocks.hpp>
#include <commutant/transforms/hadamard_apply.hpp>
#include <commutant/transforms/kind.hpp>

namespace commutant {

namespace detail {
/// 1 / sqrt(n) for the order of a normalised Hadamard matrix; exact scalars have it for powers of two.
template <class S> [[nodiscard]] constexpr S hadamard_share(hadamard_order order) {
    if constexpr (std::floating_point<S>) {
        return rsqrt(static_cast<S>(order.size()));
    } else {
        if (order.core != 1)
            throw std::domain_error("block_hadamard: in exact arithmetic the order must be a power of two");
        S share = 1;
        std::size_t n = order.power_of_two;
        for (; n >= 4; n /= 4) share = share * reciprocal(S(2));
        if constexpr (requires { sqrt_half(S{}); }) {
            if (n == 2) share = share * sqrt_half(S{});
        } else if (n == 2) {
            throw std::domain_error(
                "block_hadamard: this scalar has no square root of one half, expected a power of four");
        }
        return share;
    }
}
}  // namespace detail

/// A normalised Hadamard matrix on each contiguous block of features (T_d in front of down_proj).
///
/// Equation  y = x (H / sqrt(block)) on every block; the inverse is the transpose (H is not always symmetric)
/// Shape     x: [rows, dim], dim a multiple of block
/// Cost      online: log2 of the block, or a little more where it is no power of two, additions for each feature
/// Errors    std::domain_error if block does not divide dim or no Hadamard matrix of that order is known
/// Paper     FPTQuant, arXiv:2506.04985; Paley's orders: docs/explanation/hadamard-orders.md
class block_hadamard_map {
public:
    using kind = struct block_hadamard;

    constexpr block_hadamard_map() = default;
    /// block 0: the largest power of two that divides dim.
    constexpr block_hadamard_map(std::size_t dim, std::size_t block) : dim_(dim) {
        if (block == 0) block = largest_power_of_two_divisor(dim);
        if (dim == 0 || dim % block != 0)
            throw std::domain_error("block_hadamard: the block " + std::to_string(block) +
                                    " does not divide the " + std::to_string(dim) +
                                    " features, expected a divisor");
        order_ = require_hadamard_order(block);
        core_ = hadamard_rows(order_.core);
    }

    [[nodiscard]] constexpr std::size_t dim() const { return dim_; }
    [[nodiscard]] constexpr std::size_t block() const { return order_.size(); }
    /// Whether x is multiplied by H or by its transpose.
    [[nodiscard]] constexpr hadamard_side side() const { return side_; }

    [[nodiscard]] friend constexpr block_hadamard_map transpose(block_hadamard_map t) {
        t.side_ = t.side_ == hadamard_side::plain ? hadamard_side::transposed : hadamard_side::plain;
        return t;
    }

    /// x <- x H / sqrt(block) on one row of dim elements, in place.
    template <class S> constexpr void apply_to_row(S* row, std::vector<S>& scratch) const {
        S const share = detail::hadamard_share<S>(order_);
        scratch.resize(hadamard_scratch_size(order_));
        for (std::size_t begin = 0; begin < dim_; begin += block())
            apply_hadamard(row + begin, 1, order_, core_.view(), std::span<S>(scratch.data(), scratch.size()),
                           side_);
        for (std::size_t j = 0; j < dim_; ++j) row[j] = row[j] * share;
    }

private:
    std::size_t dim_ = 0;
    hadamard_order order_{1, 1};
    dynamic_sign_rows core_{};
    hadamard_side side_ = hadamard_side::plain;
};

[[nodiscard]] constexpr std::size_t dim(block_hadamard_map const& t) { return t.dim(); }
[[nodiscard]] constexpr block_hadamard_map inverse(block_hadamard_map const& t) { return transpose(t); }
[[nodiscard]] constexpr block_hadamard_map inverse_transpose(block_hadamard_map const& t) { return t; }

/// x: [rows, t.dim()], any matrix that shows its elements
template <class M>
    requires requires(M& m) { m.data(); }
[[nodiscard]] constexpr M apply(block_hadamard_map const& t, M x) {
    detail::require(x.cols() == t.dim(),
                    "apply: the matrix must have as many columns as the transform has features");
    std::vector<typename M::scalar> scratch;
    for (std::size_t i = 0; i < x.rows(); ++i) t.apply_to_row(x.data() + i * x.cols(), scratch);
    return x;
}

/// The kind of a block Hadamard transform; it has no parameters.
struct block_hadamard {
    static constexpr char const* name = "block_hadamard";
    static constexpr std::size_t smallest_exact_dim = 4;  ///< 1 / sqrt(4) needs no root
    template <class M> using on = block_hadamard_map;
    template <class M>
    [[nodiscard]] static constexpr block_hadamard_map make(parameter_source<typename M::scalar>&,
                                                           transform_shape const& shape) {
        return {shape.dim, shape.block};
    }
};

}  // namespace commutant
