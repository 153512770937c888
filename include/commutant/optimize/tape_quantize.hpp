// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <commutant/optimize/tape_matrix.hpp>
#include <commutant/quant/fake_quantize.hpp>
#include <commutant/quant/straight_through.hpp>

namespace commutant {

/// What of a grid is not trained.
struct grid_format {
    int num_bits = 16;
    bool symmetric = true;
};

/// The grid that stands for real numbers under training: the scale in float32, the zero point as the nearest code.
///
/// Note      a scale too small for float32 becomes its smallest normal number
[[nodiscard]] inline grid nearest_grid(double scale, double zero_point, grid_format format) {
    grid g{1.0F, 0, format.num_bits, format.symmetric};
    g.scale = static_cast<float>(std::max(scale, detail::smallest_scale));
    if (!format.symmetric)
        g.zero_point =
            static_cast<std::int32_t>(std::clamp(std::nearbyint(zero_point), double(g.lo()), double(g.hi())));
    return g;
}

/// Grids from one scale, and of asymmetric grids one zero point, for each.
///
/// Shape     scale, zero_point: [1, n]; zero_point is not read if symmetric
template <class M>
[[nodiscard]] std::vector<grid> nearest_grids(M const& scale, M const& zero_point, grid_format format) {
    std::vector<grid> grids;
    for (std::size_t i = 0; i < scale.cols(); ++i)
        grids.push_back(nearest_grid(static_cast<double>(scale(0, i)),
                                     format.symmetric ? 0.0 : static_cast<double>(zero_point(0, i)), format));
    return grids;
}

/// x on grids of its slices, in the order of its elements.
///
/// Shape     scale, zero_point: [1, n], n slices of x.size() / n elements; zero_point empty if symmetric
/// Units     zero_point in codes, rounded to one
/// Errors    std::invalid_argument if the slices do not divide x
template <class T>
[[nodiscard]] eigen_matrix<T> fake_quantize(eigen_matrix<T> x, eigen_matrix<T> const& scale,
                                            eigen_matrix<T> const& zero_point, grid_format format) {
    if (scale.cols() == 0 || x.size() % scale.cols() != 0)
        throw std::invalid_argument("fake_quantize: " + std::to_string(scale.cols()) + " grids for " +
                                    std::to_string(x.size()) + " elements, expected a divisor");
    fake_quantize_slices_in_place(x.elements(), x.size() / scale.cols(),
                                  std::span<grid const>(nearest_grids(scale, zero_point, format)));
    return x;
}

/// The same with straight-through gradients: rounding, of x and of the zero point, counts as the identity.
///
/// x, scale, zero_point: as fake_quantize_backward says, slice by slice
template <class T>
[[nodiscard]] tape_matrix<T> fake_quantize(tape_matrix<T> const& x, tape_matrix<T> const& scale,
                                           tape_matrix<T> const& zero_point, grid_format format) {
    using inputs = tape_inputs<T>;
    return recorded(tape_matrix<T>(fake_quantize(x.value(), scale.value(), zero_point.value(), format)),
                    {&x, &scale, &zero_point},
                    [before = saved_values<T>(x), grids = nearest_grids(scale.value(), zero_point.value(),
                                                                        format)](auto& g, inputs const& in) {
                        std::size_t const n = static_cast<std::size_t>(g.size());
                        std::vector<grid_gradient> slopes(grids.size());
                        std::span<T> const passed(g.data(), n);  // dx may be g
                        fake_quantize_slices_backward(
                            std::span<T const>((*before).data(), n), std::span<T const>(passed), passed,
                            n / grids.size(), std::span<grid const>(grids), std::span<grid_gradient>(slopes));
                        for (std::size_t i = 0; i < slopes.size(); ++i) {
                            auto const column = static_cast<Eigen::Index>(i);
                            if (in[1])
                                in[1]->gradient_to_fill()(0, column) += static_cast<T>(slopes[i].scale);
                            if (in[2])
                                in[2]->gradient_to_fill()(0, column) += static_cast<T>(slopes[i].zero_point);
                        }
                        if (in[0]) in[0]->add(std::move(g));
                    });
}

/// Each row on the min-max grid of its own values.
template <class T>
[[nodiscard]] eigen_matrix<T> fake_quantize_per_token(eigen_matrix<T> x, grid_format format) {
    fake_quantize_per_token_in_place(x.elements(), x.cols(), format.num_bits, format.symmetric);
    return x;
}

/// The same with straight-through gradients; the grids count as constant.
template <class T>
[[nodiscard]] tape_matrix<T> fake_quantize_per_token(tape_matrix<T> const& x, grid_format format) {
    return recorded(tape_matrix<T>(fake_quantize_per_token(x.value(), format)), {&x},
                    [before = saved_values<T>(x), format](auto& g, tape_inputs<T> const& in) {
                        std::size_t const n = static_cast<std::size_t>(g.size());
                        std::span<T> const passed(g.data(), n);
                        fake_quantize_per_token_backward(
                            std::span<T const>((*before).data(), n), std::span<T const>(passed), passed,
                            static_cast<std::size_t>(g.cols()), format.num_bits, format.symmetric);
                        in[0]->add(std::move(g));
                    });
}

}  // namespace commutant
