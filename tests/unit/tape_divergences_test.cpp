// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstddef>

#include <commutant/optimize/tape.hpp>
#include <commutant/optimize/tape_divergences.hpp>
#include <support/gradient_check.hpp>

namespace cm = commutant;
using cm::testing::gradient_tolerance;
using cm::testing::random_values;
using cm::testing::running;
using cm::testing::training;

namespace {

running of_probabilities(std::initializer_list<double> p) {
    running z(1, p.size());
    std::size_t j = 0;
    for (double const x : p) z(0, j++) = std::log(x);
    return z;
}

/// Largest deviation of a loss's gradient by the student's logits from central differences, relative to the largest one.
template <class Loss> double deviation(running const& student, running const& teacher, Loss loss) {
    training const z = training::parameter(student);
    backward(loss(z, teacher));
    double worst = 0, size = 0;
    double const step = 1e-5;
    for (std::size_t k = 0; k < student.size(); ++k) {
        running above = student, below = student;
        above.data()[k] += step, below.data()[k] -= step;
        double const difference =
            (loss(training(above), teacher)(0, 0) - loss(training(below), teacher)(0, 0)) / (2 * step);
        worst = std::max(worst, std::abs(z.gradient().data()[k] - difference));
        size = std::max(size, std::abs(difference));
    }
    return worst / size;
}

auto const jensen_shannon = [](training const& z, running const& t) { return mean_jensen_shannon(z, t); };
auto const kullback_leibler = [](training const& z, running const& t) { return mean_kullback_leibler(z, t); };

}  // namespace

TEST_CASE("divergences: hand numbers", "[optimize]") {
    running const p = of_probabilities({0.5, 0.25, 0.25}), q = of_probabilities({0.25, 0.25, 0.5});
    double const of_m = 0.5 * std::log(0.5 / 0.375) + 0.25 * std::log(0.25 / 0.375);  // the same for p and q
    CHECK(mean_jensen_shannon(training(q), p)(0, 0) == Approx(of_m));
    CHECK(mean_kullback_leibler(training(q), p)(0, 0) == Approx(0.25 * std::log(2.0)));
    // Tokens 0 and 1 are the likeliest to the teacher: (2/3, 1/3) against (1/2, 1/2).
    CHECK(mean_top_kullback_leibler(training(q), p, 2)(0, 0) ==
          Approx(2.0 / 3 * std::log(4.0 / 3) + 1.0 / 3 * std::log(2.0 / 3)));
    for (auto const& [z, t] : {std::pair(p, p), std::pair(q, q)}) {
        CHECK(mean_jensen_shannon(training(z), t)(0, 0) == Approx(0).margin(1e-15));
        CHECK(mean_kullback_leibler(training(z), t)(0, 0) == Approx(0).margin(1e-15));
    }
    CHECK(mean_jensen_shannon(training(p), q)(0, 0) == Approx(of_m));
}

TEST_CASE("divergences: gradients by the student's logits are those of central differences", "[optimize]") {
    cm::random_source source(6);
    running student = random_values(source, 3, 7), teacher = random_values(source, 3, 7);
    student.values *= 6, teacher.values *= 6;
    CHECK(deviation(student, teacher, jensen_shannon) < gradient_tolerance);
    CHECK(deviation(student, teacher, kullback_leibler) < gradient_tolerance);
    for (std::size_t const k : {2U, 4U, 7U})
        CHECK(deviation(student, teacher, [k](training const& z, running const& t) {
                  return mean_top_kullback_leibler(z, t, k);
              }) < gradient_tolerance);
    CHECK(mean_top_kullback_leibler(training(student), teacher, 7)(0, 0) ==
          Approx(mean_kullback_leibler(training(student), teacher)(0, 0)).epsilon(1e-13));
}

TEST_CASE("divergences: logits far apart give finite numbers", "[optimize]") {
    running student(1, 3), teacher(1, 3);
    student(0, 0) = 4000, teacher(0, 2) = 4000;
    training const z = training::parameter(student);
    training const loss = mean_jensen_shannon(z, teacher);
    CHECK(loss(0, 0) == Approx(std::log(2.0)));
    backward(loss);
    CHECK(z.gradient().values.allFinite());
}

TEST_CASE("divergences: shapes that differ are refused", "[optimize]") {
    CHECK_THROWS_WITH(mean_jensen_shannon(training(2, 3), running(1, 3)),
                      "mean_jensen_shannon: student logits are 2 x 3, expected those of the teacher, 1 x 3, "
                      "and at least one");
    CHECK_THROWS_WITH(mean_top_kullback_leibler(training(2, 3), running(2, 3), 4),
                      "mean_top_kullback_leibler: k is 4, expected 1 to 3");
}
