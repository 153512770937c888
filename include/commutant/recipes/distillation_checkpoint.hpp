// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <commutant/io/error.hpp>
#include <commutant/io/safetensors.hpp>
#include <commutant/io/safetensors_writer.hpp>
#include <commutant/recipes/distillation.hpp>

// Training that goes on another day. A checkpoint is a safetensors file: every parameter with the two moments of its optimiser
// and its best values, loss and held-out divergence of the steps so far, and in the metadata how far training has come and what
// it was asked to do.

namespace commutant {

namespace detail {

inline constexpr char const* checkpoint_format = "distillation 2";

/// Everything that training depends on besides the parameters, in words: a checkpoint of other words is refused.
[[nodiscard]] inline std::string description_of(distillation_options const& o,
                                                quantization_settings const& settings, bool token_scale,
                                                token_sequences const& training,
                                                token_sequences const& held_out) {
    std::uint64_t text = 0;
    for (auto const* windows : {&training, &held_out})
        for (auto const& window : *windows)
            for (int const token : window) text = mix(text + static_cast<std::uint64_t>(token) + 1);
    std::string rates;
    for (double const rate : o.learning_rates) rates += std::to_string(rate * o.rate_factor) + " ";
    return to_string(settings.bits()) + " " + std::string(to_string(settings.covers)) + ", " +
           std::to_string(o.n_steps) + " steps of " + std::to_string(o.batch) + " windows, rates " + rates +
           (token_scale ? "S_n, " : "") + "loss " + std::to_string(static_cast<int>(o.loss)) + ", seed " +
           std::to_string(o.seed) + ", text " + std::to_string(text);
}

template <class T> [[nodiscard]] std::string description_of(distillation<T> const& d) {
    return description_of(d.options_, d.settings_, d.replicas_[0].parameters.transforms.chosen.token_scale,
                          d.training_.windows(), d.held_out_.windows());
}

/// A double as text that reads back to the same bits.
[[nodiscard]] inline std::string exact_text(double x) {
    char buffer[40];
    std::snprintf(buffer, sizeof buffer, "%a", x);
    return buffer;
}

}  // namespace detail

/// Writes where training stands; the file is replaced whole or not at all.
///
/// Errors    io::output_error for a failed write
template <class T> void save_checkpoint(distillation<T> const& d, std::filesystem::path const& path) {
    std::vector<io::tensor_declaration> declared;
    auto const& entries = d.optimiser_.entries();
    for (auto const& e : entries)
        for (char const* what : {".value", ".first_moment", ".second_moment", ".best"})
            declared.push_back({e.name + what,
                                sizeof(T) == 8 ? io::dtype::f64 : io::dtype::f32,
                                {e.parameter.rows(), e.parameter.cols()}});
    if (d.step_ != 0) declared.push_back({"history", io::dtype::f64, {d.step_, 2}});
    io::safetensors_writer writer(path, declared,
                                  {{"commutant", detail::checkpoint_format},
                                   {"description", detail::description_of(d)},
                                   {"step", std::to_string(d.step_)},
                                   {"best_step", std::to_string(d.best_step_)},
                                   {"checks_since_best", std::to_string(d.checks_since_best_)},
                                   {"held_out", detail::exact_text(d.held_out_now_)},
                                   {"best_divergence", detail::exact_text(d.best_divergence_)}},
                                  io::existing::replace);
    for (std::size_t k = 0; k < entries.size(); ++k) {
        auto const& e = entries[k];
        writer.write(e.name + ".value", e.parameter.value().elements());
        writer.write(e.name + ".first_moment", e.state.first_moment());
        writer.write(e.name + ".second_moment", e.state.second_moment());
        writer.write(e.name + ".best", d.best_[k].elements());
    }
    if (d.step_ != 0) {
        std::vector<double> history;
        for (auto const& record : d.history_) history.insert(history.end(), {record.loss, record.held_out});
        writer.write_bytes("history", std::as_bytes(std::span(history)));  // NaN where nothing was measured
    }
    writer.commit();
}

/// Goes on from a checkpoint of the same job.
///
/// Errors    io::input_error for a bad file, or one that another job wrote, naming the first difference
template <class T> void resume_from_checkpoint(distillation<T>& d, std::filesystem::path const& path) {
    auto const file = io::safetensors_file::open(path);
    auto const& metadata = file.metadata();
    auto const text = [&](char const* key) -> std::string const& {
        auto const found = metadata.find(key);
        if (found == metadata.end())
            throw io::input_error(path.string(), "has no \"" + std::string(key) +
                                                     "\" in its metadata, expected a checkpoint of training");
        return found->second;
    };
    std::string const expected = detail::description_of(d);
    if (text("commutant") != detail::checkpoint_format)
        throw io::input_error(path.string(), "is of the format \"" + text("commutant") + "\", expected \"" +
                                                 detail::checkpoint_format +
                                                 "\": another version of the program wrote it");
    if (text("description") != expected)
        throw io::input_error(path.string(), "is a checkpoint of \"" + text("description") +
                                                 "\", expected \"" + expected + "\"");
    auto& entries = d.optimiser_.entries();
    for (auto const& e : entries)
        for (char const* what : {".value", ".first_moment", ".second_moment", ".best"}) {
            std::vector<std::size_t> const shape{e.parameter.rows(), e.parameter.cols()};
            if (!file.contains(e.name + what) || file.info(e.name + what).shape != shape)
                throw io::input_error(path.string(), "has no tensor " + e.name + what + " of shape " +
                                                         io::shape_text(shape) +
                                                         ", expected a checkpoint of the same transforms");
        }
    auto const step = static_cast<std::size_t>(std::strtoull(text("step").c_str(), nullptr, 10));
    std::vector<double> history;
    if (step != 0) {
        std::vector<std::size_t> const shape{step, 2};
        if (!file.contains("history") || file.info("history").shape != shape ||
            file.info("history").type != io::dtype::f64)
            throw io::input_error(path.string(), "has no tensor history of shape " + io::shape_text(shape) +
                                                     ", expected a row for each step");
        auto const bytes = file.bytes("history");
        history.resize(2 * step);
        std::memcpy(history.data(), bytes.data(), bytes.size());
    }
    std::size_t const n_tensors = 4 * entries.size() + (step != 0 ? 1 : 0);
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
    d.best_step_ = static_cast<std::size_t>(std::strtoull(text("best_step").c_str(), nullptr, 10));
    d.checks_since_best_ =
        static_cast<std::size_t>(std::strtoull(text("checks_since_best").c_str(), nullptr, 10));
    d.held_out_now_ = std::strtod(text("held_out").c_str(), nullptr);
    d.best_divergence_ = std::strtod(text("best_divergence").c_str(), nullptr);
}

}  // namespace commutant
