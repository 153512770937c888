// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

#include <commutant/optimize/adamw.hpp>
#include <commutant/optimize/cosine_schedule.hpp>

namespace cm = commutant;

TEST_CASE("adamw: the first step is the learning rate against the gradient's sign", "[optimize]") {
    cm::adamw<double> optimiser(3, {.epsilon = 0.0});
    std::vector<double> p{1, 2, 3};
    optimiser.step(p, std::vector<double>{0.5, -4, 1e-3}, 0.1);
    CHECK(p[0] == Approx(0.9));
    CHECK(p[1] == Approx(2.1));
    CHECK(p[2] == Approx(2.9));
}

TEST_CASE("adamw: two steps as worked out by hand", "[optimize]") {
    // b1 = 0.5, b2 = 0.75; g = 1, then 3: m = 0.5, 1.75; v = 0.25, 2.4375.
    cm::adamw<double> optimiser(1, {.beta1 = 0.5, .beta2 = 0.75, .epsilon = 0.5, .weight_decay = 0.1});
    std::vector<double> p{2};
    optimiser.step(p, std::vector<double>{1}, 0.2);
    double const first = 2 - 0.2 * (0.5 / 0.5 / (std::sqrt(0.25 / 0.25) + 0.5) + 0.1 * 2);
    CHECK(p[0] == Approx(first).epsilon(1e-14));
    optimiser.step(p, std::vector<double>{6}, 0.4, 0.5);  // half of 6
    double const second = first - 0.4 * (1.75 / 0.75 / (std::sqrt(2.4375 / 0.4375) + 0.5) + 0.1 * first);
    CHECK(p[0] == Approx(second).epsilon(1e-14));
    CHECK(optimiser.steps() == 2);
}

TEST_CASE("adamw: resumed from its moments it goes on as before", "[optimize]") {
    std::vector<float> p{1, -1}, q = p;
    std::vector<float> const g{0.3f, -0.2f};
    cm::adamw<float> a(2), b(2);
    a.step(p, g, 0.1);
    q = p;
    b.resume(a.steps(), a.first_moment(), a.second_moment());
    a.step(p, g, 0.1);
    b.step(q, g, 0.1);
    CHECK(p == q);
    CHECK(p != std::vector<float>{1, -1});
}

TEST_CASE("adamw: spans of another size are refused", "[optimize]") {
    cm::adamw<float> a(2);
    std::vector<float> two(2), three(3);
    CHECK_THROWS_WITH(a.step(three, two, 0.1), "adamw: parameters has 3 elements, expected 2");
    CHECK_THROWS_WITH(a.step(two, three, 0.1), "adamw: gradient has 3 elements, expected 2");
    CHECK_THROWS_WITH(a.resume(1, three, two), "adamw: first moment has 3 elements, expected 2");
}

TEST_CASE("cosine_schedule: a line up, half a cosine down, then flat", "[optimize]") {
    cm::cosine_schedule const share{110, 10, 0.1};
    CHECK(share(0) == Approx(0.1));
    CHECK(share(9) == 1);
    CHECK(share(10) == 1);
    CHECK(share(60) == Approx(0.55));
    CHECK(share(35) == Approx(0.1 + 0.9 * (1 + std::sqrt(0.5)) / 2));
    CHECK(share(109) > 0.1);
    CHECK(share(110) == 0.1);
    CHECK(share(5000) == 0.1);
    CHECK(cm::cosine_schedule{10, 0, 0.0}(0) == 1);
}
