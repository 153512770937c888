// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// commutant study: many runs of quantize, each kept as it is finished, and the tables that they make.

#include <algorithm>
#include <iostream>
#include <limits>
#include <memory>
#include <optional>
#include <regex>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include <commutant/recipes/fingerprints.hpp>

#include "../command.hpp"
#include "../pipeline.hpp"
#include "../report/output.hpp"
#include "results.hpp"
#include "study.hpp"
#include "summary.hpp"

namespace program {
namespace {

struct study_options {
    std::string name{};
    std::string model{};
    study_request request{{}, {"1", "2", "3"}, {}, {}, {}};
    std::string only{};
    std::string part{};
    std::vector<std::string> joined{};
    std::string results{};
    std::string page{};
    report_output report{};
    bool lists = false;
    method_options common{};  ///< read for its help and its checks; what was given is in the next
    option_values given{};
    window_options windows{};
    option_values given_windows{};
};

named_study const& study_of(std::string const& name) {
    for (auto const& s : studies())
        if (s.name == name) return s;
    throw usage_error("study: " + name + " is no study");
}

/// "2/3": every third run from the second on.
struct part_of_study {
    std::size_t index = 0, n = 1;

    explicit part_of_study(std::string const& text) {
        if (text.empty()) return;
        std::smatch numbers;
        if (std::regex_match(text, numbers, std::regex("([1-9][0-9]{0,3})/([1-9][0-9]{0,3})"))) {
            index = std::stoul(numbers[1]) - 1;
            n = std::stoul(numbers[2]);
        }
        if (index >= n || numbers.empty())
            throw usage_error("study: --part is '" + text +
                              "', expected I/N such as 2/3, the second of three parts");
    }
    [[nodiscard]] bool has(std::size_t i) const { return i % n == index; }
};

/// A run of the study as quantize would be asked for it.
struct planned_run {
    study_row row{};
    method_options method{};
    std::string command{};
    std::string key{};
};

std::vector<planned_run> planned_runs(study_options const& o, shared_inputs& inputs) {
    std::regex only;
    try {
        only = std::regex(o.only);
    } catch (std::regex_error const&) {
        throw usage_error("study: --only is '" + o.only + "', expected a regular expression");
    }
    bool const trains = o.given.find("--steps") == nullptr || *o.given.find("--steps") != "0";
    std::vector<planned_run> list;
    for (auto& row : study_of(o.name).rows(o.request)) {
        if (row.is_end_to_end && !trains) continue;
        if (!std::regex_search(row.group + ", " + row.label, only)) continue;
        planned_run run;
        run.method = parsed_variation(overridden(o.given, row.options));
        if (o.model.empty()) run.method.use_bundled_texts();
        run.method.require_complete();
        std::vector<std::string> words{"commutant", "quantize"};
        if (!o.model.empty()) words.push_back(o.model);
        for (auto const& more : {run.method.given.words(), o.given_windows.words()})
            words.insert(words.end(), more.begin(), more.end());
        run.command = command_line(words);
        auto const texts = inputs.texts(run.method);
        // A text that is shorter than the windows asked of it stands in a row for fewer.
        if (row.options.find("--calib-windows") != nullptr &&
            texts.ranges.size() < run.method.max_calibration_windows)
            continue;
        require_texts_apart(texts.ranges, *texts.evaluation);
        run.key = run_key(overridden(run.method.given, o.given_windows), texts);
        run.row = std::move(row);
        list.push_back(std::move(run));
    }
    if (list.empty())
        throw usage_error("study: no run of " + o.name + " is left to do under --only and --steps");
    return list;
}

/// Where the state of a run's training is kept until the run is finished.
fs::path checkpoint_of(planned_run const& run, fs::path const& results) {
    return results.string() + "." + cm::fingerprint(run.key) + ".safetensors";
}

/// Least divergence of held-out text that a trained run saw in its first steps; nothing if it does not know all of them.
std::optional<double> best_held_out(json const* numbers, std::size_t n_steps) {
    if (numbers == nullptr) return std::nullopt;
    auto const& training = numbers->at("training");
    auto const& curve = training.at("curve");
    if (curve.size() < n_steps) return std::nullopt;
    double best = std::numeric_limits<double>::infinity();
    auto const look = [&best](json const& x) {
        if (x.is_number()) best = std::min(best, x.get<double>());  // null: not a number
    };
    look(training.at("held_out").at("local"));
    for (std::size_t i = 0; i < n_steps; ++i) {
        if (curve[i].at("step") != i + 1) return std::nullopt;
        if (curve[i].contains("held_out")) look(curve[i]["held_out"]);
    }
    return best;
}

/// Numbers of a run with --token-scale auto from finished runs with and without S_n. Its trials are their first steps, and after
/// the choice it goes on as one of them, to the same bytes: nothing has to be trained again.
std::optional<json> chosen_from(planned_run const& run, study_results const& results) {
    auto const* const choice = run.method.given.find("--token-scale");
    if (choice == nullptr || *choice != "auto") return std::nullopt;
    auto const with_choice = [&](std::string const& other) {
        std::string const from = " --token-scale auto";
        std::string key = run.key;
        return results.find(key.replace(key.find(from), from.size(), " --token-scale " + other));
    };
    std::size_t const n_steps = trial_steps(run.method.recipe, run.method.training);
    json const *const off = with_choice("off"), *const on = with_choice("on");
    auto const without = best_held_out(off, n_steps), with = best_held_out(on, n_steps);
    if (!without || !with) return std::nullopt;
    json numbers = *with < *without ? *on : *off;
    numbers["remarks"].push_back(
        token_scale_remark(n_steps, *with, *without) +
        "; numbers are those of the run with that choice, seconds without the trials");
    return numbers;
}

/// Runs what is missing; false if it was interrupted.
bool complete(std::vector<planned_run>& runs, part_of_study const& part, pipeline& engine,
              fs::path const& model, study_results& results, fs::path const& file) {
    std::size_t n_left = 0;
    for (std::size_t i = 0; i < runs.size(); ++i)
        n_left += part.has(i) && results.find(runs[i].key) == nullptr ? 1 : 0;
    std::size_t done = 0;
    for (std::size_t i = 0; i < runs.size(); ++i) {
        planned_run& run = runs[i];
        if (!part.has(i) || results.find(run.key) != nullptr) continue;
        auto const* const seed = run.row.options.find("--seed");
        say("[" + std::to_string(++done) + "/" + std::to_string(n_left) + "] " + run.row.group + ", " +
            run.row.label + (seed == nullptr ? "" : ", seed " + *seed));
        fs::path const checkpoint = checkpoint_of(run, file);
        std::error_code ignored;
        if (auto const numbers = chosen_from(run, results)) {
            results.add(run.key, run.command, *numbers);
            results.save();
            fs::remove(checkpoint, ignored);
            say("    NLL " + formatted("%.4f", numbers->at("nll").at("quantized").get<double>()) + ", " +
                numbers->at("remarks").back().get<std::string>());
            continue;
        }
        run.method.training.checkpoint = run.method.trains() ? checkpoint.string() : "";
        stage_log stages;
        auto const outcome = engine.run(run.method, stages);
        if (outcome.interrupted) return false;
        results.add(run.key, run.command, numbers_of(model, run.method, outcome, stages));
        results.save();
        fs::remove(checkpoint, ignored);
        say("    NLL " + formatted("%.4f", outcome.quantized) + ", " + formatted("%.1f s", stages.seconds()));
    }
    return true;
}

int run_study(study_options const& o) {
    part_of_study const part(o.part);
    if (o.given.find("--checkpoint") != nullptr)
        throw usage_error("study: --checkpoint is for one run, a study keeps checkpoints beside --results");
    shared_inputs inputs(model_path(o.model), o.windows);
    pipeline engine(inputs, pipeline::keeping::last_model);
    auto runs = planned_runs(o, inputs);
    if (o.lists) {
        for (auto const& run : runs) std::cout << run.command << '\n';
        return done;
    }
    if (o.results.empty()) throw usage_error("study: give --results FILE, where finished runs are kept");
    std::string const model = inputs.path().filename().stem().string(),
                      place = "study:" + o.name + ":" + model;
    if (!o.page.empty()) static_cast<void>(page_with(o.page, place, ""));
    study_results results(o.results, o.name, cm::fingerprint(inputs.original()));
    results.require_writable();
    o.report.require_writable();
    for (auto const& file : o.joined) results.join(file);
    if (!o.joined.empty()) results.save();
    bool const finished =
        !o.joined.empty() || complete(runs, part, engine, inputs.path(), results, o.results);

    std::vector<study_line> lines;
    std::size_t n_missing = 0;
    for (auto const& run : runs) {
        lines.push_back({run.row, run.command, results.find(run.key)});
        n_missing += lines.back().numbers == nullptr ? 1 : 0;
    }
    json const summary = summary_of(study_of(o.name), model, lines);
    std::string const tables = summary_markdown(summary);
    if (!o.page.empty())
        cm::io::write_text(o.page, page_with(o.page, place, tables), cm::io::existing::replace);
    if (auto page = o.report.prepare({{"study", summary}})) page->commit();
    std::cout << tables;
    if (n_missing != 0)
        say(std::to_string(n_missing) + " of " + std::to_string(runs.size()) + " runs are missing" +
            (finished ? "" : ": interrupted; the same command goes on"));
    return finished ? done : check_failed;
}

}  // namespace

void add_study(CLI::App& app, chosen_command& chosen) {
    auto const options = std::make_shared<study_options>();
    CLI::App* const command =
        app.add_subcommand("study", "many runs of quantize that answer a question; each is kept as it ends");
    std::string footer = "Studies:\n";
    std::vector<std::string> names;
    for (auto const& s : studies()) {
        names.push_back(s.name);
        footer += "  " + s.name + std::string(14 - s.name.size(), ' ') + s.question + "\n";
    }
    command->footer(
        footer +
        "\nAll options of quantize that a study does not vary are taken and handed to each run.\n\n"
        "  commutant study table --results table.json --steps 50");
    command->add_option("NAME", options->name, "the study; see below")
        ->required()
        ->check(CLI::IsMember(names));
    command->add_option("MODEL", options->model, "Hugging Face folder or llama2.c .bin");
    command->add_option("--results", options->results,
                        "file of finished runs, written after each; runs that are in it are not done again");
    command->add_option("--bits", options->request.bits, "widths to vary over; default: the study's")
        ->delimiter(',');
    command
        ->add_option("--seeds", options->request.seeds,
                     "of what is random; a table has their median and their spread")
        ->delimiter(',')
        ->capture_default_str();
    command
        ->add_option("--shifted", options->request.shifted,
                     "calibration texts unlike the usual one, for the study calibration")
        ->expected(1, 1000);
    command
        ->add_option("--recipe", options->request.recipe,
                     "what ablation and quantizers take apart; default: their own choice")
        ->check(CLI::IsMember(std::vector<std::string>{"rtn", "hadamard", "fptquant", "spinquant", "grids"}));
    command->add_option("--only", options->only,
                        "do only runs whose \"group, label\" in the tables this regular expression finds");
    command->add_option("--part", options->part,
                        "I/N: do every Nth run from the Ith on, for N processes with a file each");
    command->add_option("--join", options->joined, "run nothing; take in what these files hold")
        ->expected(1, 1000);
    command->add_option("--page", options->page,
                        "also put the tables into this page, between <!-- study:NAME:MODEL:begin --> and\n"
                        "<!-- study:NAME:MODEL:end -->");
    command->add_flag("--list", options->lists, "print the runs as commands, and do nothing");
    options->common.add_common_to(*command);
    options->windows.add_to(*command);
    options->report.add_to(*command);
    command->callback([command, options, &chosen] {
        options->given = given_options(*command, names_added_by(&method_options::add_common_to));
        options->given_windows = given_options(*command, names_added_by(&window_options::add_to));
        options->request.coverage = options->common.coverage;
        chosen = [options] { return run_study(*options); };
    });
}

}  // namespace program
