// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <concepts>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace commutant {

/// Constants of AdamW.
struct adamw_options {
    double beta1 = 0.9;         ///< memory of the gradient
    double beta2 = 0.99;        ///< memory of its square
    double epsilon = 1e-8;      ///< added to the root of the second moment
    double weight_decay = 0.0;  ///< share of a parameter that one step at learning rate 1 takes away
};

/// AdamW on one group of parameters in the caller's buffer; groups with learning rates of their own are several of these.
///
/// Equation  m <- b1 m + (1 - b1) g, v <- b2 v + (1 - b2) g^2, step t from 1 on;
///           p <- p - rate (m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + epsilon) + weight_decay p)
/// Shape     parameters, gradient: [size()]
/// Errors    std::invalid_argument if a span has another size
/// Paper     Decoupled weight decay regularization, arXiv:1711.05101, algorithm 2
template <std::floating_point T> class adamw {
public:
    explicit adamw(std::size_t size, adamw_options const& options = {})
        : options_(options), first_moment_(size, T(0)), second_moment_(size, T(0)) {}

    [[nodiscard]] std::size_t size() const noexcept { return first_moment_.size(); }
    [[nodiscard]] std::size_t steps() const noexcept { return steps_; }

    /// One step; gradient_scale multiplies the gradient first (clipping).
    void step(std::span<T> parameters, std::span<T const> gradient, double learning_rate,
              double gradient_scale = 1.0) {
        require_size("parameters", parameters.size());
        require_size("gradient", gradient.size());
        ++steps_;
        auto const t = static_cast<double>(steps_);
        auto const b1 = static_cast<T>(options_.beta1), b2 = static_cast<T>(options_.beta2);
        auto const rate = static_cast<T>(learning_rate / (1 - std::pow(options_.beta1, t)));
        auto const root = static_cast<T>(1 / std::sqrt(1 - std::pow(options_.beta2, t)));
        auto const epsilon = static_cast<T>(options_.epsilon);
        auto const kept = static_cast<T>(1 - learning_rate * options_.weight_decay);
        auto const scale = static_cast<T>(gradient_scale);
        T* const p = parameters.data();
        T const* const g = gradient.data();
        T* const m = first_moment_.data();
        T* const v = second_moment_.data();
        for (std::size_t i = 0; i < parameters.size(); ++i) {
            T const slope = scale * g[i];
            m[i] = b1 * m[i] + (T(1) - b1) * slope;
            v[i] = b2 * v[i] + (T(1) - b2) * slope * slope;
            p[i] = kept * p[i] - rate * m[i] / (root * std::sqrt(v[i]) + epsilon);
        }
    }

    /// The running means, for checkpoints.  [size()] each
    [[nodiscard]] std::span<T const> first_moment() const noexcept { return first_moment_; }
    [[nodiscard]] std::span<T const> second_moment() const noexcept { return second_moment_; }
    /// Continues from a checkpoint.
    void resume(std::size_t steps, std::span<T const> first_moment, std::span<T const> second_moment) {
        require_size("first moment", first_moment.size());
        require_size("second moment", second_moment.size());
        steps_ = steps;
        first_moment_.assign(first_moment.begin(), first_moment.end());
        second_moment_.assign(second_moment.begin(), second_moment.end());
    }

private:
    void require_size(char const* what, std::size_t found) const {
        if (found != size())
            throw std::invalid_argument("adamw: " + std::string(what) + " has " + std::to_string(found) +
                                        " elements, expected " + std::to_string(size()));
    }

    adamw_options options_;
    std::size_t steps_ = 0;
    std::vector<T> first_moment_;
    std::vector<T> second_moment_;
};

}  // namespace commutant
