// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <commutant/recipes/constant_token_scale.hpp>
#include <commutant/recipes/distillation_checkpoint.hpp>
#include <commutant/recipes/local_stage.hpp>
#include <commutant/recipes/moment_start.hpp>
#include <commutant/recipes/starting_parameters.hpp>

namespace commutant {

/// Whether S_n is at work.
enum class token_scale_choice {
    off,
    on,
    constant,  ///< off; in its place one constant for each sub-block, merged into T_v and T_u
    measured  ///< on and off are trained for a while, held-out text decides, and the better one goes on; a checkpoint
              ///< has decided
};

/// A recipe that trains: what is trained, and how. Nothing else distinguishes one from another.
struct training_recipe {
    transform_forms forms{};
    moment_start moments{};  ///< transforms that start in closed form
    token_scale_choice token_scale = token_scale_choice::off;
    local_options local{};                ///< n_steps 0: left out
    distillation_options distillation{};  ///< n_steps 0: left out
    std::size_t range_windows = 16;       ///< first windows of the training text, for ranges
    double trial_share =
        0.125;  ///< of the steps, before token_scale_choice::measured decides; whole looks at held-out text
};

/// Student parameters at the end of a stage, and their divergence from the original on held-out text.
template <class M> struct trained_stage {
    std::string name{};
    student_parameters<M> parameters{};
    double held_out = 0;
};

/// What came of a recipe.
template <class M> struct training_outcome {
    std::vector<trained_stage<M>> stages{};  ///< in order; the last is the result
    local_report local{};
    std::size_t steps = 0, best_step = 0;
    std::vector<distillation_record> history{};  ///< of the end-to-end stage, step by step
    std::vector<std::string> notes{};
};

/// Who looks on, and where training may be interrupted; everything may be left empty.
struct training_watch {
    std::function<void(std::string const& stage, std::size_t done, std::size_t total)> progress{};
    std::function<void(distillation_progress const&)> distillation{};
    std::function<bool()> stop{};
    std::filesystem::path
        checkpoint{};  ///< written at every look at held-out text; read first if it is there
};

namespace detail {

/// Ranges of transforms as they are: where the end-to-end stage starts.
template <class T>
[[nodiscard]] student_parameters<eigen_matrix<T>> with_ranges(
    decoder<eigen_matrix<T>> const& teacher, transform_parameters<eigen_matrix<T>> transforms, eps_rule eps,
    token_sequences const& windows, quantization_settings const& settings,
    progress_callback const& progress) {
    auto merged = teacher;
    fold_parameters(transforms, eps, merged);
    auto grids = parameters_of<eigen_matrix<T>>(set_grids(merged, windows, settings, progress), settings);
    return {std::move(transforms), std::move(grids)};
}

/// Steps of each trial: the share, up to a look at held-out text that training takes anyway.
[[nodiscard]] inline std::size_t trial_steps(training_recipe const& recipe) {
    auto const& d = recipe.distillation;
    double const share = recipe.trial_share * static_cast<double>(d.n_steps);
    auto const looks = static_cast<std::size_t>(std::ceil(share / static_cast<double>(d.check_every)));
    return std::min(looks * d.check_every, d.n_steps);
}

/// What the trials of S_n found, as it is told.
///
/// with, without  least divergence of held-out text in the first n_steps steps
[[nodiscard]] inline std::string token_scale_remark(std::size_t n_steps, double with, double without) {
    return std::string("S_n is ") + (with < without ? "on" : "off") + ": held-out divergence after " +
           std::to_string(n_steps) + " steps " + std::to_string(with) + " with, " + std::to_string(without) +
           " without";
}

/// One training and where it begins.
template <class T> struct training_run {
    student_parameters<eigen_matrix<T>> start;
    distillation<T> trainer;
    double held_out = trainer.check_held_out();    ///< before the first step
    std::vector<distillation_progress> watched{};  ///< of a trial
};

template <class T> struct token_scale_trials {
    std::unique_ptr<training_run<T>> run{};  ///< the chosen one, at the end of its trial
    bool is_undecided = false;               ///< it was stopped before; run is without S_n
    std::string remark{};
};

/// Trains without S_n and with it for n_steps steps each, and keeps the one of lesser divergence.
///
/// run_with  makes the training with S_n or without it
template <class T, class RunWith>
[[nodiscard]] token_scale_trials<T> try_token_scale(RunWith const& run_with, std::size_t n_steps,
                                                    training_watch const& watch) {
    token_scale_trials<T> r;
    double measured[2] = {};
    for (bool const on : {false, true}) {
        if (r.is_undecided) break;
        auto trial = run_with(on);
        auto const at_end = [&] {
            if (trial->trainer.step() >= n_steps) return true;
            r.is_undecided = watch.stop && watch.stop();
            return r.is_undecided;
        };
        auto const note = [&](distillation_progress const& p) {
            trial->watched.push_back(p);
            if (watch.progress) watch.progress(on ? "trial with S_n" : "trial without S_n", p.step, n_steps);
        };
        if (n_steps != 0) trial->trainer.run(note, at_end);
        measured[on ? 1 : 0] = trial->trainer.best_divergence();
        if (!on || (!r.is_undecided && measured[1] < measured[0])) r.run = std::move(trial);
    }
    r.remark = r.is_undecided ? "S_n is off: training ended before it was decided"
                              : token_scale_remark(n_steps, measured[1], measured[0]);
    return r;
}

}  // namespace detail

/// Runs a recipe: the data-free stage, ranges, the end-to-end stage.
///
/// teacher   the original decoder
/// Note      choices are made on the held-out part of the calibration text; no evaluation text can be given
/// Errors    those of the stages
template <class T>
[[nodiscard]] training_outcome<eigen_matrix<T>> train(decoder<eigen_matrix<T>> const& teacher,
                                                      calibration_split const& text,
                                                      quantization_settings const& settings,
                                                      training_recipe const& recipe, random_source& random,
                                                      training_watch const& watch = {}) {
    using running = eigen_matrix<T>;
    training_outcome<running> r;
    auto const labelled = [&](std::string const& label) -> progress_callback {
        if (!watch.progress) return {};
        return [&watch, label](std::size_t done, std::size_t total) { watch.progress(label, done, total); };
    };
    auto transforms = starting_parameters<running>(teacher.config, recipe.forms, random);
    if (recipe.forms.chosen.query_key && !transforms.chosen.query_key)
        r.notes.push_back("without T_k: q/k norms stand between the projections and RoPE");
    auto const& all = text.training.windows();
    token_sequences const windows(
        all.begin(), all.begin() + static_cast<std::ptrdiff_t>(std::min(recipe.range_windows, all.size())));
    if (recipe.moments.value_output || recipe.moments.up_down)
        start_from_moments(teacher, activation_moments(teacher, windows, labelled("moments")), recipe.moments,
                           transforms);
    if (recipe.local.n_steps != 0)
        r.local = minimise_weight_norms(teacher, transforms, recipe.local, labelled("local stage"));
    if (recipe.token_scale == token_scale_choice::constant)
        scale_by_constants(transforms, mean_token_scales(teacher, windows));
    auto const start_with = [&](bool token_scale) {
        auto chosen = transforms;
        chosen.chosen.token_scale = token_scale;
        return detail::with_ranges(teacher, std::move(chosen), recipe.distillation.eps, windows, settings,
                                   labelled("ranges"));
    };
    auto const& options = recipe.distillation;
    auto const run_with = [&](bool token_scale) {
        auto start = start_with(token_scale);
        // In place: a trainer cannot be moved.
        return std::unique_ptr<detail::training_run<T>>(new detail::training_run<T>{
            start, distillation<T>(teacher, start, settings, text.training, text.held_out, options)});
    };
    detail::token_scale_trials<T> chosen;
    bool const goes_on = !watch.checkpoint.empty() && std::filesystem::exists(watch.checkpoint);
    if (recipe.token_scale == token_scale_choice::measured && goes_on) {
        bool const on = distillation_checkpoint<T>::has_token_scale(watch.checkpoint);
        chosen.run = run_with(on);
        r.notes.push_back(std::string("S_n is ") + (on ? "on" : "off") + ", as in the checkpoint");
    } else if (recipe.token_scale == token_scale_choice::measured) {
        chosen = detail::try_token_scale<T>(run_with, detail::trial_steps(recipe), watch);
        r.notes.push_back(chosen.remark);
    } else {
        chosen.run = run_with(recipe.token_scale == token_scale_choice::on);
    }
    auto const& run = chosen.run;
    auto* const d = &run->trainer;
    if (watch.distillation)
        for (auto const& p : run->watched) watch.distillation(p);
    r.stages.push_back({"local", run->start, run->held_out});
    if (recipe.distillation.n_steps == 0) return r;
    // A state between two trials is none to go on from.
    auto const checkpoint = chosen.is_undecided ? std::filesystem::path() : watch.checkpoint;
    if (goes_on) {
        std::string const difference = resume_from_checkpoint(*d, checkpoint);
        r.notes.push_back("resumed at step " + std::to_string(d->step()) + " from " + checkpoint.string() +
                          (difference.empty() ? "" : ", " + difference));
    }
    if (!chosen.is_undecided)
        d->run(
            [&](distillation_progress const& p) {
                if (watch.distillation) watch.distillation(p);
                bool const looked = p.step % recipe.distillation.check_every == 0 || p.step == p.n_steps;
                if (looked && !checkpoint.empty()) save_checkpoint(*d, checkpoint);
            },
            watch.stop);
    if (!checkpoint.empty()) save_checkpoint(*d, checkpoint);
    if (d->step() < recipe.distillation.n_steps)
        r.notes.push_back("training ended at step " + std::to_string(d->step()) + " of " +
                          std::to_string(recipe.distillation.n_steps) + "; the best so far was kept");
    r.steps = d->step();
    r.best_step = d->best_step();
    r.history = d->history();
    r.stages.push_back({"trained", d->best(), d->best_divergence()});
    return r;
}

}  // namespace commutant
