// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

#include <commutant/core/random.hpp>
#include <commutant/optimize/tape.hpp>
#include <commutant/readings/eigen_matrix.hpp>

namespace commutant::testing {

using running = eigen_matrix<double>;
using training = tape_matrix<double>;

/// Numbers around the centre, half a unit to each side.
inline running random_values(random_source& source, std::size_t rows, std::size_t cols, int centre = 0) {
    parameter_source<double> parameters(source);
    return parameter_matrix<running>(parameters, rows, cols, centre);
}

/// Largest deviation of the tape's gradients from central differences, relative to the largest gradient of the same
/// parameter; infinite if a value of the formula differs between the two readings.
///
/// formula    callable on std::vector<running> and on std::vector<training>, giving a matrix of the same reading
/// The loss is the sum of the result's elements, each times a fixed random number.
template <class F>
double gradient_deviation(std::vector<running> const& values, F formula, double step = 1e-5) {
    running const at_values = formula(values);
    random_source source(77);
    running const weights = random_values(source, at_values.rows(), at_values.cols());
    auto const loss_of = [&](std::vector<running> const& v) {
        return formula(v).values.cwiseProduct(weights.values).sum();
    };

    std::vector<training> parameters;
    for (auto const& v : values) parameters.push_back(training::parameter(v));
    {
        training const result = formula(parameters);
        if (result.value().values != at_values.values) return INFINITY;
        backward(sum(elementwise_product(result, training(weights))));
    }
    double worst = 0;
    for (std::size_t p = 0; p < values.size(); ++p) {
        running const gradient = parameters[p].gradient();
        running differences(gradient.rows(), gradient.cols());
        std::vector<running> moved = values;
        for (std::size_t k = 0; k < gradient.size(); ++k) {
            double const x = values[p].data()[k];
            moved[p].data()[k] = x + step;
            double const above = loss_of(moved);
            moved[p].data()[k] = x - step;
            differences.data()[k] = (above - loss_of(moved)) / (2 * step);
            moved[p].data()[k] = x;
        }
        double const size = differences.values.cwiseAbs().maxCoeff();
        double const off = (gradient.values - differences.values).cwiseAbs().maxCoeff();
        worst = std::max(worst, off / size);
    }
    return worst;
}

/// What central differences in double precision can tell.
inline constexpr double gradient_tolerance = 1e-6;

}  // namespace commutant::testing
