// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "method.hpp"

#include <algorithm>

#include <CLI/CLI.hpp>

#include "command.hpp"
#include "input.hpp"
#include "plans.hpp"

namespace program {
namespace {

constexpr char const* training_group = "Recipes that train";

}  // namespace

void method_options::add_to(CLI::App& command) {
    auto names = recipe_names();
    names.insert(names.end(), trained_recipe_names().begin(), trained_recipe_names().end());
    command
        .add_option("--recipe", recipe,
                    "rtn: nothing is transformed. hadamard: randomised Hadamard matrices. random: random "
                    "transforms at\n"
                    "all six sites, to see that only quantisation costs anything. Trained: fptquant: all six "
                    "transforms\n"
                    "and all grids. spinquant: rotations and grids. grids: grids alone")
        ->check(CLI::IsMember(names))
        ->capture_default_str();
    command.add_option("--bits", bits, "weights-activations-KV cache, each 2 to 8, or 16 for floating point")
        ->capture_default_str();
    command.add_option("--seed", seed, "of the recipe's random signs and transforms")->capture_default_str();
    add_common_to(command);
}

void method_options::add_common_to(CLI::App& command) {
    command
        .add_option(
            "--coverage", coverage,
            "linears_kv: inputs of all linears and the KV cache. plus_bmm: also queries and attention\n"
            "probabilities. all_but_residual: every tensor but the residual stream")
        ->check(CLI::IsMember({"linears_kv", "plus_bmm", "all_but_residual"}))
        ->capture_default_str();
    auto* const static_flag =
        command.add_flag("--static", is_static, "one grid per tensor, set on the calibration text (default)");
    command.add_flag("--dynamic", dynamic, "one grid per token, from the token itself")
        ->excludes(static_flag);
    command.add_flag("--symmetric", symmetric, "symmetric grids for activations and KV cache");
    command
        .add_option("--range", range, "lp: the grid of least L_p error. minmax: the grid that clips nothing")
        ->check(CLI::IsMember({"lp", "minmax"}))
        ->capture_default_str();
    command.add_option("--p", p, "norm of --range lp")->check(CLI::Range(1, 8))->capture_default_str();
    command.add_option("--group-size", group_size,
                       "input features of a weight that share a scale; default: a whole row");
    command.add_option("--calib", calibration, "text or token file (*.safetensors) that ranges are set on");
    command.add_option("--calib-windows", max_calibration_windows, "windows of it to use")
        ->check(CLI::Range(std::size_t{1}, std::size_t{1} << 24))
        ->capture_default_str();
    command.add_option("--eval", evaluation, "text or token file (*.safetensors) that the table is about");
    command.add_option("--windows", max_windows, "windows of it to use; default: all");
    command.add_option("--max-condition", max_condition, "refuse transforms with a larger condition number")
        ->capture_default_str();
    command.add_option("--quantize-only", quantize_only,
                       "weights, or one activation such as down_input: everything else stays float, so\n"
                       "that the loss is that of one quantiser");
    training.add_to(command);
    command
        .add_flag_callback(
            "--training-likelihood",
            [this] {
                training_likelihood = true;
                training.given.emplace_back("--training-likelihood");
            },
            "also measure the loss on the windows that were trained on and on those held out")
        ->group(training_group);
}

void method_options::use_bundled_texts() {
    fs::path const data = bundled_data();
    if (calibration.empty()) calibration = (data / "calib.txt").string();
    if (evaluation.empty()) evaluation = (data / "eval.txt").string();
}

void method_options::require_complete() const {
    auto const s = settings();
    validate(s);
    if (evaluation.empty()) throw usage_error("quantize: give --eval FILE, the text that the table is about");
    bool const wants_calibration = s.bits().activations != 16 || s.bits().kv_cache != 16;
    if (calibration.empty() && wants_calibration && !dynamic)
        throw usage_error(
            "quantize: give --calib FILE, the text that static ranges are set on, or --dynamic");
    if (trains() && calibration.empty())
        throw usage_error("quantize: give --calib FILE, the text that --recipe " + recipe + " trains on");
    for (auto const& option : training.given)
        if (!trains() && option != "--threads" && (option != "--transforms" || recipe != "hadamard"))
            throw usage_error("quantize: " + option + " was given with --recipe " + recipe +
                              ", which does not train");
    if (quantize_only.empty()) return;
    if (dynamic)
        throw usage_error("quantize: --quantize-only was given with --dynamic, it needs static grids");
    auto const names = quantizers();
    if (std::find(names.begin(), names.end(), quantize_only) == names.end())
        throw usage_error("quantize: --quantize-only is '" + quantize_only +
                          "', expected weights or an activation that is quantised, such as " + names.back());
}

cm::quantization_settings method_options::settings() const {
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

std::vector<std::string> method_options::quantizers() const {
    auto const s = settings();
    std::vector<std::string> names;
    if (s.weights.num_bits != 16) names.emplace_back("weights");
    for (std::size_t i = 0; i < cm::n_locations; ++i)
        if (auto const where = static_cast<cm::location>(i); cm::is_quantized(s, where))
            names.emplace_back(to_string(where));
    return names;
}

std::string method_options::range_words() const {
    return range == "lp" ? "L" + std::to_string(p) + " ranges" : "min-max ranges";
}

namespace {

option_values without_what_only_training_reads(option_values options) {
    auto const* const recipe = options.find("--recipe");
    std::string const name = recipe == nullptr ? method_options{}.recipe : *recipe;
    if (is_trained_recipe(name)) return options;
    CLI::App command;
    method_options m;
    m.add_to(command);
    for (auto const* option : command.get_options())
        if (option->get_group() == training_group &&
            (option->get_name() != "--transforms" || name != "hadamard"))
            options.erase(option->get_name());
    return options;
}

}  // namespace

method_options parsed_method(option_values const& options) {
    method_options m;
    m.given = options;
    CLI::App command;
    m.add_to(command);
    auto words = options.words();
    std::reverse(words.begin(), words.end());  // the order that the parser takes them in
    try {
        command.parse(words);
    } catch (CLI::ParseError const& error) {
        throw usage_error(error.what());
    }
    return m;
}

method_options parsed_variation(option_values const& options) {
    auto m = parsed_method(without_what_only_training_reads(options));
    // Evaluation has threads as well, on which no number depends.
    if (auto const* const threads = options.find("--threads")) m.training.threads = std::stoul(*threads);
    return m;
}

}  // namespace program
