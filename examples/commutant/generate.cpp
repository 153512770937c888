// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// commutant generate: a model goes on with a text.

#include <algorithm>
#include <iostream>
#include <memory>
#include <optional>

#include <commutant/io/tokenizer.hpp>
#include <commutant/model/named_tensors.hpp>
#include <commutant/recipes/quantized_folder.hpp>

#include "command.hpp"
#include "engine.hpp"
#include "input.hpp"
#include "output.hpp"
#include "runs.hpp"

namespace program {
namespace {

struct generate_options {
    std::string model{};
    std::string prompt{};
    std::string tokenizer{};
    std::size_t n_tokens = 128;
    cm::sampling_options sampling{};
    engine_options engine{};
    json_output output{};
};

/// Bytes of the seven linears of every block: what decoding reads for each token.
std::size_t block_weight_bytes(cm::int4_decoder const& m) {
    std::size_t bytes = 0;
    cm::visit_block_linears(
        m.model, [&](std::string const&, cm::engine_linear const& l) { bytes += l.weight.bytes(); });
    return bytes;
}

int run_generate(generate_options& options) {
    options.output.require_writable();
    fs::path const path = model_path(options.model);
    bool const is_quantized = cm::is_quantized_folder(path);
    options.engine.require_fits(path, is_quantized);
    std::optional<cm::io::checkpoint> source;
    if (!is_quantized) source.emplace(cm::io::checkpoint::open(path));
    cm::model_config const config = is_quantized ? cm::read_quantized_config(path).model : source->config();
    if (options.engine.is_int4()) cm::require_int4(cm::read_quantized_config(path).settings);

    auto const found =
        options.tokenizer.empty()
            ? cm::io::find_tokenizer(is_quantized ? path : source->directory(), config.vocab_size)
            : std::optional<fs::path>(options.tokenizer);
    if (!found)
        throw usage_error("generate: no tokenizer lies beside " + path.string() + ": give --tokenizer FILE");
    auto const tokenizer = cm::io::tokenizer::open(*found);
    tokenizer.require_vocabulary(config.vocab_size);
    generation_request request;
    request.prompt = tokenizer.encode(options.prompt);
    if (tokenizer.bos()) request.prompt.insert(request.prompt.begin(), *tokenizer.bos());
    if (request.prompt.empty())
        throw usage_error("generate: the tokenizer has no token that begins a text, give a --prompt");
    if (request.prompt.size() >= config.max_positions)
        throw usage_error("generate: --prompt has " + std::to_string(request.prompt.size()) +
                          " tokens, expected fewer than the " + std::to_string(config.max_positions) +
                          " positions of the model");
    request.n_tokens = std::min(options.n_tokens, config.max_positions - request.prompt.size());
    request.stop = tokenizer.eos();
    request.sampling = options.sampling;

    generation r;
    json numbers{{"model", path.string()}, {"engine", is_quantized ? options.engine.name() : "float32"}};
    if (options.engine.is_int4()) {
        auto const m = cm::to_int4(cm::read_quantized_folder<float32>(path), options.engine.threads());
        numbers["threads"] = options.engine.n_threads();
        numbers["block_weight_bytes"] = block_weight_bytes(m);
        r = generated(m, request);
    } else if (is_quantized) {
        r = generated(cm::read_quantized_folder<float32>(path), request);
    } else {
        r = generated(cm::load_decoder<float32>(*source), request);
    }

    std::string const text = tokenizer.decode(r.tokens);
    double const rate = r.n_steps == 0 ? 0 : static_cast<double>(r.n_steps) / r.decode_seconds;
    numbers["prompt"] = options.prompt;
    numbers["prompt_tokens"] = request.prompt.size();
    numbers["text"] = text;
    numbers["tokens"] = r.tokens;
    numbers["prompt_seconds"] = r.prompt_seconds;
    numbers["decode_seconds"] = r.decode_seconds;
    numbers["tokens_per_second"] = rate;
    options.output.prepare(numbers).commit();
    if (!options.output.owns_stdout()) {
        std::cout << options.prompt << text << '\n' << std::flush;
        say(std::to_string(r.tokens.size()) + " tokens behind " + std::to_string(request.prompt.size()) +
            " of the prompt, " + formatted("%.1f", rate) + " tokens per second");
    }
    return done;
}

}  // namespace

void add_generate(CLI::App& app, chosen_command& chosen) {
    auto const options = std::make_shared<generate_options>();
    CLI::App* const command = app.add_subcommand("generate", "go on with a text");
    command->footer(
        "The text goes to stdout, the speed to stderr.\n\n"
        "  commutant generate --prompt \"One day\" --tokens 60\n"
        "  commutant generate DIR/quantized --engine int4 --threads 2 --temperature 0.8");
    command->add_option("MODEL", options->model,
                        "Hugging Face folder, llama2.c .bin, or a folder of quantize --out");
    command->add_option("--prompt", options->prompt, "text to go on with; default: the beginning of a text");
    command->add_option("--tokens", options->n_tokens, "tokens to add, at most; fewer if the text ends")
        ->check(CLI::Range(std::size_t{1}, std::size_t{1} << 24))
        ->capture_default_str();
    command
        ->add_option("--temperature", options->sampling.temperature,
                     "logits are divided by it; 0: always the most likely token")
        ->check(CLI::Range(0.0, 100.0))
        ->capture_default_str();
    command
        ->add_option("--top-k", options->sampling.top_k,
                     "choose among this many of the most likely tokens; 0: all")
        ->capture_default_str();
    command->add_option("--seed", options->sampling.seed, "of the choice")->capture_default_str();
    command->add_option("--tokenizer", options->tokenizer,
                        "tokenizer.json or llama2.c tokenizer.bin; default: the one beside the model");
    options->engine.add_to(*command);
    options->output.add_to(*command);
    command->callback([options, &chosen] { chosen = [options] { return run_generate(*options); }; });
}

}  // namespace program
