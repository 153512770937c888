// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <utility>

#include <commutant/model/named_tensors.hpp>
#include <commutant/recipes/norm_descent.hpp>
#include <commutant/recipes/token_sequences.hpp>

namespace commutant {

/// Sum over all weights of a decoder, embedding and head included, of (mean |W|^p)^(1/p).
template <class T> [[nodiscard]] double weight_norms(decoder<eigen_matrix<T>> const& m, int p) {
    double sum = 0;
    visit_tensors(m, [&](std::string const& name, eigen_matrix<T> const& w) {
        if (is_weight_name(name) && w.size() != 0) sum += lp_norm_of(w, p);
    });
    return sum;
}

namespace detail {

/// One turn on a decoder in memory. A thread merges every n_threads-th piece, and sums the norms of what its transforms
/// have touched.
template <class T, class F>
void minimise_weight_norms(decoder<eigen_matrix<T>> const& base, transform_parameters<eigen_matrix<T>>& p,
                           local_options const& options, F takes_part, local_report& report,
                           std::function<void()> const& after_step) {
    using training = tape_matrix<T>;
    std::size_t const n_threads = options.n_threads == 0 ? 1 : options.n_threads;
    decoder_part<training> const whole{converted<training>(base), feature_range(0, base.layers.size())};
    auto const draw = [&](std::size_t, std::size_t) { return whole; };
    auto const fold = [&](transform_parameters<training> const& transforms, decoder<training>& m,
                          std::size_t thread) {
        fold_parameters(transforms, eps_rule::exact, m,
                        [&](std::size_t piece) { return piece % n_threads == thread; });
    };
    descend_norms(p, options, takes_part, draw, fold, nullptr, report, after_step);
}

}  // namespace detail

/// The data-free stage: transforms that make the weights they are merged into small where it counts.
///
/// Equation  minimise weight_norms of the merged decoder, by Adam
/// Note      same parameters and same number of threads, same bytes
/// Errors    std::invalid_argument if p is not 2 to 8
/// Paper     FPTQuant, arXiv:2506.04985
template <class T>
local_report minimise_weight_norms(decoder<eigen_matrix<T>> const& base,
                                   transform_parameters<eigen_matrix<T>>& p, local_options const& options,
                                   progress_callback const& progress = {}) {
    detail::require_local_options(options, "minimise_weight_norms");
    local_report report;
    std::size_t done = 0;
    std::size_t const total = options.n_steps * (options.sequential ? 2 : 1);
    auto const after_step = [&] {
        if (progress) progress(++done, total);
    };
    auto const of_merged = [&] {
        auto merged = base;
        fold_parameters(p, eps_rule::exact, merged);
        return weight_norms(merged, options.p);
    };
    report.loss_before = of_merged();
    if (!options.sequential) {
        detail::minimise_weight_norms<T>(
            base, p, options, [](parameter_group) { return true; }, report, after_step);
    } else {
        auto const is_rotation = [](parameter_group g) { return g == parameter_group::residual_stream; };
        detail::minimise_weight_norms<T>(base, p, options, is_rotation, report, after_step);
        // The second turn's transforms act on the other sides of the weights: T_r, found, is merged once and for all.
        auto rotated = base;
        auto rest = p;
        if (folds_gains_of(p.chosen)) {
            fold_rotation(p.residual_stream.value(), rotated);
            rest.chosen.residual_stream = rest.chosen.token_scale = false;
        }
        detail::minimise_weight_norms<T>(
            rotated, rest, options, [](parameter_group) { return true; }, report, after_step);
        p.layers = std::move(rest.layers);
    }
    report.loss_after = of_merged();
    return report;
}

}  // namespace commutant
