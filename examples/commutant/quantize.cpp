// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// commutant quantize: the whole pipeline. Transforms are found and merged, everything is quantised, and a table says what
// each step did to the likelihood of a text.

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iostream>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include <commutant/io/atomic_directory.hpp>
#include <commutant/merge/rope_pairing.hpp>
#include <commutant/recipes/merged_folder.hpp>
#include <commutant/recipes/quantized_folder.hpp>

#include "command.hpp"
#include "input.hpp"
#include "output.hpp"
#include "plans.hpp"
#include "runs.hpp"
#include "training.hpp"

namespace program {
namespace {

struct quantize_options {
    std::string model{};
    std::string recipe = "hadamard";
    std::string bits = "4-4-4";
    std::string coverage = "linears_kv";
    bool is_static = false;  ///< the default: read for the sake of contradicting --dynamic
    bool dynamic = false;
    bool symmetric = false;
    std::string range = "lp";
    int p = 3;
    std::size_t group_size = 0;
    std::string calibration{};
    std::size_t max_calibration_windows = 16;
    std::string evaluation{};
    std::size_t max_windows = 0;
    std::string out{};
    std::string dtype{};
    std::size_t seed = 1;
    double max_condition = cm::condition_limits{}.refuse;
    window_options windows{};
    training_options training{};
    json_output output{};

    [[nodiscard]] bool trains() const { return is_trained_recipe(recipe); }
    [[nodiscard]] cm::quantization_settings settings() const {
        cm::quantization_settings s = cm::with_bits({}, cm::parse_bit_widths(bits));
        s.covers = cm::parse_coverage(coverage);
        cm::range_options r;
        r.method = range == "lp" ? cm::range_method::lp_norm : cm::range_method::min_max;
        r.p = p;
        s.weights.range = s.activations.range = s.kv_cache.range = r;
        s.activations.timing = s.kv_cache.timing =
            dynamic ? cm::grid_timing::dynamic_grid : cm::grid_timing::static_grid;
        s.activations.symmetric = s.kv_cache.symmetric = symmetric;
        if (group_size != 0) {
            s.weights.scope = cm::granularity::per_group;
            s.weights.group_size = group_size;
        }
        return s;
    }

