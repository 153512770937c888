// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <deque>
#include <filesystem>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <commutant/model/inference.hpp>
#include <commutant/model/named_tensors.hpp>
#include <commutant/optimize/cosine_schedule.hpp>
#include <commutant/optimize/grouped_adamw.hpp>
#include <commutant/optimize/on_threads.hpp>
#include <commutant/optimize/tape.hpp>
#include <commutant/optimize/tape_divergences.hpp>
#include <commutant/optimize/tape_qr.hpp>
#include <commutant/recipes/calibration_split.hpp>
#include <commutant/recipes/distillation_options.hpp>
#include <commutant/recipes/fingerprints.hpp>
#include <commutant/recipes/grid_parameters.hpp>
#include <commutant/recipes/trained_merge.hpp>

namespace commutant {

/// Everything that the end-to-end stage trains.
template <class M> struct student_parameters {
    transform_parameters<M> transforms{};
    grid_parameters<M> grids{};
};

template <class Parameters, class F> void visit_student(Parameters& p, F f) {
    visit_trained(p.transforms, f);
    visit_grids(p.grids, f);
}

template <class To, class From, class F>
[[nodiscard]] student_parameters<To> mapped(student_parameters<From> const& p, F f) {
    return {mapped<To>(p.transforms, f), mapped<To>(p.grids, f)};
}

/// Merges transforms into the pieces of a decoder that `mine` names, and rounds their weights, all in one reading.
template <class M, class F>
void make_student(student_parameters<M> const& p, quantization_settings const& settings, eps_rule eps,
                  decoder<M>& m, F mine) {
    fold_parameters(p.transforms, eps, m, mine);
    for (std::size_t i = 0; i < m.layers.size(); ++i)
        if (mine(i)) fake_quantize_layer(p.grids, settings, i, m);
}

/// How training is going; seconds are those of this run.
struct distillation_progress {
    std::size_t step = 0, n_steps = 0;
    double loss = 0;  ///< of the step's batch
    double held_out =
        std::numeric_limits<double>::quiet_NaN();            ///< last measured divergence of held-out text
    double best = std::numeric_limits<double>::quiet_NaN();  ///< least measured
    double seconds = 0, seconds_left = 0;
};

template <class T> class distillation;
template <class T> class distillation_checkpoint;

/// A step that has been taken.
struct distillation_record {
    double loss = 0;  ///< of its batch
    double held_out =
        std::numeric_limits<double>::quiet_NaN();  ///< divergence of held-out text when last measured
};

/// The end-to-end stage: a quantised student learns to predict what its floating-point original predicts.
///
/// Base weights stay as they are; transforms and grids are trained through the merges, the rounding of weights and the
/// decoder that run at inference. The student's merge is recorded once for each step and shared by all windows of the batch:
/// windows leave gradients in the merged weights, and these are sent on through the merge together.
///
/// Note      windows of a batch are dealt to the threads in turn, and gradients are added in the order of the threads: same
///           options, windows and number of threads, same bytes. Resuming gives the bytes of an uninterrupted run
/// Errors    std::invalid_argument for asymmetric weights or tokens outside the vocabulary
/// Paper     FPTQuant, arXiv:2506.04985
template <class T> class distillation {
public:
    using running = eigen_matrix<T>;
    using training = tape_matrix<T>;

    /// teacher   the original decoder, which must outlive the object
    distillation(decoder<running> const& teacher, student_parameters<running> const& start,
                 quantization_settings const& settings, training_windows training_text,
                 held_out_windows held_out_text, distillation_options const& options)
        : options_(options),
          settings_(settings),
          training_(std::move(training_text)),
          held_out_(std::move(held_out_text)),
          lessons_(lessons_of(training_.windows())),
          stream_(stream_of(training_.windows())),
          checks_(lessons_of(held_out_.windows())),
          teacher_(windows_runner(teacher, longest_of_both())),
          optimiser_({.beta1 = 0.9, .beta2 = 0.99}),
          replicas_(options.n_threads == 0 ? 1 : options.n_threads) {
        auto base = teacher;
        if (folds_gains_of(start.transforms.chosen)) {
            for (auto& layer : base.layers) fold_gains(layer);  // once: gains are not trained
            untie_head(base);
        }
        base_ = converted<training>(base);
        for (std::size_t t = 0; t < replicas_.size(); ++t) {
            replica& r = replicas_[t];
            r.parameters = t == 0 ? mapped<training>(start, [](running const& x) { return training(x); })
                                  : replicas_[0].parameters;
            visit_student(r.parameters, [&](parameter_group group, std::string const& name, training& x) {
                x = t == 0 ? training::parameter(x.value()) : x.replica();
                r.trained.push_back(x);
                if (t == 0) optimiser_.add(group, name, x);
            });
            r.leaves.config = base_.config;
        }
        best_ = optimiser_.values();
    }
    distillation(distillation const&) = delete;
    distillation& operator=(distillation const&) = delete;

    /// Trains until the steps are done, held-out text has not improved for too long, or `stop` says so.
    ///
    /// progress  called after every step; stop: asked after every step
    void run(std::function<void(distillation_progress const&)> const& progress = {},
             std::function<bool()> const& stop = {}) {
        auto const begin = std::chrono::steady_clock::now();
        std::size_t const first_step = step_;
        if (step_ == 0) check_held_out();
        while (step_ < options_.n_steps && !has_stalled()) {
            double const loss = train_one_batch();
            bool const stopping = stop && stop();
            if (step_ % options_.check_every == 0 || step_ == options_.n_steps) check_held_out();
            if (progress) {
                double const seconds =
                    std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
                double const each = seconds / static_cast<double>(step_ - first_step);
                progress({step_, options_.n_steps, loss, held_out_now_, best_divergence_, seconds,
                          each * static_cast<double>(options_.n_steps - step_)});
            }
            if (stopping) return;
        }
    }

    /// One step on the next batch; its loss.
    double train_one_batch() {
        make_students();
        std::deque<shifted_lesson> shifted;
        auto const batch = next_batch(shifted);
        ask_teacher(batch);
        std::size_t n_tokens = 0;
        for (auto const* l : batch) n_tokens += l->window->size() - 1;
        std::vector<double> losses(batch.size());
        detail::on_threads(replicas_.size(), [&](std::size_t t) {
            for (std::size_t i = t; i < batch.size(); i += replicas_.size()) {
                auto const share =
                    static_cast<double>(batch[i]->window->size() - 1) / static_cast<double>(n_tokens);
                training const loss = divergence(replicas_[t], *batch[i]);
                losses[i] = share * static_cast<double>(loss.value()(0, 0));
                if (loss.carries_gradient()) backward(loss, static_cast<T>(share));
            }
        });
        send_gradients_back();
        auto rates = options_.learning_rates;
        double const of_step = options_.rate_factor * schedule()(step_);
        for (double& rate : rates) rate *= of_step;
        optimiser_.step(rates, [&](auto const& e) {
            return is_well_conditioned(e.name, e.parameter.value(), options_.max_condition);
        });
        ++step_;
        double sum = 0;
        for (double const loss : losses) sum += loss;
        history_.push_back({sum, held_out_now_});
        return sum;
    }

    /// Mean divergence of held-out tokens; remembers the parameters if they are the best so far.
    double check_held_out() {
        make_students();
        std::vector<lesson*> all;
        for (lesson& l : checks_) all.push_back(&l);
        ask_teacher(all);
        std::vector<double> sums(all.size());
        detail::on_threads(replicas_.size(), [&](std::size_t t) {
            for (std::size_t i = t; i < all.size(); i += replicas_.size())
                sums[i] = static_cast<double>(divergence(replicas_[t], *all[i]).value()(0, 0)) *
                          static_cast<double>(all[i]->window->size() - 1);
        });
        double total = 0;
        for (double const x : sums) total += x;
        held_out_now_ = total / static_cast<double>(n_predictions(held_out_.windows()));
        if (!history_.empty()) history_.back().held_out = held_out_now_;
        if (step_ != 0) ++checks_since_best_;
        if (held_out_now_ < best_divergence_) {
            best_divergence_ = held_out_now_;
            best_step_ = step_;
            best_ = optimiser_.values();
            checks_since_best_ = 0;
        }
        return held_out_now_;
    }

    /// The parameters with the least divergence on held-out text so far.
    [[nodiscard]] student_parameters<running> best() const {
        auto p = mapped<running>(replicas_[0].parameters, [](training const& x) { return x.value(); });
        std::size_t next = 0;
        visit_student(p, [&](parameter_group, std::string const&, running& x) { x = best_[next++]; });
        return p;
    }
    [[nodiscard]] double best_divergence() const noexcept { return best_divergence_; }
    [[nodiscard]] std::size_t best_step() const noexcept { return best_step_; }
    [[nodiscard]] std::size_t step() const noexcept { return step_; }
    /// All steps so far, those before a checkpoint included.
    [[nodiscard]] std::vector<distillation_record> const& history() const noexcept { return history_; }
    [[nodiscard]] distillation_options const& options() const noexcept { return options_; }
    /// Gradients' norms at the last step before they were used up: all zero unless a step has been taken.
    [[nodiscard]] group_values const& gradient_norms() const noexcept { return gradient_norms_; }

private:
    /// What one thread works on.
    struct replica {
        student_parameters<training> parameters{};
        std::vector<training> trained{};  ///< handles on what is trained, in the order of visit_student
        decoder<training> merged{};       ///< the pieces of the student that this thread merges, recorded
        decoder<training>
            leaves{};  ///< the whole student, its weights being parameters that collect gradients
    };

    /// A window, and what the teacher has in front of its head there, once it has been asked: the head is computed again every
    /// time, since logits of a whole text would fill the memory.
    struct lesson {
        std::vector<int> const* window;
        running teacher_hidden{};
    };

    /// A window that lives as long as its lesson, at one place.
    struct shifted_lesson {
        explicit shifted_lesson(std::vector<int> tokens) : window(std::move(tokens)) {}
        shifted_lesson(shifted_lesson const&) = delete;
        shifted_lesson& operator=(shifted_lesson const&) = delete;

        std::vector<int> window;
        lesson of_window{&window};
    };

    [[nodiscard]] static std::vector<lesson> lessons_of(token_sequences const& windows) {
        std::vector<lesson> lessons;
        for (auto const& window : windows) lessons.push_back({&window});
        return lessons;
    }
    [[nodiscard]] static std::span<int const> inputs_of(lesson const& l) {
        return std::span<int const>(*l.window).first(l.window->size() - 1);
    }
    void ask_teacher(std::vector<lesson*> const& wanted) {
        std::vector<lesson*> unknown;
        for (lesson* const l : wanted)
            if (l->teacher_hidden.rows() == 0 && options_.loss != distillation_loss::next_token &&
                std::find(unknown.begin(), unknown.end(), l) == unknown.end())
                unknown.push_back(l);
        detail::on_threads(replicas_.size(), [&](std::size_t t) {
            for (std::size_t i = t; i < unknown.size(); i += replicas_.size()) {
                auto const keep = [&](location where, std::size_t, running x) {
                    if (where == location::head_input) unknown[i]->teacher_hidden = x;
                    return x;
                };
                static_cast<void>(teacher_.logits(inputs_of(*unknown[i]), keep));
            }
        });
    }

    [[nodiscard]] token_sequences longest_of_both() const {
        auto const &a = training_.windows(), &b = held_out_.windows();
        std::size_t const n = std::max(longest_window(a), longest_window(b));
        return {std::vector<int>(n)};
    }
    [[nodiscard]] static std::vector<training*> tensors_of(decoder<training>& m) {
        std::vector<training*> tensors;
        visit_tensors(m, [&](std::string const&, training& w) { tensors.push_back(&w); });
        return tensors;
    }
    [[nodiscard]] std::size_t owner(std::size_t piece) const { return piece % replicas_.size(); }

    /// Merges and rounds, each thread its pieces, and gives every thread the whole as leaves.
    void make_students() {
        detail::on_threads(replicas_.size(), [&](std::size_t t) {
            replicas_[t].merged = base_;
            make_student(replicas_[t].parameters, settings_, options_.eps, replicas_[t].merged,
                         [&](std::size_t piece) { return owner(piece) == t; });
        });
        whole_ = replicas_[0].merged;
        for (std::size_t i = 0; i < whole_.layers.size(); ++i)
            whole_.layers[i] = replicas_[owner(i)].merged.layers[i];
        whole_.embedding = replicas_[owner(whole_.layers.size())].merged.embedding;
        auto const& with_head = replicas_[owner(whole_.layers.size() + 1)].merged;
        whole_.lm_head = with_head.lm_head;
        whole_.final_norm = with_head.final_norm;
        for (std::size_t t = 0; t < replicas_.size(); ++t) {
            replicas_[t].leaves = whole_;
            auto const leaves = tensors_of(replicas_[t].leaves);
            auto const first = tensors_of(replicas_[0].leaves);
            for (std::size_t k = 0; k < leaves.size(); ++k)
                if (leaves[k]->carries_gradient())
                    *leaves[k] = t == 0 ? training::parameter(leaves[k]->value()) : first[k]->replica();
        }
    }

    /// From the leaves through the merges to what is trained, and from all threads to the first.
    void send_gradients_back() {
        auto const whole = tensors_of(whole_);
        std::vector<std::vector<training*>> leaves;
        for (auto& r : replicas_) leaves.push_back(tensors_of(r.leaves));
        detail::on_threads(replicas_.size(), [&](std::size_t t) {
            auto const mine = tensors_of(replicas_[t].merged);
            training loss(1, 1);
            for (std::size_t k = 0; k < mine.size(); ++k) {
                if (!mine[k]->carries_gradient() || mine[k]->node() != whole[k]->node()) continue;
                running gradient = leaves[0][k]->gradient();
                for (std::size_t s = 1; s < replicas_.size(); ++s)
                    gradient.values += leaves[s][k]->gradient_in_place();
                loss = loss + inner_product(*mine[k], std::move(gradient));
            }
            if (loss.carries_gradient()) backward(loss);
        });
        for (std::size_t t = 1; t < replicas_.size(); ++t)
            for (std::size_t k = 0; k < replicas_[t].trained.size(); ++k) {
                replicas_[0].trained[k].gradient_in_place() += replicas_[t].trained[k].gradient_in_place();
                replicas_[t].trained[k].clear_gradient();
            }
        gradient_norms_ = optimiser_.gradient_norms();
    }

    [[nodiscard]] training divergence(replica const& r, lesson const& l) const {
        auto const tokens = inputs_of(l);
        grid_training_tap<training> tap(settings_, r.parameters.grids);
        training const z = runner<training>(r.leaves, tokens.size()).logits(tokens, tap);
        if (options_.loss == distillation_loss::next_token)
            return mean_cross_entropy(z, std::span<int const>(*l.window).subspan(1));
        running const of_teacher = head_logits(teacher_.model(), l.teacher_hidden);
        if (options_.loss == distillation_loss::kullback_leibler) return mean_kullback_leibler(z, of_teacher);
        if (options_.loss == distillation_loss::top_kullback_leibler)
            return mean_top_kullback_leibler(z, of_teacher, std::min(options_.top_k, z.cols()));
        return mean_jensen_shannon(z, of_teacher);
    }

    [[nodiscard]] cosine_schedule schedule() const {
        return {options_.n_steps,
                static_cast<std::size_t>(options_.warm_up * static_cast<double>(options_.n_steps)), 0.0};
    }
    [[nodiscard]] bool has_stalled() const {
        return options_.patience != 0 && checks_since_best_ > options_.patience;
    }

    /// The windows of this step: every window once before any comes again, in an order that seed and epoch give.
    ///
    /// shifted  holds those that are cut for this step alone
    [[nodiscard]] std::vector<lesson*> next_batch(std::deque<shifted_lesson>& shifted) {
        std::size_t const n = lessons_.size();
        std::vector<lesson*> batch;
        for (std::size_t i = step_ * options_.batch; i < (step_ + 1) * options_.batch; ++i) {
            std::size_t const epoch = i / n, which = shuffled(n, epoch)[i % n];
            if (options_.shifts_windows && epoch != 0) {
                shifted.emplace_back(shifted_window(which, epoch));
                batch.push_back(&shifted.back().of_window);
            } else {
                batch.push_back(&lessons_[which]);
            }
        }
        return batch;
    }
    /// All windows one behind the other, without the tokens that each begins with.
    [[nodiscard]] static std::vector<int> stream_of(token_sequences const& windows) {
        std::vector<int> stream;
        for (auto const& w : windows) stream.insert(stream.end(), w.begin() + 1, w.end());
        return stream;
    }
    /// A window of as many tokens as `which` has, and the same first one, from a stream that each epoch begins elsewhere.
    [[nodiscard]] std::vector<int> shifted_window(std::size_t which, std::size_t epoch) const {
        auto const& windows = training_.windows();
        std::size_t at = random_source(detail::mix(options_.seed) + epoch).next_below(stream_.size());
        for (std::size_t i = 0; i < which; ++i) at += windows[i].size() - 1;
        std::vector<int> window{windows[which].front()};
        while (window.size() < windows[which].size()) window.push_back(stream_[at++ % stream_.size()]);
        return window;
    }
    [[nodiscard]] std::vector<std::size_t> shuffled(std::size_t n, std::size_t epoch) const {
        random_source random(options_.seed + epoch);
        std::vector<std::size_t> order(n);
        for (std::size_t i = 0; i < n; ++i) order[i] = i;
        for (std::size_t i = n; i > 1; --i) std::swap(order[i - 1], order[random.next_below(i)]);
        return order;
    }

    [[nodiscard]] std::string const& model_fingerprint() const {
        if (model_fingerprint_.empty()) model_fingerprint_ = fingerprint(teacher_.model());
        return model_fingerprint_;
    }

    friend distillation_checkpoint<T>;

    distillation_options options_;
    quantization_settings settings_;
    training_windows training_;
    held_out_windows held_out_;
    std::vector<lesson> lessons_;
    std::vector<int> stream_;
    std::vector<lesson> checks_;
    runner<running> teacher_;
    mutable std::string model_fingerprint_{};  ///< of the teacher, once a checkpoint asked for it
    decoder<training> base_{};
    decoder<training> whole_{};
    grouped_adamw<T> optimiser_;
    std::vector<replica> replicas_;
    group_values gradient_norms_{};
    std::size_t step_ = 0;
    std::vector<distillation_record> history_{};
    double held_out_now_ = std::numeric_limits<double>::quiet_NaN();
    double best_divergence_ = std::numeric_limits<double>::infinity();
    std::size_t best_step_ = 0;
    std::size_t checks_since_best_ = 0;
    std::string earlier_schedules_{};  ///< that a checkpoint's steps were taken by, in words
    std::vector<running> best_{};
};

}  // namespace commutant
