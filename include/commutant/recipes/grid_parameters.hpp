// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <commutant/optimize/parameter_group.hpp>
#include <commutant/optimize/tape_quantize.hpp>
#include <commutant/recipes/quantized_decoder.hpp>

// Grids under training: logarithms of scales, and zero points as shares of the range of codes, so that one learning rate
// suits grids of every size and width. Generic in the matrix reading, as transform_parameters are.

namespace commutant {

/// Static grid of one activation.
///
/// Shape     log_scale: [1, 1]; zero_point: [1, 1], or empty on a symmetric grid; both empty where there is none
template <class M> struct activation_grid_parameters {
    M log_scale{};
    M zero_point{};
};

/// All grids of a quantised decoder.
///
/// Layout    activations as in activation_grids; weights by name: [1, slices], logarithms of scales
template <class M> struct grid_parameters {
    std::vector<activation_grid_parameters<M>> activations{};
    std::map<std::string, M> weights{};
};

namespace detail {
/// Codes between the ends of a grid.
[[nodiscard]] inline double code_range(int num_bits) { return std::ldexp(1.0, num_bits) - 1; }
}  // namespace detail

/// Calls f(group, name, M&) for every matrix.
template <class Parameters, class F> void visit_grids(Parameters& p, F f) {
    for (auto& [name, x] : p.weights) f(parameter_group::weight_grids, name + ".weight_scale", x);
    for (std::size_t k = 0; k < p.activations.size(); ++k) {
        auto& a = p.activations[k];
        if (a.log_scale.rows() == 0) continue;
        std::string const name = "activations." + std::to_string(k / n_locations) + "." +
                                 std::string(to_string(static_cast<location>(k % n_locations)));
        f(parameter_group::activation_grids, name + ".scale", a.log_scale);
        if (a.zero_point.rows() != 0)
            f(parameter_group::activation_grids, name + ".zero_point", a.zero_point);
    }
}

/// The same in another reading.  f: (From const&) -> To
template <class To, class From, class F>
[[nodiscard]] grid_parameters<To> mapped(grid_parameters<From> const& p, F f) {
    grid_parameters<To> r;
    for (auto const& a : p.activations) r.activations.push_back({f(a.log_scale), f(a.zero_point)});
    for (auto const& [name, x] : p.weights) r.weights.emplace(name, f(x));
    return r;
}

/// Parameters that stand for given grids.
///
/// Errors    std::invalid_argument if weights are asymmetric
template <class M>
[[nodiscard]] grid_parameters<M> parameters_of(decoder_grids const& grids,
                                               quantization_settings const& settings) {
    using scalar = typename M::scalar;
    if (!settings.weights.symmetric)
        throw std::invalid_argument(
            "parameters_of: weights are asymmetric, expected symmetric ones to train");
    grid_parameters<M> p;
    std::size_t const n_layers = grids.activations.n_layers();
    for (std::size_t k = 0; k < (n_layers + 1) * n_locations; ++k) {
        auto const where = static_cast<location>(k % n_locations);
        auto& a = p.activations.emplace_back();
        if (!wants_static_grid(settings, where, k / n_locations, n_layers)) continue;
        grid const& g = grids.activations.at(k / n_locations, where);
        a.log_scale = M(1, 1);
        a.log_scale(0, 0) = std::log(static_cast<scalar>(g.scale));
        if (g.symmetric) continue;
        a.zero_point = M(1, 1);
        a.zero_point(0, 0) = static_cast<scalar>(g.zero_point / detail::code_range(g.num_bits));
    }
    for (auto const& [name, of_slices] : grids.weights) {
        M x(1, of_slices.size());
        for (std::size_t i = 0; i < of_slices.size(); ++i)
            x(0, i) = std::log(static_cast<scalar>(of_slices[i].scale));
        p.weights.emplace(name, std::move(x));
    }
    return p;
}

/// The grids that parameters stand for: those that fake quantisation under training rounds to.
template <class T>
[[nodiscard]] decoder_grids grids_of(grid_parameters<eigen_matrix<T>> const& p,
                                     quantization_settings const& settings) {
    decoder_grids grids{activation_grids(p.activations.size() / n_locations - 1), {}};
    for (std::size_t k = 0; k < p.activations.size(); ++k) {
        auto const& a = p.activations[k];
        if (a.log_scale.rows() == 0) continue;
        auto const where = static_cast<location>(k % n_locations);
        activation_settings const& s = settings_at(settings, where);
        grids.activations.at(k / n_locations, where) =
            nearest_grids(elementwise_exp(a.log_scale),
                          scaled(a.zero_point, static_cast<T>(detail::code_range(s.num_bits))),
                          {s.num_bits, s.symmetric})
                .front();
    }
    for (auto const& [name, x] : p.weights)
        grids.weights.emplace(
            name, nearest_grids(elementwise_exp(x), eigen_matrix<T>(), {settings.weights.num_bits, true}));
    return grids;
}

/// Rounds the weights of block i to grids under training.
template <class M>
void fake_quantize_layer(grid_parameters<M> const& p, quantization_settings const& settings, std::size_t i,
                         decoder<M>& m) {
    if (settings.weights.num_bits == 16) return;
    visit_layer_linears(m, i, [&](std::string const& name, linear<M>& l) {
        l.weight = fake_quantize(l.weight, elementwise_exp(p.weights.at(name)), M(),
                                 {settings.weights.num_bits, true});
    });
}

/// A tap that rounds activations to grids under training: quantizing_tap, with gradients.
///
/// Note      the settings and the parameters must outlive the tap
template <class M> class grid_training_tap {
public:
    grid_training_tap(quantization_settings const& settings, grid_parameters<M> const& parameters)
        : settings_(&settings), parameters_(&parameters) {}

    [[nodiscard]] M operator()(location where, std::size_t layer, M x) const {
        using scalar = typename M::scalar;
        if (!is_quantized(*settings_, where)) return x;
        activation_settings const& s = settings_at(*settings_, where);
        grid_format const format{s.num_bits, s.symmetric};
        if (s.timing == grid_timing::dynamic_grid) return fake_quantize_per_token(x, format);
        auto const& p = parameters_->activations[layer * n_locations + static_cast<std::size_t>(where)];
        return fake_quantize(x, elementwise_exp(p.log_scale),
                             scaled(p.zero_point, static_cast<scalar>(detail::code_range(s.num_bits))),
                             format);
    }

private:
    quantization_settings const* settings_;
    grid_parameters<M> const* parameters_;
};

}  // namespace commutant
