// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include <commutant/core/matrix.hpp>

namespace commutant {

/// Many numbers that a scalar formula treats as one: evaluates `block(a, b)` for all pairs of a head at once, on any
/// matrix type, so that a formula written for one number runs on vectors and on a tape.
///
/// Shape     values: [1, n]; a constant of the formula (0, 1, 2, 1 / 2 ...) has no values until it meets some
template <class M> class lanes {
public:
    using scalar = typename M::scalar;

    constexpr lanes(int constant)  // NOLINT(google-explicit-constructor): 0 and 1 in formulas
        : constant_(scalar(constant)) {}
    explicit constexpr lanes(M values) : values_(std::move(values)), filled_(true) {}

    /// The numbers, n of them.
    [[nodiscard]] constexpr M values(std::size_t n) const {
        if (filled_) return values_;
        return shifted(M(1, n), constant_);
    }

    friend constexpr lanes operator+(lanes const& a, lanes const& b) {
        if (!a.filled_ && !b.filled_) return from_constant(a.constant_ + b.constant_);
        std::size_t const n = common(a, b);
        return lanes(a.values(n) + b.values(n));
    }
    friend constexpr lanes operator-(lanes const& a, lanes const& b) {
        if (!a.filled_ && !b.filled_) return from_constant(a.constant_ - b.constant_);
        std::size_t const n = common(a, b);
        return lanes(a.values(n) - b.values(n));
    }
    friend constexpr lanes operator-(lanes const& a) { return lanes(0) - a; }
    friend constexpr lanes operator*(lanes const& a, lanes const& b) {
        if (!a.filled_ && !b.filled_) return from_constant(a.constant_ * b.constant_);
        std::size_t const n = common(a, b);
        return lanes(elementwise_product(a.values(n), b.values(n)));
    }
    friend constexpr lanes operator/(lanes const& a, lanes const& b) {
        if (!a.filled_ && !b.filled_) return from_constant(a.constant_ * reciprocal(b.constant_));
        std::size_t const n = common(a, b);
        return lanes(elementwise_product(a.values(n), reciprocal(b.values(n))));
    }

private:
    struct of_constant {};
    constexpr lanes(of_constant, scalar const& constant) : constant_(constant) {}
    [[nodiscard]] static constexpr lanes from_constant(scalar const& constant) {
        return lanes(of_constant{}, constant);
    }

    /// At least one of the two has values.
    [[nodiscard]] static constexpr std::size_t common(lanes const& a, lanes const& b) {
        return a.filled_ ? a.values_.cols() : b.values_.cols();
    }

    M values_{};
    scalar constant_{};
    bool filled_ = false;
};

}  // namespace commutant
