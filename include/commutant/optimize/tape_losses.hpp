// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <commutant/optimize/tape_matrix.hpp>

namespace commutant {

/// Sum of all elements: [1, 1].
template <class T> [[nodiscard]] tape_matrix<T> sum(tape_matrix<T> const& a) {
    eigen_matrix<T> total(1, 1);
    total(0, 0) = a.value().values.sum();
    return recorded(tape_matrix<T>(std::move(total)), {&a},
                    [](auto& g, tape_inputs<T> const& in) { in[0]->gradient_to_fill().array() += g(0, 0); });
}

/// Mean of the squares of all elements: [1, 1].
template <class T> [[nodiscard]] tape_matrix<T> mean_square(tape_matrix<T> const& a) {
    eigen_matrix<T> mean(1, 1);
    mean(0, 0) = a.value().values.squaredNorm() / static_cast<T>(a.size());
    return recorded(tape_matrix<T>(std::move(mean)), {&a},
                    [x = saved_values<T>(a)](auto& g, tape_inputs<T> const& in) {
                        in[0]->add(*x * (T(2) * g(0, 0) / static_cast<T>((*x).size())));
                    });
}

/// Sum of the products of a's elements with constants: [1, 1].  a: g weights
///
/// How gradients that were collected elsewhere go on: backward() of this sends `weights` to a.
template <class T>
[[nodiscard]] tape_matrix<T> inner_product(tape_matrix<T> const& a, eigen_matrix<T> weights) {
    detail::require(weights.rows() == a.rows() && weights.cols() == a.cols(),
                    "inner_product: one weight for each element");
    eigen_matrix<T> total(1, 1);
    total(0, 0) = a.value().values.cwiseProduct(weights.values).sum();
    return recorded(tape_matrix<T>(std::move(total)), {&a},
                    [w = std::move(weights)](auto& g, tape_inputs<T> const& in) mutable {
                        w.values *= g(0, 0);
                        in[0]->add(std::move(w.values));
                    });
}

/// Size of a's elements, large ones counting most: [1, 1].
///
/// Equation  y = (mean |a|^p)^(1/p);  a: g |a|^(p-1) sign(a) y^(1-p) / size
/// Errors    std::invalid_argument if p is below 1 or a has no element
template <class T> [[nodiscard]] tape_matrix<T> lp_norm(tape_matrix<T> const& a, int p) {
    if (p < 1 || a.size() == 0)
        throw std::invalid_argument("lp_norm: p is " + std::to_string(p) + " and the matrix has " +
                                    std::to_string(a.size()) + " elements, expected at least 1 of both");
    // Row by row, so that powers are multiplied up in cache.
    using row = Eigen::Array<T, 1, Eigen::Dynamic>;
    auto const power = [](row const& x, int n) {  // n >= 0
        row y = row::Ones(x.cols());
        for (int i = 0; i < n; ++i) y *= x;
        return y;
    };
    // In units of the largest element, whose powers neither overflow nor vanish.
    auto const& values = a.value().values;
    T const largest = values.cwiseAbs().maxCoeff(), unit = largest > T(0) ? largest : T(1);
    auto const count = static_cast<double>(a.size());
    double sum = 0;
    for (Eigen::Index i = 0; i < values.rows(); ++i)
        sum += static_cast<double>(power((values.row(i).array() / unit).abs(), p).sum());
    T const root = static_cast<T>(std::pow(sum / count, 1.0 / p));
    eigen_matrix<T> norm(1, 1);
    norm(0, 0) = unit * root;
    return recorded(tape_matrix<T>(std::move(norm)), {&a},
                    [x = saved_values<T>(a), power, p, unit, root, count](auto& g, tape_inputs<T> const& in) {
                        if (root == T(0)) return;
                        T const factor = static_cast<T>(static_cast<double>(g(0, 0)) / count),
                                size = unit * root;
                        typename eigen_matrix<T>::storage slope((*x).rows(), (*x).cols());
                        for (Eigen::Index i = 0; i < slope.rows(); ++i) {
                            row const in_units = (*x).row(i).array() / size;
                            slope.row(i) = power(in_units.abs(), p - 1) * in_units.sign() * factor;
                        }
                        in[0]->add(std::move(slope));
                    });
}

/// A target that no loss is paid for.
inline constexpr int ignored_target = -1;

/// Mean over tokens of -log softmax(logits)[target]: next-token loss.
///
/// Shape     logits: [tokens, vocab_size]; targets: [tokens]; result: [1, 1]
/// Units     natural logarithm
/// Errors    std::invalid_argument if there are not as many targets as rows, a target is outside the vocabulary, or
///           every target is ignored
template <class T>
[[nodiscard]] tape_matrix<T> mean_cross_entropy(tape_matrix<T> const& logits, std::span<int const> targets) {
    if (targets.size() != logits.rows())
        throw std::invalid_argument("mean_cross_entropy: " + std::to_string(targets.size()) +
                                    " targets, expected one for each of the " +
                                    std::to_string(logits.rows()) + " rows of logits");
    auto const& z = logits.value().values;
    typename eigen_matrix<T>::storage slope;
    if (logits.carries_gradient()) slope.setZero(z.rows(), z.cols());
    double total = 0;
    std::size_t counted = 0;
    for (Eigen::Index i = 0; i < z.rows(); ++i) {
        int const target = targets[static_cast<std::size_t>(i)];
        if (target == ignored_target) continue;
        if (target < 0 || target >= z.cols())
            throw std::invalid_argument("mean_cross_entropy: target " + std::to_string(target) + " at row " +
                                        std::to_string(i) + ", expected 0 .. " +
                                        std::to_string(z.cols() - 1));
        T const largest = z.row(i).maxCoeff();
        Eigen::Array<T, 1, Eigen::Dynamic> const exponentials = (z.row(i).array() - largest).exp();
        T const power = exponentials.sum();
        total += std::log(static_cast<double>(power)) + static_cast<double>(largest - z(i, target));
        ++counted;
        if (slope.size() == 0) continue;
        slope.row(i) = (exponentials / power).matrix();
        slope(i, target) -= T(1);
    }
    if (counted == 0)
        throw std::invalid_argument("mean_cross_entropy: no target to predict, expected at least one");
    eigen_matrix<T> mean(1, 1);
    mean(0, 0) = static_cast<T>(total / static_cast<double>(counted));
    T const share = T(1) / static_cast<T>(counted);
    return recorded(tape_matrix<T>(std::move(mean)), {&logits},
                    [slope = std::move(slope), share](auto& g, tape_inputs<T> const& in) mutable {
                        slope *= g(0, 0) * share;
                        in[0]->add(std::move(slope));
                    });
}

}  // namespace commutant