    [[nodiscard]] std::optional<cm::io::dtype> store_as() const {
        if (dtype == "float32") return cm::io::dtype::f32;
        if (dtype == "float16") return cm::io::dtype::f16;
        if (dtype == "bfloat16") return cm::io::dtype::bf16;
        return std::nullopt;
    }
};

/// Everything that a run works on.
struct job {
    quantize_options const& options;
    cm::quantization_settings settings;
    cm::io::checkpoint const& source;
    cm::token_sequences calibration;    ///< for ranges
    cm::token_sequences training_text;  ///< for recipes that train; the calibration windows are its first
    cm::token_sequences evaluation;
    std::vector<fs::path> copied_files;  ///< into both folders
    std::optional<cm::io::atomic_directory> out;
};

/// NLL per token after each step.
struct steps {
    double original = 0, merged = 0, rtn = 0, quantized = 0;
    std::vector<std::pair<std::string, double>> stages{};  ///< of training, but for the last
    json training{};
    std::optional<double> stored{};  ///< of what the merged folder holds
    double condition = 1;
    cm::io::storage_report storage{};
    std::vector<std::string> remarks{};
};

template <class Model> double nll(char const* label, Model const& model, job const& j) {
    return labelled_likelihood(label, model, j.evaluation).per_token();
}

void make_folder(fs::path const& path) {
    std::error_code error;
    if (!fs::create_directory(path, error))
        throw cm::io::output_error(path.string(), "cannot be created: " + error.message());
}

void copy_files(job const& j, fs::path const& folder) {
    for (auto const& file : j.copied_files) {
        auto const from = cm::io::mapped_file::open(file);
        cm::io::atomic_file to(folder / file.filename());
        to.append(from.bytes());
        to.commit();
    }
}

/// A model after one of the earlier stages of training, quantised.
double stage_nll(trained_model const& stage, cm::decoder<float64> model, cm::condition_limits const& limits,
                 job const& j) {
    stage.plan.merge_offline(model, limits);
    stage.plan.merge_online(model, limits);
    return nll(("after the stage " + stage.stage).c_str(),
               cm::quantize_decoder_on(cm::converted<float32>(model), stage.grids, j.settings), j);
}

/// Merges and quantises by a recipe; writes both folders if asked to.
steps run_recipe(job& j) {
    quantize_options const& options = j.options;
    steps r;
    cm::decoder<float64> model = cm::load_decoder<float64>(j.source);
    cm::change_pairing_in_place(model, cm::pairing::half_split);
    cm::decoder<float32> original = cm::converted<float32>(model);
    r.original = nll("float", original, j);
    auto result = labelled_quantized("calibrating rtn", original, j.calibration, j.settings);
    r.rtn = nll("rtn", result, j);

    cm::condition_limits const limits{cm::condition_limits{}.warn, options.max_condition};
    prepared_plan plan;
    std::optional<cm::decoder_grids> grids;
    if (options.trains()) {
        auto found = trained(options.recipe, options.training, original, std::move(j.training_text),
                             options.max_calibration_windows, j.settings, options.seed);
        for (std::size_t i = 0; i + 1 < found.stages.size(); ++i)
            r.stages.emplace_back(found.stages[i].stage, stage_nll(found.stages[i], model, limits, j));
        plan = std::move(found.stages.back().plan);
        grids = std::move(found.stages.back().grids);
        r.training = std::move(found.numbers);
    } else {
        plan = prepare_plan(options.recipe, model.config, options.seed);
    }
    original = {};

    // What merges is merged first: that much is a plain checkpoint. What stays online comes on top of it.
    auto const report = plan.merge_offline(model, limits);
    r.condition = report.condition;
    r.remarks = plan.notes;
    r.remarks.insert(r.remarks.end(), report.warnings.begin(), report.warnings.end());
    std::string const config_text = cm::merged_config_text(model.config, j.source, options.store_as());
    if (j.out) {
        fs::path const folder = j.out->path() / "merged";
        make_folder(folder);
        r.storage = cm::write_merged_folder(folder, model, j.source, options.store_as());
        copy_files(j, folder);
        r.stored =
            nll("merged, as stored",
                cm::converted<float32>(cm::rounded_to_storage(model, j.source, options.store_as())), j);
    }
    plan.merge_online(model, limits);
    r.merged = r.original;
    r.quantized = r.rtn;
    if (!plan.changes_nothing) {
        auto merged = cm::converted<float32>(model);
        model = {};
        r.merged = nll("merged", merged, j);
        result = grids ? cm::quantize_decoder_on(std::move(merged), std::move(*grids), j.settings)
                       : labelled_quantized("calibrating", std::move(merged), j.calibration, j.settings);
        r.quantized = nll("quantized", result, j);
    }
    if (j.out) {
        fs::path const folder = j.out->path() / "quantized";
        make_folder(folder);
        cm::write_quantized_folder(folder, result, config_text);
        copy_files(j, folder);
    }
    return r;
}

/// Training must not have seen what it is judged by.
void require_texts_apart(cm::token_sequences const& training, cm::token_sequences const& evaluation) {
    std::set<std::vector<int>> const seen(training.begin(), training.end());
    auto const n = std::count_if(evaluation.begin(), evaluation.end(),
                                 [&](auto const& window) { return seen.count(window) != 0; });
    if (n != 0)
        throw usage_error("quantize: " + std::to_string(n) + " of the " + std::to_string(evaluation.size()) +
                          " windows of --eval are in --calib too, expected texts apart: the recipe trains on "
                          "the latter");
}

std::size_t peak_rss_bytes() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return static_cast<std::size_t>(usage.ru_maxrss) * 1024;  // kilobytes on Linux
}

int run_quantize(quantize_options options) {
    auto const begin = std::chrono::steady_clock::now();
    cm::quantization_settings const settings = options.settings();
    validate(settings);
    if (options.model.empty()) {
        fs::path const data = bundled_data();
        if (options.calibration.empty()) options.calibration = (data / "calib.txt").string();
        if (options.evaluation.empty()) options.evaluation = (data / "eval.txt").string();
    }
    if (options.evaluation.empty())
        throw usage_error("quantize: give --eval FILE, the text that the table is about");
    bool const wants_calibration = settings.bits().activations != 16 || settings.bits().kv_cache != 16;
    if (options.calibration.empty() && wants_calibration && !options.dynamic)
        throw usage_error(
            "quantize: give --calib FILE, the text that static ranges are set on, or --dynamic");
    if (options.trains() && options.calibration.empty())
        throw usage_error("quantize: give --calib FILE, the text that --recipe " + options.recipe +
                          " trains on");
    if (auto const given = options.training.given(); !options.trains() && !given.empty())
        throw usage_error("quantize: " + given.front() + " was given with --recipe " + options.recipe +
                          ", which does not train");
    options.output.require_writable();
    fs::path const path = model_path(options.model);
    auto const source = cm::io::checkpoint::open(path);
    window_reader reader(source.config(), source.directory(), options.windows);
    job j{options, settings, source, {}, {}, {}, cm::side_files(source), std::nullopt};
    if (!options.calibration.empty()) {
        auto windows =
            reader.read(options.calibration,
                        options.trains() ? options.training.windows : options.max_calibration_windows, true);
        if (options.trains()) j.training_text = windows;
        windows.resize(std::min(windows.size(), options.max_calibration_windows));
        j.calibration = std::move(windows);
    }
    j.evaluation = reader.read(options.evaluation, options.max_windows, false);
    if (options.trains()) require_texts_apart(j.training_text, j.evaluation);
    if (!options.out.empty()) {
        j.out.emplace(options.out);
        auto const tokenizer = reader.tokenizer_path();
        auto& files = j.copied_files;
        if (tokenizer && std::find(files.begin(), files.end(), *tokenizer) == files.end())
            files.push_back(*tokenizer);
    }

    steps const r = run_recipe(j);
    double const won_back = (r.rtn - r.quantized) / (r.rtn - r.original);
    double const seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    json numbers{
        {"model", path.string()},
        {"recipe", options.recipe},
        {"seed", options.seed},
        {"bits", to_string(settings.bits())},
        {"coverage", to_string(settings.covers)},
        {"timing", to_string(settings.activations.timing)},
        {"symmetric", options.symmetric},
        {"range", options.range},
        {"p", options.p},
        {"group_size", options.group_size},
        {"calibration", {{"file", options.calibration}, {"windows", j.calibration.size()}}},
        {"evaluation",
         {{"file", options.evaluation},
          {"windows", j.evaluation.size()},
          {"tokens", cm::n_predictions(j.evaluation)}}},
        {"nll", {{"float", r.original}, {"merged", r.merged}, {"rtn", r.rtn}, {"quantized", r.quantized}}},
        {"perplexity",
         {{"float", std::exp(r.original)},
          {"merged", std::exp(r.merged)},
          {"rtn", std::exp(r.rtn)},
          {"quantized", std::exp(r.quantized)}}},
        {"won_back", won_back},
        {"condition", r.condition},
        {"remarks", r.remarks}};
    for (auto const& [stage, x] : r.stages) {
        numbers["nll"][stage] = x;
        numbers["perplexity"][stage] = std::exp(x);
    }
    if (!r.training.is_null()) numbers["training"] = r.training;
    if (r.stored) {
        numbers["nll"]["stored"] = *r.stored;
        numbers["storage"] = {{"values", r.storage.values}, {"subnormal", r.storage.subnormal}};
        numbers["out"] = options.out;
    }
    numbers["seconds"] = seconds;
    numbers["peak_rss_bytes"] = peak_rss_bytes();

    auto pending = options.output.prepare(numbers);
    if (j.out) j.out->commit();
    pending.commit();
    for (auto const& remark : r.remarks) say(remark);
    if (!options.output.owns_stdout()) {
        std::cout << path.filename().string() << ", weights-activations-KV " << options.bits << ", "
                  << options.coverage << ", " << (options.dynamic ? "dynamic" : "static") << ", "
                  << (options.range == "lp" ? "L" + std::to_string(options.p) + " ranges" : "min-max ranges")
                  << ", " << cm::n_predictions(j.evaluation) << " tokens\n";
        table rows({"", "NLL", "perplexity", "rtn's loss won back"});
        auto const add = [&](std::string const& name, double x, std::string const& share) {
            rows.add({name, formatted("%.4f", x), formatted("%.3f", std::exp(x)), share});
        };
        add("float", r.original, "");
        add("merged by " + options.recipe, r.merged, "");
        if (r.stored) add("merged, as stored", *r.stored, "");
        add("rtn " + options.bits, r.rtn, "0 %");
        auto const share = [&](double x) {
            return formatted("%.1f %%", 100 * (r.rtn - x) / (r.rtn - r.original));
        };
        for (auto const& [stage, x] : r.stages)
            add(options.recipe + " " + options.bits + ", " + stage, x, share(x));
        if (options.recipe != "rtn")
            add(options.recipe + " " + options.bits, r.quantized, share(r.quantized));
        rows.print();
        std::cout << formatted("%.1f", seconds) << " s, peak memory "
                  << formatted("%.0f", static_cast<double>(peak_rss_bytes()) / 1e6) << " MB";
        if (!options.out.empty())
            std::cout << "; wrote " << options.out << "/merged and " << options.out << "/quantized";
        std::cout << '\n';
    }
    bool const finite = std::isfinite(r.original) && std::isfinite(r.merged) && std::isfinite(r.rtn) &&
                        std::isfinite(r.quantized);
    return finite ? done : check_failed;
}

}  // namespace

