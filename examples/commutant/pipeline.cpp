// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "pipeline.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include <commutant/recipes/calibration_split.hpp>
#include <commutant/recipes/single_quantizer.hpp>

#include "site_choice.hpp"
#include "training.hpp"

namespace program {
namespace {

std::string joined(std::vector<std::string> const& parts) {
    std::string key;
    for (auto const& part : parts) key += part + '\n';
    return key;
}

/// What the float model's figure depends on, and what that of round-to-nearest does.
std::string evaluation_key(method_options const& m) {
    return joined({m.evaluation, std::to_string(m.max_windows)});
}
std::string rtn_key(method_options const& m) {
    return joined({m.bits, m.coverage, m.dynamic ? "dynamic" : "static",
                   m.symmetric ? "symmetric" : "asymmetric", m.range_words(), std::to_string(m.group_size),
                   m.calibration, std::to_string(m.max_calibration_windows), evaluation_key(m)});
}

}  // namespace

/// What a recipe made of the model.
struct pipeline::found_model {
    std::string key{};                         ///< of the method
    cm::decoder<float32> merged{};             ///< in floating point
    std::optional<cm::decoder_grids> grids{};  ///< trained, or set before
    bool changes_nothing = false;
    run_outcome outcome{};  ///< all but what was quantised
};

/// A run under way.
class pipeline::run_in_progress {
public:
    run_in_progress(pipeline& p, method_options const& method, stage_log& stages, run_watch const& watch)
        : pipeline_(p),
          inputs_(p.inputs_),
          method_(method),
          settings_(method.settings()),
          stages_(stages),
          watch_(watch) {
        stages_.begin("reading");
        texts_ = inputs_.texts(method);
        static_cast<void>(inputs_.original());
    }

    [[nodiscard]] run_outcome finished() {
        // The same model serves all runs that differ in what they quantise of it.
        auto options = method_.given;
        options.erase("--quantize-only");
        auto key = joined({command_line(options.words()), method_.calibration, method_.evaluation});
        if (!pipeline_.last_ || pipeline_.last_->key != key) {
            pipeline_.last_ = std::make_shared<found_model>(found());
            pipeline_.last_->key = std::move(key);
        }
        auto const model = pipeline_.last_;
        if (!pipeline_.keeps_model_) pipeline_.last_.reset();
        run_outcome r = model->outcome;
        r.quantized = quantized_nll(*model, r);
        return r;
    }

private:
    [[nodiscard]] cm::condition_limits limits() const {
        return {cm::condition_limits{}.warn, method_.max_condition};
    }

    template <class Model>
    [[nodiscard]] double nll(char const* label, Model const& model, cm::token_sequences const& windows) {
        stages_.begin("evaluating");
        return labelled_likelihood(label, model, windows, method_.training.threads).per_token();
    }
    template <class Model> [[nodiscard]] double nll(char const* label, Model const& model) {
        return nll(label, model, *texts_.evaluation);
    }

    [[nodiscard]] cm::quantized_decoder<float32> calibrated(char const* label, cm::decoder<float32> model) {
        stages_.begin("calibrating");
        return labelled_quantized(label, std::move(model), texts_.ranges, settings_);
    }

    /// A model after one of the earlier stages of training, quantised.
    [[nodiscard]] double stage_nll(trained_model const& stage) {
        stages_.begin("merging");
        auto model = inputs_.loaded();
        stage.plan.merge_offline(model, limits());
        stage.plan.merge_online(model, limits());
        return nll(("after the stage " + stage.stage).c_str(),
                   cm::quantize_decoder_on(cm::converted<float32>(model), stage.grids, settings_));
    }

    /// The recipe's transforms; grids too if it trains them.
    [[nodiscard]] prepared_plan find_plan(found_model& f) {
        auto const& config = inputs_.original().config;
        if (method_.recipe == "hadamard")
            return prepare_hadamard_at(method_.training.transforms, config, method_.seed);
        if (!method_.trains()) return prepare_plan(method_.recipe, config, method_.seed);
        auto found = trained(method_.recipe, method_.training, inputs_.original(), std::move(texts_.training),
                             method_.max_calibration_windows, settings_, method_.seed, stages_);
        run_outcome& r = f.outcome;
        for (std::size_t i = 0; i + 1 < found.stages.size(); ++i)
            r.stages.emplace_back(found.stages[i].stage, stage_nll(found.stages[i]));
        f.grids = std::move(found.stages.back().grids);
        r.training = std::move(found.numbers);
        r.range_windows = std::min(r.range_windows, r.training.at("training_windows").get<std::size_t>());
        r.interrupted = found.interrupted;
        return std::move(found.stages.back().plan);
    }

