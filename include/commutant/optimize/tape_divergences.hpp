// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <commutant/optimize/tape_matrix.hpp>

// How far a student's next-token probabilities q = softmax(student) are from a teacher's p = softmax(teacher), as a mean over
// tokens, in natural logarithm. The teacher is constant.

namespace commutant {

namespace detail {

template <class T> using row_array = Eigen::Array<T, 1, Eigen::Dynamic>;

/// log softmax of one row.
template <class T, class Row> [[nodiscard]] row_array<T> log_softmax(Row const& z) {
    T const largest = z.maxCoeff();
    return z.array() - (largest + std::log((z.array() - largest).exp().sum()));
}

/// Mean over rows of a divergence whose value and slope by the row of student logits `of_row` gives.
///
/// of_row    (row of student, row of teacher, row of slope to be written) -> double
template <class T, class F>
[[nodiscard]] tape_matrix<T> mean_divergence(tape_matrix<T> const& student, eigen_matrix<T> const& teacher,
                                             char const* name, F of_row) {
    if (student.rows() != teacher.rows() || student.cols() != teacher.cols() || student.size() == 0)
        throw std::invalid_argument(std::string(name) + ": student logits are " +
                                    std::to_string(student.rows()) + " x " + std::to_string(student.cols()) +
                                    ", expected those of the teacher, " + std::to_string(teacher.rows()) +
                                    " x " + std::to_string(teacher.cols()) + ", and at least one");
    auto const& z = student.value().values;
    typename eigen_matrix<T>::storage slope(z.rows(), z.cols());
    double total = 0;
    for (Eigen::Index i = 0; i < z.rows(); ++i)
        total += of_row(z.row(i), teacher.values.row(i), slope.row(i));
    eigen_matrix<T> mean(1, 1);
    mean(0, 0) = static_cast<T>(total / static_cast<double>(z.rows()));
    T const share = T(1) / static_cast<T>(z.rows());
    return recorded(tape_matrix<T>(std::move(mean)), {&student},
                    [slope = std::move(slope), share](auto& g, tape_inputs<T> const& in) mutable {
                        slope *= g(0, 0) * share;
                        in[0]->add(std::move(slope));
                    });
}

/// Sum of p log(p / q) over logarithms.
template <class T>
[[nodiscard]] double relative_entropy(row_array<T> const& log_p, row_array<T> const& log_q) {
    return static_cast<double>((log_p.exp() * (log_p - log_q)).sum());
}

}  // namespace detail

/// Jensen-Shannon divergence: bounded by log 2 and the same from both sides.
///
/// Equation  m = (p + q) / 2;  (sum p log(p / m) + sum q log(q / m)) / 2
///           student: q_i (s_i - sum_k q_k s_k), s = log(q / m) / 2
/// Shape     student, teacher: [tokens, vocab_size]; result: [1, 1]
/// Errors    std::invalid_argument if the shapes differ or there is no token
template <class T>
[[nodiscard]] tape_matrix<T> mean_jensen_shannon(tape_matrix<T> const& student,
                                                 eigen_matrix<T> const& teacher) {
    return detail::mean_divergence(
        student, teacher, "mean_jensen_shannon", [](auto const& z, auto const& t, auto slope) {
            using row = detail::row_array<T>;
            row const log_q = detail::log_softmax<T>(z), log_p = detail::log_softmax<T>(t);
            row const q = log_q.exp(), p = log_p.exp();
            // Where both vanish nothing is multiplied with the logarithm, which only has to be finite.
            row const log_m = (T(0.5) * (p + q)).max(std::numeric_limits<T>::min()).log();
            row const s = T(0.5) * (log_q - log_m);
            T const of_q = (q * s).sum();
            slope = (q * (s - of_q)).matrix();
            return static_cast<double>(of_q + T(0.5) * (p * (log_p - log_m)).sum());
        });
}

/// Kullback-Leibler divergence of the student from the teacher.
///
/// Equation  sum p log(p / q);  student: q - p
/// Shape     student, teacher: [tokens, vocab_size]; result: [1, 1]
/// Errors    std::invalid_argument if the shapes differ or there is no token
template <class T>
[[nodiscard]] tape_matrix<T> mean_kullback_leibler(tape_matrix<T> const& student,
                                                   eigen_matrix<T> const& teacher) {
    return detail::mean_divergence(
        student, teacher, "mean_kullback_leibler", [](auto const& z, auto const& t, auto slope) {
            detail::row_array<T> const log_q = detail::log_softmax<T>(z), log_p = detail::log_softmax<T>(t);
            slope = (log_q.exp() - log_p.exp()).matrix();
            return detail::relative_entropy<T>(log_p, log_q);
        });
}

/// The same among the k tokens that the teacher finds most likely, both made to sum to one there.
///
/// Shape     student, teacher: [tokens, vocab_size]; result: [1, 1]; k: 1 .. vocab_size
/// Note      among equal logits those of lower ids count as more likely
/// Errors    std::invalid_argument if the shapes differ, there is no token, or k is out of range
template <class T>
[[nodiscard]] tape_matrix<T> mean_top_kullback_leibler(tape_matrix<T> const& student,
                                                       eigen_matrix<T> const& teacher, std::size_t k) {
    if (k == 0 || k > teacher.cols())
        throw std::invalid_argument("mean_top_kullback_leibler: k is " + std::to_string(k) +
                                    ", expected 1 to " + std::to_string(teacher.cols()));
    std::vector<Eigen::Index> order(teacher.cols());
    return detail::mean_divergence(
        student, teacher, "mean_top_kullback_leibler",
        [order = std::move(order), k](auto const& z, auto const& t, auto slope) mutable {
            std::iota(order.begin(), order.end(), Eigen::Index{0});
            auto const top = order.begin() + static_cast<std::ptrdiff_t>(k);
            std::nth_element(order.begin(), top - 1, order.end(), [&](Eigen::Index a, Eigen::Index b) {
                return t(a) != t(b) ? t(a) > t(b) : a < b;
            });
            detail::row_array<T> of_z(static_cast<Eigen::Index>(k)), of_t(of_z.size());
            for (Eigen::Index j = 0; j < of_z.size(); ++j) {
                auto const id = order[static_cast<std::size_t>(j)];
                of_z(j) = z(id), of_t(j) = t(id);
            }
            detail::row_array<T> const log_q = detail::log_softmax<T>(of_z);
            detail::row_array<T> const log_p = detail::log_softmax<T>(of_t);
            slope.setZero();
            for (Eigen::Index j = 0; j < of_z.size(); ++j)
                slope(order[static_cast<std::size_t>(j)]) = std::exp(log_q(j)) - std::exp(log_p(j));
            return detail::relative_entropy<T>(log_p, log_q);
        });
}

}  // namespace commutant