void add_quantize(CLI::App& app, chosen_command& chosen) {
    auto const options = std::make_shared<quantize_options>();
    auto names = recipe_names();
    names.insert(names.end(), trained_recipe_names().begin(), trained_recipe_names().end());
    CLI::App* const command = app.add_subcommand(
        "quantize", "transform, merge, quantise; a table of what each step cost; both models");
    command->footer(
        "--out writes DIR/merged, a plain Hugging Face folder with the same function, and DIR/quantized, "
        "integer codes and\n"
        "grids that `commutant eval` reads back and other programs refuse.\n\n"
        "  commutant quantize                              the bundled model and its texts\n"
        "  commutant quantize MODEL --bits 4-8-4 --calib a.txt --eval b.txt --out DIR");
    command->add_option("MODEL", options->model, "Hugging Face folder or llama2.c .bin");
    command
        ->add_option(
            "--recipe", options->recipe,
            "rtn: nothing is transformed. hadamard: randomised Hadamard matrices. random: random "
            "transforms at\n"
            "all six sites, to see that only quantisation costs anything. Trained: fptquant: all six "
            "transforms\n"
            "and all grids. spinquant: rotations and grids. grids: grids alone")
        ->check(CLI::IsMember(names))
        ->capture_default_str();
    command
        ->add_option("--bits", options->bits,
                     "weights-activations-KV cache, each 2 to 8, or 16 for floating point")
        ->capture_default_str();
    command
        ->add_option(
            "--coverage", options->coverage,
            "linears_kv: inputs of all linears and the KV cache. plus_bmm: also queries and attention\n"
            "probabilities. all_but_residual: every tensor but the residual stream")
        ->check(CLI::IsMember({"linears_kv", "plus_bmm", "all_but_residual"}))
        ->capture_default_str();
    auto* const static_flag = command->add_flag("--static", options->is_static,
                                                "one grid per tensor, set on the calibration text (default)");
    command->add_flag("--dynamic", options->dynamic, "one grid per token, from the token itself")
        ->excludes(static_flag);
    command->add_flag("--symmetric", options->symmetric, "symmetric grids for activations and KV cache");
    command
        ->add_option("--range", options->range,
                     "lp: the grid of least L_p error. minmax: the grid that clips nothing")
        ->check(CLI::IsMember({"lp", "minmax"}))
        ->capture_default_str();
    command->add_option("--p", options->p, "norm of --range lp")
        ->check(CLI::Range(1, 8))
        ->capture_default_str();
    command->add_option("--group-size", options->group_size,
                        "input features of a weight that share a scale; default: a whole row");
    command->add_option("--calib", options->calibration,
                        "text or token file (*.safetensors) that ranges are set on");
    command->add_option("--calib-windows", options->max_calibration_windows, "windows of it to use")
        ->check(CLI::Range(std::size_t{1}, std::size_t{1} << 24))
        ->capture_default_str();
    command->add_option("--eval", options->evaluation,
                        "text or token file (*.safetensors) that the table is about");
    command->add_option("--windows", options->max_windows, "windows of it to use; default: all");
    command->add_option("--out", options->out, "folder to write; it must not exist");
    command->add_option("--dtype", options->dtype, "storage type of DIR/merged; default: that of MODEL")
        ->check(CLI::IsMember({"float32", "float16", "bfloat16"}));
    command->add_option("--seed", options->seed, "of the recipe's random signs and transforms")
        ->capture_default_str();
    command
        ->add_option("--max-condition", options->max_condition,
                     "refuse transforms with a larger condition number")
        ->capture_default_str();
    options->training.add_to(*command);
    options->windows.add_to(*command);
    options->output.add_to(*command);
    command->callback([options, &chosen] { chosen = [options] { return run_quantize(*options); }; });
}

}  // namespace program
