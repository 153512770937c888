// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <numbers>

namespace commutant {

/// A share of the peak learning rate for each step: a straight line up, then half a cosine down.
///
/// Equation  (step + 1) / warm_up_steps before warm_up_steps; then last + (1 - last) (1 + cos(pi u)) / 2, u from 0
///           at the end of the warm-up to 1 at n_steps; last from there on
struct cosine_schedule {
    std::size_t n_steps = 0;
    std::size_t warm_up_steps = 0;
    double last = 0.0;

    /// step      counted from 0
    [[nodiscard]] double operator()(std::size_t step) const {
        if (step < warm_up_steps) return static_cast<double>(step + 1) / static_cast<double>(warm_up_steps);
        if (step >= n_steps) return last;
        double const u =
            static_cast<double>(step - warm_up_steps) / static_cast<double>(n_steps - warm_up_steps);
        return last + (1 - last) * (1 + std::cos(std::numbers::pi * u)) / 2;
    }
};

}  // namespace commutant
