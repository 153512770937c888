// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <commutant/io/error.hpp>
#include <commutant/io/safetensors.hpp>
#include <commutant/io/safetensors_writer.hpp>
#include <commutant/recipes/distillation.hpp>

// Training that goes on another day. A checkpoint is a safetensors file: every parameter with the two moments of its optimiser
// and its best values, where rotations start, loss and held-out divergence of the steps so far, and in the metadata how far
// training has come, what is trained, and how.

namespace commutant {

/// Where training stands, to a file and from it.
template <class T> class distillation_checkpoint {
public:
    static constexpr char const* format = "distillation 3";

    /// Writes where training stands; the file is replaced whole or not at all.
    ///
    /// Errors    io::output_error for a failed write
    static void save(distillation<T> const& d, std::filesystem::path const& path) {
        std::vector<io::tensor_declaration> declared;
        auto const& entries = d.optimiser_.entries();
        for (auto const& e : entries)
            for (char const* what : of_parameter)
                declared.push_back({e.name + what, type, shape_of(e.parameter)});
        for (auto const& [name, start] : starts_of(d)) declared.push_back({name, type, shape_of(start)});
        if (d.step_ != 0) declared.push_back({"history", io::dtype::f64, {d.step_, 2}});
        io::safetensors_writer writer(path, declared,
                                      {{"commutant", format},
                                       {"job", job_of(d)},
                                       {"token_scale", has_token_scale(d) ? "on" : "off"},
                                       {"schedule", schedule_of(d)},
                                       {"earlier_schedules", d.earlier_schedules_},
                                       {"step", std::to_string(d.step_)},
                                       {"best_step", std::to_string(d.best_step_)},
                                       {"checks_since_best", std::to_string(d.checks_since_best_)},
                                       {"held_out", exact_text(d.held_out_now_)},
                                       {"best_divergence", exact_text(d.best_divergence_)}},
                                      io::existing::replace);
        for (std::size_t k = 0; k < entries.size(); ++k) {
            auto const& e = entries[k];
            writer.write(e.name + ".value", e.parameter.value().elements());
            writer.write(e.name + ".first_moment", e.state.first_moment());
            writer.write(e.name + ".second_moment", e.state.second_moment());
            writer.write(e.name + ".best", d.best_[k].elements());
        }
        for (auto const& [name, start] : starts_of(d)) writer.write(name, start.elements());
        if (d.step_ != 0) {
            std::vector<double> history;
            for (auto const& record : d.history_)
                history.insert(history.end(), {record.loss, record.held_out});
            writer.write_bytes("history",
                               std::as_bytes(std::span(history)));  // NaN where nothing was measured
        }
        writer.commit();
    }

    /// Goes on from a checkpoint of the same job: the same model, transforms, grids and text. The schedule may be another one,
    /// such as one of more steps: training goes on where it stands, at the new one's rates, and patience begins anew.
    ///
    /// result    in words, all schedules that were other ones, and up to which step; empty if there are none
    /// Errors    io::input_error for a bad file, one that another job wrote, naming the first difference, or one further
    ///           than the schedule's last step
    static std::string resume(distillation<T>& d, std::filesystem::path const& path) {
        auto const file = io::safetensors_file::open(path);
        auto const text = [&](char const* key) -> std::string const& { return text_of(file, path, key); };
        auto const number = [&](char const* key) {
            return static_cast<std::size_t>(std::strtoull(text(key).c_str(), nullptr, 10));
        };
        require_format(file, path);
        if (std::string const expected = job_of(d); text("job") != expected)
            throw io::input_error(
                path.string(), "is a checkpoint of \"" + text("job") + "\", expected \"" + expected + "\"");
        auto const require = [&](std::string const& name, std::vector<std::size_t> const& shape,
                                 io::dtype expected, char const* what) {
            if (!file.contains(name) || file.info(name).shape != shape || file.info(name).type != expected)
                throw io::input_error(path.string(), "has no tensor " + name + " of shape " +
                                                         io::shape_text(shape) + ", expected " + what);
        };
        auto& entries = d.optimiser_.entries();
        for (auto const& e : entries)
            for (char const* what : of_parameter)
                require(e.name + what, shape_of(e.parameter), type, "a checkpoint of the same transforms");
        auto const starts = starts_of(d);
        for (auto const& [name, start] : starts) {
            require(name, shape_of(start), type, "a checkpoint of the same transforms");
            std::vector<T> found(start.size());
            file.read(name, std::span<T>(found));
            if (!std::equal(found.begin(), found.end(), start.data()))
                throw io::input_error(path.string(), "holds another " + name +
                                                         ", expected rotations that start at the same place");
        }
        auto const step = number("step"), best_step = number("best_step"),
                   checks_since_best = number("checks_since_best");
        double const held_out = std::strtod(text("held_out").c_str(), nullptr),
                     best_divergence = std::strtod(text("best_divergence").c_str(), nullptr);
        std::string const schedule = text("schedule");
        std::string earlier = text("earlier_schedules");
        bool const is_another = schedule != schedule_of(d);
        if (is_another)
            earlier += (earlier.empty() ? "" : ", ") + schedule + " up to step " + std::to_string(step);
        if (step > d.options_.n_steps)
            throw io::input_error(path.string(),
                                  "is at step " + std::to_string(step) + ", expected at most " +
                                      std::to_string(d.options_.n_steps) + ", the last of this training");
        std::vector<double> history;
        if (step != 0) {
            require("history", {step, 2}, io::dtype::f64, "a row for each step");
            auto const bytes = file.bytes("history");
            history.resize(2 * step);
            std::memcpy(history.data(), bytes.data(), bytes.size());
        }
        std::size_t const n_tensors =
            std::size(of_parameter) * entries.size() + starts.size() + (step != 0 ? 1 : 0);
        if (file.names().size() != n_tensors)
            throw io::input_error(path.string(), "holds " + std::to_string(file.names().size()) +
                                                     " tensors, expected " + std::to_string(n_tensors));
        auto values = d.optimiser_.values(), best = values;
        for (std::size_t k = 0; k < entries.size(); ++k) {
            auto& e = entries[k];
            std::vector<T> first(e.parameter.size()), second(e.parameter.size());
            file.read(e.name + ".value", values[k].elements());
            file.read(e.name + ".first_moment", std::span<T>(first));
            file.read(e.name + ".second_moment", std::span<T>(second));
            file.read(e.name + ".best", best[k].elements());
            e.state.resume(step, first, second);
        }
        d.optimiser_.set_values(values);
        d.best_ = std::move(best);
        d.step_ = step;
        d.history_.clear();
        for (std::size_t i = 0; i < step; ++i) d.history_.push_back({history[2 * i], history[2 * i + 1]});
        d.best_step_ = best_step;
        d.checks_since_best_ = is_another ? 0 : checks_since_best;
        d.held_out_now_ = held_out;
        d.best_divergence_ = best_divergence;
        d.earlier_schedules_ = std::move(earlier);
        return d.earlier_schedules_.empty()
                   ? ""
                   : "trained by " + d.earlier_schedules_ + ", then by " + schedule_of(d);
    }

    /// Whether S_n is at work in the training that a checkpoint is of.
    ///
    /// Errors    io::input_error for a bad file
    [[nodiscard]] static bool has_token_scale(std::filesystem::path const& path) {
        auto const file = io::safetensors_file::open(path);
        require_format(file, path);
        return text_of(file, path, "token_scale") == "on";
    }

private:
    static constexpr char const* of_parameter[] = {".value", ".first_moment", ".second_moment", ".best"};
    static constexpr io::dtype type = sizeof(T) == 8 ? io::dtype::f64 : io::dtype::f32;

    [[nodiscard]] static std::string const& text_of(io::safetensors_file const& file,
                                                    std::filesystem::path const& path, char const* key) {
        auto const found = file.metadata().find(key);
        if (found == file.metadata().end())
            throw io::input_error(path.string(), "has no \"" + std::string(key) +
                                                     "\" in its metadata, expected a checkpoint of training");
        return found->second;
    }
    static void require_format(io::safetensors_file const& file, std::filesystem::path const& path) {
        if (auto const& found = text_of(file, path, "commutant"); found != format)
            throw io::input_error(path.string(), "is of the format \"" + found + "\", expected \"" + format +
                                                     "\": another version of the program wrote it");
    }
    [[nodiscard]] static bool has_token_scale(distillation<T> const& d) {
        return d.replicas_[0].parameters.transforms.chosen.token_scale;
    }

    template <class M> [[nodiscard]] static std::vector<std::size_t> shape_of(M const& x) {
        return {x.rows(), x.cols()};
    }
    [[nodiscard]] static std::vector<std::pair<std::string, eigen_matrix<T>>> starts_of(
        distillation<T> const& d) {
        std::vector<std::pair<std::string, eigen_matrix<T>>> starts;
        visit_starts(
            d.replicas_[0].parameters.transforms,
            [&](std::string const& name, tape_matrix<T> const& x) { starts.emplace_back(name, x.value()); });
        return starts;
    }

    /// What is trained on what, in words: a checkpoint of other words is refused.
    [[nodiscard]] static std::string job_of(distillation<T> const& d) {
        auto const& o = d.options_;
        auto const& p = d.replicas_[0].parameters.transforms;
        std::string transforms;
        auto const add = [&](bool chosen, std::string const& name) {
            if (chosen) transforms += (transforms.empty() ? "" : " ") + name;
        };
        auto const rotation = [](orthogonal_parameters<tape_matrix<T>> const& q) {
            return std::string(q.form == orthogonal_form::qr ? "qr" : "cayley");
        };
        auto const value = [&](value_parameters<tape_matrix<T>> const& v) -> std::string {
            if (v.form == value_form::dense) return "dense";
            if (v.form == value_form::low_rank) return "low-rank";
            return (v.form == value_form::svd ? "svd " : "orthogonal ") + rotation(v.left);
        };
        add(p.chosen.residual_stream, "T_r (" + rotation(p.residual_stream) + ")");
        add(p.chosen.query_key, "T_k");
        if (p.chosen.value_output && !p.layers.empty())
            add(true, "T_v (" + value(p.layers[0].value_output.at(0)) + ")");
        add(p.chosen.up_down, "T_u");
        add(p.chosen.down_input, "T_d (" + std::to_string(p.down_input.block()) + ")");
        add(has_token_scale(d), o.eps == eps_rule::exact ? "S_n (exact)" : "S_n (plain)");
        return to_string(d.settings_.bits()) + " " + std::string(to_string(d.settings_.covers)) +
               " of model " + d.model_fingerprint() + ", " +
               (transforms.empty() ? "no transforms" : transforms) + ", loss " +
               std::to_string(static_cast<int>(o.loss)) + ", seed " + std::to_string(o.seed) + ", text " +
               fingerprint(d.training_.windows()) + " and " + fingerprint(d.held_out_.windows());
    }
    /// How it is trained.
    [[nodiscard]] static std::string schedule_of(distillation<T> const& d) {
        auto const& o = d.options_;
        std::string rates;
        for (double const rate : o.learning_rates) rates += " " + short_text(rate * o.rate_factor);
        return std::to_string(o.n_steps) + " steps of " + std::to_string(o.batch) +
               (o.shifts_windows ? " shifted" : "") + " windows, warm-up " + short_text(o.warm_up) +
               ", rates" + rates + ", a look every " + std::to_string(o.check_every);
    }
    /// A double as text that reads back to the same bits.
    [[nodiscard]] static std::string exact_text(double x) { return formatted("%a", x); }
    [[nodiscard]] static std::string short_text(double x) { return formatted("%g", x); }
    [[nodiscard]] static std::string formatted(char const* how, double x) {
        char buffer[40];
        std::snprintf(buffer, sizeof buffer, how, x);
        return buffer;
    }
};

/// distillation_checkpoint::save.
template <class T> void save_checkpoint(distillation<T> const& d, std::filesystem::path const& path) {
    distillation_checkpoint<T>::save(d, path);
}

/// distillation_checkpoint::resume.
template <class T> std::string resume_from_checkpoint(distillation<T>& d, std::filesystem::path const& path) {
    return distillation_checkpoint<T>::resume(d, path);
}

}  // namespace commutant
