// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <exception>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <commutant/model/inference.hpp>
#include <commutant/model/named_tensors.hpp>
#include <commutant/optimize/adamw.hpp>
#include <commutant/optimize/tape.hpp>

namespace bundled {

namespace cm = commutant;

using running = cm::eigen_matrix<float>;
using training = cm::tape_matrix<float>;

/// Trains every weight of a decoder on next-token loss, a batch of windows at a time.
///
/// Windows of a batch are dealt to the threads in turn, each thread adds up gradients in replicas of its own, and these are
/// added in the order of the threads: same seed and same number of threads, same bytes.
class trainer {
public:
    trainer(cm::decoder<running> const& start, std::size_t n_threads, cm::adamw_options const& options)
        : replicas_(n_threads) {
        cm::decoder<training>& first = replicas_[0];
        first = cm::converted<training>(start);
        cm::visit_tensors(first, [&](std::string const&, training& w) {
            if (w.size() == 0) return;
            w = training::parameter(w.value());
            weights_.push_back(&w);
            optimisers_.emplace_back(w.size(), options);
        });
        for (std::size_t t = 1; t < n_threads; ++t) {
            replicas_[t] = first;
            std::vector<training*> copies;
            cm::visit_tensors(replicas_[t], [&](std::string const&, training& w) {
                if (w.size() == 0) return;
                w = w.replica();
                copies.push_back(&w);
            });
            copies_.push_back(std::move(copies));
        }
        for (auto const& replica : replicas_) runners_.emplace_back(replica);
    }
    trainer(trainer const&) = delete;
    trainer& operator=(trainer const&) = delete;

    struct step_result {
        double loss = 0;           ///< mean over the batch's tokens, natural logarithm
        double gradient_norm = 0;  ///< before clipping
    };

    /// One step; gradients longer than clip_norm are shortened to it.
    ///
    /// Shape     windows: token ids; all but the last are read, all but the first predicted
    step_result step(std::span<std::vector<int> const> windows, double learning_rate, double clip_norm) {
        std::size_t n_tokens = 0;
        for (auto const& window : windows) n_tokens += window.size() - 1;
        std::vector<double> losses(windows.size());
        std::vector<std::exception_ptr> errors(replicas_.size());
        auto const work = [&](std::size_t thread) {
            try {
                for (std::size_t i = thread; i < windows.size(); i += replicas_.size()) {
                    std::span<int const> const window(windows[i]);
                    auto const share = static_cast<double>(window.size() - 1) / static_cast<double>(n_tokens);
                    training const loss = mean_cross_entropy(
                        runners_[thread].logits(window.first(window.size() - 1)), window.subspan(1));
                    losses[i] = share * static_cast<double>(loss(0, 0));
                    backward(loss, static_cast<float>(share));
                }
            } catch (...) {
                errors[thread] = std::current_exception();
            }
        };
        std::vector<std::thread> threads;
        for (std::size_t t = 1; t < replicas_.size(); ++t) threads.emplace_back(work, t);
        work(0);
        for (auto& thread : threads) thread.join();
        for (auto const& error : errors)
            if (error) std::rethrow_exception(error);

        step_result result;
        for (double const loss : losses) result.loss += loss;
        double square = 0;
        for (std::size_t k = 0; k < weights_.size(); ++k) {
            auto& gradient = weights_[k]->gradient_in_place();
            for (auto const& copies : copies_) gradient += copies[k]->gradient_in_place();
            square += static_cast<double>(gradient.squaredNorm());
        }
        result.gradient_norm = std::sqrt(square);
        double const scale = result.gradient_norm > clip_norm ? clip_norm / result.gradient_norm : 1.0;
        for (std::size_t k = 0; k < weights_.size(); ++k) {
            auto const& gradient = weights_[k]->gradient_in_place();
            optimisers_[k].step(
                weights_[k]->values_in_place().elements(),
                std::span<float const>(gradient.data(), static_cast<std::size_t>(gradient.size())),
                learning_rate, scale);
            weights_[k]->clear_gradient();
            for (auto const& copies : copies_) copies[k]->clear_gradient();
        }
        return result;
    }

    /// The decoder as it is now.
    [[nodiscard]] cm::decoder<running> model() const { return cm::converted<running>(replicas_[0]); }

private:
    std::vector<cm::decoder<training>> replicas_;
    std::vector<training*> weights_{};              ///< of replica 0
    std::vector<std::vector<training*>> copies_{};  ///< of replicas 1 and on, in the same order
    std::vector<cm::adamw<float>> optimisers_{};    ///< one for each weight
    std::vector<cm::runner<training>> runners_{};
};

}  // namespace bundled
