// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>

#include <commutant/core/polynomial.hpp>
#include <commutant/core/prime_field.hpp>

namespace commutant {

/// splitmix64: the same words from the same seed on every machine, while compiling and at run time.
class random_source {
public:
    explicit constexpr random_source(std::uint64_t seed) : state_(seed) {}

    [[nodiscard]] constexpr std::uint64_t next_word() { return detail::mix(state_ += 0x9e3779b97f4a7c15u); }
    /// Uniform in [0, 1).
    [[nodiscard]] constexpr double next_unit() { return static_cast<double>(next_word() >> 11) * 0x1p-53; }
    /// Uniform in 0 .. n - 1 (n far below 2^64).
    [[nodiscard]] constexpr std::size_t next_below(std::size_t n) {
        return static_cast<std::size_t>(next_word() % n);
    }

private:
    std::uint64_t state_;
};

/// Where the parameters of a transform come from: random numbers, random field elements, or fresh symbols.
///
/// near(c) is a number around c where numbers have a size (so that what is built stays well-conditioned), any element
/// of the field, or a new variable; sign() is 1 or -1 where signs exist and 1 otherwise.
template <class Scalar> class parameter_source;

template <> class parameter_source<prime_field> {
public:
    explicit constexpr parameter_source(random_source& r) : random_(&r) {}
    [[nodiscard]] constexpr prime_field near(int) { return prime_field::from_word(random_->next_word()); }
    [[nodiscard]] constexpr prime_field sign() { return 1; }
    [[nodiscard]] constexpr random_source& random() { return *random_; }

private:
    random_source* random_;
};

template <std::floating_point T> class parameter_source<T> {
public:
    explicit constexpr parameter_source(random_source& r) : random_(&r) {}
    [[nodiscard]] constexpr T near(int centre) { return static_cast<T>(centre + random_->next_unit() - 0.5); }
    [[nodiscard]] constexpr T sign() { return (random_->next_word() >> 63) != 0 ? T(-1) : T(1); }
    [[nodiscard]] constexpr random_source& random() { return *random_; }

private:
    random_source* random_;
};

template <> class parameter_source<rational_function> {
public:
    /// Symbols are numbered from `first` on.
    explicit constexpr parameter_source(std::size_t first) : next_(first) {}
    [[nodiscard]] constexpr rational_function near(int) { return polynomial::variable(next_++); }
    [[nodiscard]] constexpr rational_function sign() { return 1; }
    [[nodiscard]] constexpr std::size_t next() const { return next_; }
    [[nodiscard]] constexpr random_source& random() { return random_; }

private:
    std::size_t next_;
    random_source random_{1};
};

/// A matrix of parameters around the centre, filled row by row.
template <class M>
[[nodiscard]] constexpr M parameter_matrix(parameter_source<typename M::scalar>& source, std::size_t rows,
                                           std::size_t cols, int centre) {
    M r(rows, cols);
    for (std::size_t k = 0; k < rows * cols; ++k) r.data()[k] = source.near(centre);
    return r;
}

}  // namespace commutant
