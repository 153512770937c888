// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <commutant/model/selection.hpp>
#include <commutant/optimize/cosine_schedule.hpp>
#include <commutant/optimize/grouped_adamw.hpp>
#include <commutant/optimize/on_threads.hpp>
#include <commutant/optimize/tape.hpp>
#include <commutant/optimize/tape_qr.hpp>
#include <commutant/recipes/norm_estimates.hpp>
#include <commutant/recipes/trained_merge.hpp>

namespace commutant {

/// How the data-free stage runs.
struct local_options {
    std::size_t n_steps = 200;  ///< of each of the two turns, if they are taken one after the other
    int p = 4;
    double learning_rate = 1e-2;
    double last_rate = 1;       ///< share of it at the last step, to which it falls along a cosine
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

namespace detail {

inline void require_local_options(local_options const& options, char const* who) {
    if (options.p < 2 || options.p > 8)
        throw std::invalid_argument(std::string(who) + ": p is " + std::to_string(options.p) +
                                    ", expected 2 to 8");
}

/// Calls f(name, W&) for every weight, under its name in the whole decoder.
template <class Decoder, class F> void visit_weights(Decoder& m, feature_list const& layers, F f) {
    auto const only_weights = [&](std::string const& name, auto& w) {
        if (is_weight_name(name) && w.size() != 0) f(name, w);
    };
    only_weights("model.embed_tokens.weight", m.embedding);
    for (std::size_t j = 0; j < m.layers.size(); ++j)
        visit_layer_tensors(m.layers[j], layers[j], only_weights);
    only_weights("lm_head.weight", m.lm_head.weight);
}

/// Adam on the sum of weight norms: the groups that `takes_part` names are trained, the others stay.
///
/// draw      (step, thread) -> decoder_part<tape_matrix<T>>, what the thread merges into, called on it
/// fold      (transform_parameters<tape_matrix<T>> const&, decoder<tape_matrix<T>>&, thread): merges what the thread has to
/// norms     where the weights are samples, one for each thread, the loss is the mean of the threads' losses; null where
///           each thread merges a part of the whole, and it is their sum
/// Note      T_r is computed once for all threads, from its parameters; so are the gradients of these
template <class T, class Part, class Draw, class Fold>
void descend_norms(transform_parameters<eigen_matrix<T>>& p, local_options const& options, Part takes_part,
                   Draw draw, Fold fold, norm_estimates* norms, local_report& report,
                   std::function<void()> const& after_step) {
    using running = eigen_matrix<T>;
    using training = tape_matrix<T>;
    struct worker {
        transform_parameters<training> transforms{};
        std::vector<training> copies{};  ///< of what is trained, but for T_r
        training rotation{};             ///< T_r
        std::vector<std::pair<std::string, double>> seen{};
    };
    std::size_t const n_threads = options.n_threads == 0 ? 1 : options.n_threads;
    auto trained = mapped<training>(p, [](running const& x) { return training(x); });
    grouped_adamw<T> optimiser;
    std::vector<worker> workers(n_threads);
    visit_trained(trained, [&](parameter_group group, std::string const& name, training& x) {
        if (!takes_part(group)) return;
        x = training::parameter(x.value());
        optimiser.add(group, name, x);
    });
    if (optimiser.entries().empty()) return;
    for (auto& w : workers) {
        w.transforms = trained;
        visit_trained(w.transforms, [&](parameter_group group, std::string const&, training& x) {
            if (x.is_parameter() && group != parameter_group::residual_stream)
                w.copies.push_back(x = x.replica());
        });
    }
    bool const rotates = trained.residual_stream.latent.is_parameter();
    auto const start = optimiser.values();
    cosine_schedule const schedule{options.n_steps, 0, options.last_rate};
    for (std::size_t step = 0; step < options.n_steps; ++step) {
        group_values rates{};
        rates.fill(options.learning_rate * schedule(step));
        training const rotation = rotates ? trained.residual_stream.value() : training();
        on_threads(n_threads, [&](std::size_t t) {
            worker& w = workers[t];
            if (rotates) {
                w.rotation = training::parameter(rotation.value());
                w.transforms.residual_stream = {trained.residual_stream.form, w.rotation, {}};
            }
            decoder_part<training> part = draw(step, t);
            fold(w.transforms, part.weights, t);
            w.seen.clear();
            training loss(1, 1);
            visit_weights(part.weights, part.layers, [&](std::string const& name, training const& x) {
                if (!x.carries_gradient()) return;
                auto const norm = lp_norm(x, options.p);
                double factor = 1;
                if (norms != nullptr) {
                    auto const size = static_cast<double>(norm.value()(0, 0));
                    bool const in_layer = name.starts_with("model.layers.");
                    factor = norms->factor(name, size, x.size()) * (in_layer ? part.layer_share : 1.0) /
                             static_cast<double>(n_threads);
                    w.seen.emplace_back(name, size);
                }
                loss = loss + scaled(norm, static_cast<T>(factor));
            });
            part = {};
            if (loss.carries_gradient()) backward(loss);
        });
        if (rotates) {
            auto gradient = workers[0].rotation.gradient();
            for (std::size_t t = 1; t < n_threads; ++t)
                gradient.values += workers[t].rotation.gradient_in_place();
            for (auto& w : workers) w.rotation = {}, w.transforms.residual_stream = {};
            backward(inner_product(rotation, std::move(gradient)));
        }
        for (auto& w : workers) {
            std::size_t next = 0;
            for (auto& e : optimiser.entries()) {
                if (e.group == parameter_group::residual_stream) continue;
                training& copy = w.copies[next++];
                e.gradient() += copy.gradient_in_place();
                copy.clear_gradient();
            }
            for (auto const& [name, norm] : w.seen) norms->add(name, norm);
        }
        if (step == 0) {
            auto const sizes = optimiser.gradient_norms();
            for (std::size_t g = 0; g < n_parameter_groups; ++g) report.gradient_norms[g] += sizes[g];
        }
        optimiser.step(rates, [&](auto const& e) {
            return is_well_conditioned(e.name, e.parameter.value(), options.max_condition);
        });
        if (after_step) after_step();
    }
    auto const movements = optimiser.distances(start);
    for (std::size_t g = 0; g < n_parameter_groups; ++g) report.movements[g] += movements[g];
    p = mapped<running>(trained, [](training const& x) { return x.value(); });
}

}  // namespace detail

}  // namespace commutant
