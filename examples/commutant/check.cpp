// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// commutant check: merging changes nothing. Random transforms are merged into real weights, and logits compared.

#include <algorithm>
#include <cmath>
#include <iostream>
#include <memory>

#include <CLI/CLI.hpp>

#include <commutant/recipes/merged_folder.hpp>

#include "command.hpp"
#include "input.hpp"
#include "output.hpp"
#include "plans.hpp"
#include "reference_logits.hpp"
#include "runs.hpp"

namespace program {
namespace {

/// What merging may move the logits by, relative to the largest logit.
constexpr double max_float64_deviation = 1e-11;
constexpr double max_float32_deviation = 1e-3;

struct check_options {
    std::string model{};
    std::string plan = "fptquant";
    std::string text{};
    std::size_t max_windows = 2;
    std::size_t seed = 1;
    double max_condition = cm::condition_limits{}.refuse;
    window_options windows{};
    json_output output{};
};

/// What a check compares: a model, and logits before anything was done to it.
struct subject {
    cm::io::checkpoint const& source;
    cm::decoder<float64> model;
    cm::token_sequences windows;
    std::vector<float64> logits;
};

/// Largest deviation of a model's logits over all windows, relative to the largest logit of each.
template <class M> double deviation_of(cm::decoder<M> const& m, subject const& s) {
    double largest = 0;
    for (std::size_t i = 0; i < s.windows.size(); ++i) {
        double const d = relative_deviation(window_logits(m, s.windows[i]), s.logits[i]);
        if (!(d <= largest)) largest = d;
    }
    return largest;
}

struct check_result {
    double float64_deviation = 0;
    double float32_deviation = 0;
    double storage_deviation = 0;
    double condition = 1;
    std::vector<std::string> remarks{};
};

/// Merges, and runs the outcome in both widths.
check_result compare(subject const& s, check_options const& options) {
    prepared_plan const plan = prepare_plan(options.plan, s.model.config, options.seed);
    cm::condition_limits const limits{cm::condition_limits{}.warn, options.max_condition};
    check_result r;
    cm::decoder<float64> merged = s.model;
    auto const report = plan.merge_offline(merged, limits);
    plan.merge_online(merged, limits);
    r.condition = report.condition;
    r.remarks = plan.notes;
    r.remarks.insert(r.remarks.end(), report.warnings.begin(), report.warnings.end());
    r.float64_deviation = deviation_of(merged, s);
    r.float32_deviation = deviation_of(cm::converted<float32>(merged), s);
    r.storage_deviation = deviation_of(cm::rounded_to_storage(std::move(merged), s.source), s);
    return r;
}

/// Random tokens, when no text is given.
cm::token_sequences random_windows(cm::model_config const& c, std::size_t length, std::size_t seed) {
    cm::random_source random(seed);
    std::vector<int> window;
    for (std::size_t i = 0; i < std::min<std::size_t>(length, 128); ++i)
        window.push_back(static_cast<int>(random.next_below(c.vocab_size)));
    return {window};
}

int run_check(check_options const& options) {
    options.output.require_writable();
    fs::path const path = model_path(options.model);
    auto const source = cm::io::checkpoint::open(path);
    auto const& config = source.config();
    auto const reference = read_reference(source.directory(), config.vocab_size);
    window_reader reader(config, source.directory(), options.windows);
    subject s{source, {}, {}, {}};
    s.windows = options.text.empty() ? random_windows(config, reader.length(), options.seed)
                                     : reader.read(options.text, options.max_windows, false);
    s.model = cm::load_decoder<float64>(source);
    for (auto const& window : s.windows) s.logits.push_back(window_logits(s.model, window));
    check_result const r = compare(s, options);

    bool passed =
        r.float64_deviation <= max_float64_deviation && r.float32_deviation <= max_float32_deviation;
    std::string const storage(
        cm::io::dtype_name(cm::detail::storage_type(source, "model.embed_tokens.weight", {})));
    json numbers{{"model", path.string()},
                 {"plan", options.plan},
                 {"seed", options.seed},
                 {"tokens", cm::n_predictions(s.windows) + s.windows.size()},
                 {"condition", r.condition},
                 {"max_relative_logit_deviation",
                  {{"float64", r.float64_deviation}, {"float32", r.float32_deviation}}},
                 {"storage_rounding", {{"type", storage}, {"relative_logit_deviation", r.storage_deviation}}},
                 {"remarks", r.remarks}};
    auto const verdict = [](double x, double limit) { return x <= limit ? "passed" : "FAILED"; };
    table rows({"relative logit deviation", "found", "allowed", ""});
    auto const add = [&](std::string const& name, double found, double limit) {
        rows.add({name, formatted("%.2e", found), formatted("%.0e", limit), verdict(found, limit)});
    };
    add("merged, float64", r.float64_deviation, max_float64_deviation);
    add("merged, float32", r.float32_deviation, max_float32_deviation);
    if (reference) {
        cm::decoder<float32> const model = cm::converted<float32>(s.model);
        double const d = relative_deviation(window_logits(model, reference->tokens), reference->logits);
        numbers["reference_logit_deviation"] = d;
        add("unmerged against reference.safetensors", d, max_reference_deviation);
        passed = passed && d <= max_reference_deviation;
    }
    numbers["passed"] = passed;
    rows.add({"merged and rounded to " + storage, formatted("%.2e", r.storage_deviation), "-", ""});
    options.output.prepare(numbers).commit();
    if (!options.output.owns_stdout()) {
        std::cout << "plan " << options.plan << ", seed " << options.seed << ", condition "
                  << formatted("%.3g", r.condition) << '\n';
        rows.print();
    }
    for (auto const& remark : r.remarks) say(remark);
    return passed ? done : check_failed;
}

}  // namespace

void add_check(CLI::App& app, chosen_command& chosen) {
    auto const options = std::make_shared<check_options>();
    CLI::App* const command =
        app.add_subcommand("check", "merge random transforms, and compare logits before and after");
    command->footer(
        "Transforms are merged in float64. Logits may move by 1e-11 of the largest one in float64, and by "
        "1e-3 with the\n"
        "merged weights rounded to float32 once; what rounding to the checkpoint's own type does is reported "
        "apart. Logits\n"
        "in reference.safetensors beside the model, if there are any, must agree to 1e-4. Exit code 1 beyond "
        "a bound.\n\n"
        "  commutant check FOLDER --plan fptquant --seed 7");
    command->add_option("MODEL", options->model, "Hugging Face folder or llama2.c .bin");
    command
        ->add_option(
            "--plan", options->plan,
            "fptquant (all six transforms), hadamard, or one site alone: query_key, value_output, up_down,\n"
            "residual_stream, down_input, token_scale")
        ->check(CLI::IsMember(plan_names()))
        ->capture_default_str();
    command->add_option(
        "--text,--tokens", options->text,
        "text, or token file *.safetensors, to compute logits on; default: 128 random tokens");
    command->add_option("--windows", options->max_windows, "windows of it to use")->capture_default_str();
    command->add_option("--seed", options->seed, "of the random transforms and tokens")
        ->capture_default_str();
    command
        ->add_option("--max-condition", options->max_condition,
                     "refuse transforms with a larger condition number")
        ->capture_default_str();
    options->windows.add_to(*command);
    options->output.add_to(*command);
    command->callback([options, &chosen] { chosen = [options] { return run_check(*options); }; });
}

}  // namespace program
