// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <commutant/model/named_tensors.hpp>
#include <commutant/optimize/grouped_adamw.hpp>
#include <commutant/optimize/on_threads.hpp>
#include <commutant/optimize/tape.hpp>
#include <commutant/optimize/tape_qr.hpp>
#include <commutant/recipes/starting_parameters.hpp>
#include <commutant/recipes/token_sequences.hpp>
#include <commutant/recipes/trained_merge.hpp>

namespace commutant {

/// How the data-free stage runs.
struct local_options {
    std::size_t n_steps = 200;  ///< of each of the two turns, if they are taken one after the other
    int p = 4;
    double learning_rate = 1e-2;
    double max_condition = 50;  ///< of T_v: a step beyond is not taken
    /// T_r first, since it touches everything, then T_k, T_v and T_u; otherwise all at once.
    bool sequential = true;
    std::size_t n_threads = 1;
};

/// What it did.
struct local_report {
    double loss_before = 0, loss_after = 0;  ///< the sum of norms
    group_values gradient_norms{};           ///< at the first step that a group takes part in
    group_values movements{};                ///< distance from the start
};

/// Sum over all weights of a decoder, embedding and head included, of (mean |W|^p)^(1/p).
template <class T> [[nodiscard]] double weight_norms(decoder<eigen_matrix<T>> const& m, int p) {
    double sum = 0;
    visit_tensors(m, [&](std::string const&, eigen_matrix<T> const& w) {
        if (w.rows() > 1) sum += static_cast<double>(lp_norm(tape_matrix<T>(w), p).value()(0, 0));
    });
    return sum;
}

namespace detail {

/// One turn: the groups that `takes_part` names are trained, the others stay.
template <class T, class F>
void minimise_weight_norms(decoder<eigen_matrix<T>> const& base, transform_parameters<eigen_matrix<T>>& p,
                           local_options const& options, F takes_part, local_report& report,
                           std::function<void()> const& after_step) {
    using running = eigen_matrix<T>;
    using training = tape_matrix<T>;
    std::size_t const n_threads = options.n_threads == 0 ? 1 : options.n_threads;
    std::vector<transform_parameters<training>> replicas(n_threads);
    std::vector<std::vector<training>> copies(n_threads);
    grouped_adamw<T> optimiser;
    for (std::size_t t = 0; t < n_threads; ++t) {
        replicas[t] =
            t == 0 ? mapped<training>(p, [](running const& x) { return training(x); }) : replicas[0];
        visit_trained(replicas[t], [&](parameter_group group, std::string const& name, training& x) {
            if (!takes_part(group)) return;
            x = t == 0 ? training::parameter(x.value()) : x.replica();
            copies[t].push_back(x);
            if (t == 0) optimiser.add(group, name, x);
        });
    }
    if (optimiser.entries().empty()) return;
    auto const start = optimiser.values();
    decoder<training> const constants = converted<training>(base);
    group_values rates{};
    rates.fill(options.learning_rate);
    for (std::size_t step = 0; step < options.n_steps; ++step) {
        // A thread merges every n_threads-th piece, and sums the norms of what its transforms have touched.
        on_threads(n_threads, [&](std::size_t t) {
            decoder<training> m = constants;
            fold_parameters(replicas[t], eps_rule::exact, m,
                            [&](std::size_t piece) { return piece % n_threads == t; });
            training loss(1, 1);
            visit_tensors(m, [&](std::string const&, training const& w) {
                if (w.rows() > 1 && w.carries_gradient()) loss = loss + lp_norm(w, options.p);
            });
            if (loss.carries_gradient()) backward(loss);
        });
        for (std::size_t t = 1; t < n_threads; ++t)
            for (std::size_t k = 0; k < copies[t].size(); ++k) {
                copies[0][k].gradient_in_place() += copies[t][k].gradient_in_place();
                copies[t][k].clear_gradient();
            }
        if (step == 0) {
            auto const norms = optimiser.gradient_norms();
            for (std::size_t g = 0; g < n_parameter_groups; ++g) report.gradient_norms[g] += norms[g];
        }
        optimiser.step(rates, [&](auto const& e) {
            return is_well_conditioned(e.name, e.parameter.value(), options.max_condition);
        });
        after_step();
    }
    auto const movements = optimiser.distances(start);
    for (std::size_t g = 0; g < n_parameter_groups; ++g) report.movements[g] += movements[g];
    p = mapped<running>(replicas[0], [](training const& x) { return x.value(); });
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
    if (options.p < 2 || options.p > 8)
        throw std::invalid_argument("minimise_weight_norms: p is " + std::to_string(options.p) +
                                    ", expected 2 to 8");
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
            random_source unused(0);
            auto alone = starting_parameters<eigen_matrix<T>>(base.config, {}, unused);
            alone.chosen.residual_stream = p.chosen.residual_stream;
            alone.chosen.token_scale = true;
            alone.residual_stream = p.residual_stream;
            fold_parameters(alone, eps_rule::exact, rotated);
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
