// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// commutant eval: how well a model predicts a text.

#include <chrono>
#include <cmath>
#include <iostream>
#include <memory>

#include <commutant/model/named_tensors.hpp>
#include <commutant/recipes/quantized_folder.hpp>

#include "command.hpp"
#include "engine.hpp"
#include "input.hpp"
#include "output.hpp"
#include "reference_logits.hpp"
#include "runs.hpp"

namespace program {
namespace {

struct eval_options {
    std::string model{};
    std::string text{};
    std::string tokens{};
    std::string dtype = "float32";
    std::size_t max_windows = 0;
    bool reference = false;
    window_options windows{};
    engine_options engine{};
    json_output output{};
};

/// What one run found.
struct eval_result {
    cm::likelihood likelihood{};
    std::optional<double> reference_deviation{};
};

/// What is evaluated: a float checkpoint, or a folder of quantised codes.
struct eval_model {
    fs::path path;
    std::optional<cm::io::checkpoint> source{};  ///< nothing for a quantised folder
    cm::model_config config{};
    fs::path directory{};

    explicit eval_model(fs::path named) : path(std::move(named)) {
        if (cm::is_quantized_folder(path)) {
            config = cm::read_quantized_config(path).model;
            directory = path;
        } else {
            source.emplace(cm::io::checkpoint::open(path));
            config = source->config();
            directory = source->directory();
        }
    }
};

template <class M>
eval_result evaluate(eval_model const& subject, cm::token_sequences const& windows,
                     std::optional<reference_logits> const& reference, std::size_t n_threads) {
    eval_result r;
    if (!subject.source) {
        r.likelihood =
            labelled_likelihood("eval", cm::read_quantized_folder<M>(subject.path), windows, n_threads);
        return r;
    }
    auto const model = cm::load_decoder<M>(*subject.source);
    if (reference)
        r.reference_deviation =
            relative_deviation(window_logits(model, reference->tokens), reference->logits);
    if (!windows.empty()) r.likelihood = labelled_likelihood("eval", model, windows, n_threads);
    return r;
}

int run_eval(eval_options& options) {
    auto const begin = std::chrono::steady_clock::now();
    if (options.text.empty() == options.tokens.empty() && !(options.reference && options.text.empty()))
        throw usage_error("eval: give --text FILE or --tokens FILE.safetensors");
    options.output.require_writable();
    fs::path const path = model_path(options.model);
    eval_model const subject(path);
    options.engine.require_fits(path, !subject.source);
    if (options.engine.is_int4()) {
        if (options.dtype == "float64")
            throw usage_error(
                "eval: --dtype float64 was given with --engine int4, which computes in integers");
        cm::require_int4(cm::read_quantized_config(path).settings);
    }
    auto const& config = subject.config;
    std::optional<reference_logits> reference;
    if (options.reference) {
        if (subject.source) reference = read_reference(subject.directory, config.vocab_size);
        if (!reference)
            throw usage_error("eval: --reference was given and " + subject.directory.string() +
                              " holds no reference.safetensors");
    }
    window_reader reader(config, subject.directory, options.windows);
    cm::token_sequences windows;
    std::string const& input = options.text.empty() ? options.tokens : options.text;
    if (!input.empty()) windows = reader.read(input, options.max_windows, false);

    bool const wide = options.dtype == "float64";
    eval_result r;
    if (options.engine.is_int4())
        r.likelihood = labelled_likelihood(
            "eval", cm::to_int4(cm::read_quantized_folder<float32>(path), options.engine.threads()), windows);
    else
        r = wide ? evaluate<float64>(subject, windows, reference, options.engine.n_threads())
                 : evaluate<float32>(subject, windows, reference, options.engine.n_threads());

    double const seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    json numbers{{"model", path.string()}, {"dtype", options.dtype}};
    if (!subject.source) numbers["engine"] = options.engine.name();
    int code = done;
    table rows({"quantity", "value"});
    if (!windows.empty()) {
        double const nll = r.likelihood.per_token();
        numbers["text"] = input;
        numbers["protocol"] = options.text.empty() ? "tokens" : options.windows.protocol;
        numbers["windows"] = windows.size();
        numbers["tokens"] = r.likelihood.tokens;
        numbers["nll_per_token"] = nll;
        numbers["perplexity"] = std::exp(nll);
        rows.add({"windows", std::to_string(windows.size())});
        rows.add({"tokens predicted", std::to_string(r.likelihood.tokens)});
        rows.add({"NLL per token", formatted("%.5f", nll)});
        rows.add({"perplexity", formatted("%.4f", std::exp(nll))});
        if (!std::isfinite(nll)) code = check_failed;
    }
    if (r.reference_deviation) {
        bool const passed = *r.reference_deviation <= max_reference_deviation;
        numbers["reference_logit_deviation"] = *r.reference_deviation;
        rows.add({"deviation from reference.safetensors",
                  formatted("%.2e", *r.reference_deviation) +
                      (passed ? " (at most 1e-04: passed)" : " (expected at most 1e-04: FAILED)")});
        if (!passed) code = check_failed;
    }
    numbers["seconds"] = seconds;
    rows.add({"seconds", formatted("%.2f", seconds)});
    options.output.prepare(numbers).commit();
    if (!options.output.owns_stdout()) rows.print();
    return code;
}

}  // namespace

void add_eval(CLI::App& app, chosen_command& chosen) {
    auto const options = std::make_shared<eval_options>();
    CLI::App* const command =
        app.add_subcommand("eval", "negative log-likelihood per token and perplexity of a text");
    command->footer(
        "NLL is in natural logarithm, averaged over all predicted tokens.\n\n"
        "  commutant eval model.bin --text stories.txt --protocol reference\n"
        "  commutant eval FOLDER --tokens tokens_eval.safetensors --windows 64");
    command->add_option("MODEL", options->model,
                        "Hugging Face folder, llama2.c .bin, or a folder of quantize --out");
    auto* const text =
        command->add_option("--text", options->text, "UTF-8 text; a line <|endoftext|> parts documents");
    command
        ->add_option("--tokens", options->tokens,
                     "token file: safetensors with integers `tokens` [windows, length], BOS first in each")
        ->excludes(text);
    command->add_option("--windows", options->max_windows, "evaluate this many windows only; default: all");
    command->add_option("--dtype", options->dtype, "arithmetic of the run")
        ->check(CLI::IsMember({"float32", "float64"}))
        ->capture_default_str();
    command->add_flag("--reference", options->reference,
                      "also compare logits with reference.safetensors beside the model; exit 1 beyond 1e-4");
    options->engine.add_to(*command);
    options->windows.add_to(*command);
    options->output.add_to(*command);
    command->callback([options, &chosen] { chosen = [options] { return run_eval(*options); }; });
}

}  // namespace program
