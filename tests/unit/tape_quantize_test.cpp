// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include <commutant/optimize/tape.hpp>
#include <commutant/optimize/tape_quantize.hpp>
#include <support/gradient_check.hpp>

namespace cm = commutant;
using cm::testing::gradient_tolerance;
using cm::testing::random_values;
using cm::testing::running;
using cm::testing::training;

namespace {

running row(std::initializer_list<double> values) {
    running r(1, values.size());
    std::size_t j = 0;
    for (double const x : values) r(0, j++) = x;
    return r;
}

/// Fake quantisation with every code's distance from its real number, and every clipping, held where they were: what the
/// straight-through gradients are the exact gradients of.
struct held_grid_rounding {
    running offset;   ///< round(u) - u; of a clipped element the bound without the zero point
    running clipped;  ///< 1 where clipped, else 0
    std::vector<double> of_zero_point{};  ///< round(z) - z
    std::size_t slice;

    held_grid_rounding(running const& x, running const& zero_point, std::vector<cm::grid> const& grids)
        : offset(x.rows(), x.cols()), clipped(x.rows(), x.cols()), slice(x.size() / grids.size()) {
        for (std::size_t i = 0; i < zero_point.size(); ++i)
            of_zero_point.push_back(grids[i].zero_point - zero_point(0, i));
        for (std::size_t k = 0; k < x.size(); ++k) {
            cm::grid const& g = grids[k / slice];
            double const u = x.data()[k] / static_cast<double>(g.scale),
                         code = std::nearbyint(u) + g.zero_point;
            bool const outside = code < g.lo() || code > g.hi();
            clipped.data()[k] = outside ? 1 : 0;
            offset.data()[k] = outside ? (code < g.lo() ? g.lo() : g.hi()) : std::nearbyint(u) - u;
        }
    }
    [[nodiscard]] double sum(running const& x, running const& scale, running const& zero_point,
                             running const& weights) const {
        double total = 0;
        for (std::size_t k = 0; k < x.size(); ++k) {
            std::size_t const i = k / slice;
            double const s = scale(0, i),
                         z = zero_point.size() == 0 ? 0 : zero_point(0, i) + of_zero_point[i];
            bool const outside = clipped.data()[k] != 0;
            total += weights.data()[k] *
                     (outside ? s * (offset.data()[k] - z) : x.data()[k] + s * offset.data()[k]);
        }
        return total;
    }
};

}  // namespace

TEST_CASE("nearest_grid: the scale in float32, the zero point as a code", "[optimize][quant]") {
    CHECK(cm::nearest_grid(0.1, 2.5, {4, false}) == cm::grid{0.1F, 2, 4, false});
    CHECK(cm::nearest_grid(0.1, -2.51, {4, false}) == cm::grid{0.1F, -3, 4, false});
    CHECK(cm::nearest_grid(0.1, -9.0, {4, false}).zero_point == -8);
    CHECK(cm::nearest_grid(0.1, 300.0, {8, false}).zero_point == 127);
    CHECK(cm::nearest_grid(0.1, 3.0, {4, true}).zero_point == 0);
    CHECK(cm::nearest_grid(1e-300, 0, {4, true}).scale == std::numeric_limits<float>::min());
}

TEST_CASE("tape: fake quantisation has the values of the quantiser and the gradients of held rounding",
          "[optimize][quant]") {
    cm::random_source source(8);
    struct test {
        std::size_t rows, cols;
        running scale, zero_point;
        cm::grid_format format;
    };
    // Per tensor, per row, in groups of two; both ends clip.
    for (auto const& t : std::vector<test>{{3, 4, row({0.0625}), row({1.2}), {3, false}},
                                           {3, 4, row({0.05, 0.1, 0.5}), running(), {4, true}},
                                           {2, 4, row({0.1, 0.2, 0.3, 0.01}), running(), {3, true}},
                                           {2, 4, row({0.1, 0.02}), row({-1.7, 2.4}), {3, false}}}) {
        running const x = random_values(source, t.rows, t.cols);
        running const weights = random_values(source, t.rows, t.cols);
        training const px = training::parameter(x), scale = training::parameter(t.scale),
                       zero_point = t.zero_point.size() == 0 ? training() : training::parameter(t.zero_point);
        training const y = fake_quantize(px, scale, zero_point, t.format);
        auto const grids = cm::nearest_grids(t.scale, t.zero_point, t.format);
        running expected = x;
        cm::fake_quantize_slices_in_place(expected.elements(), x.size() / grids.size(),
                                          std::span<cm::grid const>(grids));
        CHECK(y.value().values == expected.values);

        backward(sum(elementwise_product(y, training(weights))));
        held_grid_rounding const held(x, t.zero_point, grids);
        auto const deviation = [&](running const& gradient, auto moved) {
            double worst = 0, size = 0;
            double const step = 1e-6;
            for (std::size_t k = 0; k < gradient.size(); ++k) {
                double const difference = (moved(k, step) - moved(k, -step)) / (2 * step);
                worst = std::max(worst, std::abs(gradient.data()[k] - difference));
                size = std::max(size, std::abs(difference));
            }
            return worst / size;
        };
        auto const at = [](running a, std::size_t k, double d) {
            a.data()[k] += d;
            return a;
        };
        CHECK(deviation(px.gradient(), [&](std::size_t k, double d) {
                  return held.sum(at(x, k, d), t.scale, t.zero_point, weights);
              }) < gradient_tolerance);
        CHECK(deviation(scale.gradient(), [&](std::size_t k, double d) {
                  return held.sum(x, at(t.scale, k, d), t.zero_point, weights);
              }) < gradient_tolerance);
        if (t.zero_point.size() != 0)
            CHECK(deviation(zero_point.gradient(), [&](std::size_t k, double d) {
                      return held.sum(x, t.scale, at(t.zero_point, k, d), weights);
                  }) < gradient_tolerance);
    }
}

TEST_CASE("tape: a symmetric grid takes no zero point, and slices must divide the elements",
          "[optimize][quant]") {
    training const x = training::parameter(row({1, 2, 3}));
    CHECK(fake_quantize(x, training(row({1})), training(), {4, true}).carries_gradient());
    CHECK_THROWS_WITH(fake_quantize(x, training(row({1, 1})), training(), {4, true}),
                      "fake_quantize: 2 grids for 3 elements, expected a divisor");
}

TEST_CASE("tape: dynamic grids round each row on its own and pass gradients straight through",
          "[optimize][quant]") {
    running x(2, 3);
    x.values << -0.6, 3.0, 14.4, -2.5, 0.7, 5.0;
    training const p = training::parameter(x);
    training const y = fake_quantize_per_token(p, {4, false});
    running expected = x;
    cm::fake_quantize_per_token_in_place(expected.elements(), 3, 4, false);
    CHECK(y.value().values == expected.values);
    running weights(2, 3);
    weights.values << 1, 2, 3, 4, 5, 6;
    backward(inner_product(y, weights));
    CHECK(p.gradient().values == weights.values);
}