    [[nodiscard]] found_model found() {
        found_model f;
        run_outcome& r = f.outcome;
        r.range_windows = texts_.ranges.size();
        r.evaluation_windows = texts_.evaluation->size();
        r.evaluation_tokens = cm::n_predictions(*texts_.evaluation);
        r.original =
            pipeline_.once(evaluation_key(method_), [&] { return nll("float", inputs_.original()); });
        r.rtn = pipeline_.once(rtn_key(method_),
                               [&] { return nll("rtn", calibrated("calibrating rtn", inputs_.original())); });

        prepared_plan const plan = find_plan(f);
        stages_.begin("merging");
        // What merges is merged first: that much is a plain checkpoint. What stays online comes on top of it.
        cm::decoder<float64> model = inputs_.loaded();
        auto const report = plan.merge_offline(model, limits());
        r.condition = report.condition;
        r.remarks = plan.notes;
        r.remarks.insert(r.remarks.end(), report.warnings.begin(), report.warnings.end());
        if (watch_.merged_offline) watch_.merged_offline(model);
        stages_.begin("merging");
        plan.merge_online(model, limits());
        f.merged = cm::converted<float32>(model);
        model = {};
        f.changes_nothing = plan.changes_nothing;
        r.merged = f.changes_nothing ? r.original : nll("merged", f.merged);
        if (watch_.merged) watch_.merged(f.merged);
        return f;
    }

    [[nodiscard]] double quantized_nll(found_model& f, run_outcome& r) {
        bool const wants_model =
            watch_.quantized || method_.training_likelihood || !method_.quantize_only.empty();
        if (f.changes_nothing && !wants_model) return r.rtn;
        auto merged = pipeline_.keeps_model_ ? f.merged : std::move(f.merged);
        if (!f.grids) {
            auto q = calibrated("calibrating", pipeline_.keeps_model_ || !method_.quantize_only.empty()
                                                   ? merged
                                                   : std::move(merged));
            f.grids = {q.grids, q.weight_grids};
            if (method_.quantize_only.empty()) return quantized_nll(std::move(q), r);
        }
        if (method_.quantize_only.empty())
            return quantized_nll(cm::quantize_decoder_on(std::move(merged), *f.grids, settings_), r);
        if (method_.quantize_only == "weights")
            return nll("weights quantised",
                       cm::with_weights_quantized(std::move(merged), *f.grids, settings_));
        return nll((method_.quantize_only + " quantised").c_str(),
                   cm::with_location_quantized(std::move(merged), cm::parse_location(method_.quantize_only),
                                               *f.grids, settings_));
    }

    [[nodiscard]] double quantized_nll(cm::quantized_decoder<float32> const& model, run_outcome& r) {
        double const found = nll("quantized", model);
        if (method_.training_likelihood) note_training_likelihood(model, r);
        if (watch_.quantized) watch_.quantized(model);
        return found;
    }

    /// What is lost on text that was trained on, and on text that choices were made on.
    void note_training_likelihood(cm::quantized_decoder<float32> const& model, run_outcome& r) {
        auto const parts = cm::split_calibration(inputs_.texts(method_).training);
        auto const add = [&](char const* name, cm::token_sequences const& windows) {
            double const original =
                pipeline_.once(joined({name, method_.calibration, std::to_string(method_.training.windows)}),
                               [&] { return nll(name, inputs_.original(), windows); });
            r.training["loss_left"][name] = nll(name, model, windows) - original;
        };
        add("training", parts.training.windows());
        add("held_out", parts.held_out.windows());
    }

    pipeline& pipeline_;
    shared_inputs& inputs_;
    method_options const& method_;
    cm::quantization_settings settings_;
    stage_log& stages_;
    run_watch const& watch_;
    run_texts texts_{};
};

double pipeline::once(std::string const& key, std::function<double()> const& compute) {
    auto found = figures_.find(key);
    if (found == figures_.end()) found = figures_.emplace(key, compute()).first;
    return found->second;
}

run_outcome pipeline::run(method_options const& method, stage_log& stages, run_watch const& watch) {
    method.require_complete();
    run_outcome r = run_in_progress(*this, method, stages, watch).finished();
    stages.end();
    return r;
}

bool run_outcome::is_finite() const {
    return std::isfinite(original) && std::isfinite(merged) && std::isfinite(rtn) && std::isfinite(quantized);
}

json numbers_of(fs::path const& model, method_options const& m, run_outcome const& r,
                stage_log const& stages) {
    cm::quantization_settings const settings = m.settings();
    json numbers{
        {"model", model.string()},
        {"recipe", m.recipe},
        {"seed", m.seed},
        {"bits", to_string(settings.bits())},
        {"coverage", to_string(settings.covers)},
        {"timing", to_string(settings.activations.timing)},
        {"symmetric", m.symmetric},
        {"range", m.range},
        {"p", m.p},
        {"group_size", m.group_size},
        {"calibration", {{"file", m.calibration}, {"windows", r.range_windows}}},
        {"evaluation",
         {{"file", m.evaluation}, {"windows", r.evaluation_windows}, {"tokens", r.evaluation_tokens}}}};
    auto const add = [&](std::string const& step, double nll) {
        numbers["nll"][step] = nll;
        numbers["perplexity"][step] = std::exp(nll);
    };
    add("float", r.original);
    add("merged", r.merged);
    add("rtn", r.rtn);
    add("quantized", r.quantized);
    for (auto const& [stage, nll] : r.stages) add(stage, nll);
    if (!m.quantize_only.empty()) numbers["quantize_only"] = m.quantize_only;
    numbers["won_back"] = r.won_back();
    numbers["condition"] = r.condition;
    numbers["remarks"] = r.remarks;
    if (!r.training.is_null()) numbers["training"] = r.training;
    numbers["stages"] = stages.numbers();
    numbers["seconds"] = stages.seconds();
    numbers["peak_rss_bytes"] = stages.peak_rss_bytes();
    return numbers;
}

}  // namespace program
