// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstddef>

#include <commutant/core/lanes.hpp>
#include <commutant/core/prime_field.hpp>

#include "constant.hpp"

namespace cm = commutant;
using cm::prime_field;
using row = cm::matrix<prime_field>;
using lanes = cm::lanes<row>;

// A formula on lanes gives in every lane what it gives on the numbers of that lane.

namespace {

constexpr row row_of(std::array<prime_field, 3> const& x) {
    row r(1, 3);
    for (std::size_t j = 0; j < 3; ++j) r(0, j) = x[j];
    return r;
}

template <class Formula> consteval bool agrees_lane_by_lane(Formula formula) {
    constexpr std::array<prime_field, 3> a{2, 3, -5}, b{7, -11, 13};
    row const both = formula(lanes(row_of(a)), lanes(row_of(b))).values(3);
    if (both.rows() != 1 || both.cols() != 3) return false;
    for (std::size_t j = 0; j < 3; ++j)
        if (both(0, j) != formula(a[j], b[j])) return false;
    return true;
}

static_assert(agrees_lane_by_lane([](auto a, auto b) { return a + b; }));
static_assert(agrees_lane_by_lane([](auto a, auto b) { return a - b; }));
static_assert(agrees_lane_by_lane([](auto a, auto b) { return a * b; }));
static_assert(agrees_lane_by_lane([](auto a, auto b) { return a / b; }));
static_assert(agrees_lane_by_lane([](auto a, auto) { return -a; }));

// Constants of the formula, before and after they meet lanes, on either side of every operator.
static_assert(agrees_lane_by_lane([]<class S>(S a, S) { return S(1) + a; }));
static_assert(agrees_lane_by_lane([]<class S>(S a, S) { return a - S(2); }));
static_assert(agrees_lane_by_lane([]<class S>(S a, S) { return S(2) - a; }));
static_assert(agrees_lane_by_lane([]<class S>(S a, S) { return S(-3) * a; }));
static_assert(agrees_lane_by_lane([]<class S>(S a, S) { return S(1) / a; }));
static_assert(agrees_lane_by_lane([]<class S>(S a, S) { return a / S(4); }));
static_assert(agrees_lane_by_lane([]<class S>(S, S) { return S(2) + S(3) * S(5) - S(7); }));
static_assert(agrees_lane_by_lane([]<class S>(S a, S) { return S(1) / S(2) * a; }));
static_assert(agrees_lane_by_lane([]<class S>(S, S) { return -(S(2) / S(3)); }));
static_assert(agrees_lane_by_lane([]<class S>(S a, S b) { return (S(1) - a * b) / (S(1) + a * a) - b; }));

static_assert(lanes(4).values(0).size() == 0 && lanes(4).values(2).cols() == 2);
static_assert(!constant<[] { return lanes(1) / lanes(0); }>);
static_assert(!constant<[] { return lanes(row(1, 2)) + lanes(row(1, 3)); }>);

}  // namespace
