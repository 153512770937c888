// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// Trains the bundled model: the library's own decoder, read on a tape, on stories that make_text has written.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <commutant/io/bpe_tokenizer.hpp>
#include <commutant/io/corpus.hpp>
#include <commutant/io/windows.hpp>
#include <commutant/model/random_decoder.hpp>
#include <commutant/optimize/cosine_schedule.hpp>

#include "model_folder.hpp"
#include "trainer.hpp"

namespace cm = commutant;
namespace io = commutant::io;

namespace {

using bundled::bos, bundled::eos;

struct options {
    std::filesystem::path data;
    std::filesystem::path out;
    std::size_t n_steps = 2600;
    std::size_t batch = 8;  ///< windows
    std::size_t n_threads = 2;
    double learning_rate = 3e-3;
    double weight_decay = 0.0;
    std::uint64_t seed = 1;
};

cm::model_config geometry(std::size_t vocab_size) {
    cm::model_config c;
    c.n_layers = 4;
    c.model_dim = 128;
    c.ffn_dim = 384;
    c.n_heads = 4;
    c.n_kv_heads = 2;
    c.head_dim = c.rotary_dim = 32;
    c.vocab_size = vocab_size;
    c.max_positions = 256;
    return c;
}

/// Uniform weights: embedding of rms 0.5; linears keep the size of what they read, and those that write to the residual
/// stream start smaller by the root of their number; gains one.
cm::decoder<bundled::running> initial_decoder(cm::model_config const& c, std::uint64_t seed) {
    cm::random_source random(seed);
    cm::parameter_source<float> source(random);
    auto m = cm::random_decoder<bundled::running>(c, source);
    auto const rescale = [](bundled::running& w, double rms) {
        w.values *= static_cast<float>(rms * std::sqrt(static_cast<double>(w.size())) / w.values.norm());
    };
    cm::visit_tensors(m, [&](std::string const& name, bundled::running& w) {
        if (w.size() == 0) return;
        auto const has = [&](char const* part) { return name.find(part) != std::string::npos; };
        if (has("norm.weight"))
            w.values.setOnes();
        else if (has("embed_tokens"))
            rescale(w, 0.5);
        else if (has("o_proj") || has("down_proj"))
            rescale(w, 1 / std::sqrt(2.0 * static_cast<double>(c.n_layers * w.cols())));
        else
            rescale(w, 1 / std::sqrt(static_cast<double>(w.cols())));
    });
    return m;
}

/// Windows of BOS and whole stories, an EOS after each, cut at length tokens; a story that was cut opens the next window.
std::vector<std::vector<int>> story_windows(std::span<std::string const> stories, std::size_t length,
                                            io::bpe_tokenizer const& tokenizer) {
    std::vector<std::vector<int>> windows;
    for (std::size_t i = 0; i < stories.size();) {
        std::vector<int> window{bos};
        std::size_t const first = i;
        while (i < stories.size() && window.size() < length) {
            auto const ids = tokenizer.encode(stories[i++]);
            window.insert(window.end(), ids.begin(), ids.end());
            window.push_back(eos);
        }
        if (window.size() > length) {
            window.resize(length);
            if (i - first > 1) --i;
        }
        windows.push_back(std::move(window));
    }
    return windows;
}

/// One half of the stories in windows that open with a story, the other cut without gaps, one of each in turn: texts are
/// read both ways later.
std::vector<std::vector<int>> training_windows(std::vector<std::string> const& stories, std::size_t length,
                                               io::bpe_tokenizer const& tokenizer) {
    auto const half = std::span(stories).first(stories.size() / 2),
               rest = std::span(stories).subspan(half.size());
    auto whole = story_windows(half, length, tokenizer);
    auto cut =
        io::packed_windows(rest, length, bos, eos, [&](std::string_view s) { return tokenizer.encode(s); });
    std::vector<std::vector<int>> windows;
    for (std::size_t i = 0; i < std::min(whole.size(), cut.size()); ++i) {
        windows.push_back(std::move(whole[i]));
        windows.push_back(std::move(cut[i]));
    }
    return windows;
}

/// Lets freed matrices be used again at once instead of going back to the system after every window, which costs more than
/// a tenth of the time.
void keep_freed_memory() {
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
#endif
}

void run(options const& o) {
    keep_freed_memory();
    auto const tokenizer = io::bpe_tokenizer::open(o.data / "tokenizer.json");
    cm::model_config const c = geometry(tokenizer.vocab_size());
    auto const windows =
        training_windows(io::read_corpus(o.data / "train.txt"), c.max_positions + 1, tokenizer);
    if (windows.size() < o.batch)
        throw std::runtime_error("train.txt fills " + std::to_string(windows.size()) +
                                 " windows, expected at least " + std::to_string(o.batch) + ", one batch");

    bundled::trainer trainer(initial_decoder(c, o.seed), o.n_threads,
                             {.beta2 = 0.99, .weight_decay = o.weight_decay});
    cm::cosine_schedule const schedule{o.n_steps, std::min<std::size_t>(100, o.n_steps), 0.02};
    auto const start = std::chrono::steady_clock::now();
    double recent = 0;
    std::size_t next = 0, n_tokens = 0;
    for (std::size_t step = 0; step < o.n_steps; ++step) {
        if (next + o.batch > windows.size()) next = 0;
        auto const batch = std::span(windows).subspan(next, o.batch);
        next += o.batch;
        for (auto const& window : batch) n_tokens += window.size() - 1;
        auto const result = trainer.step(batch, o.learning_rate * schedule(step), 1.0);
        recent += result.loss;
        if ((step + 1) % 100 == 0 || step + 1 == o.n_steps) {
            double const seconds =
                std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
            std::printf("step %5zu  loss %.4f  gradient %.3f  %7.0f tokens/s  %.0f s\n", step + 1,
                        recent / static_cast<double>(step % 100 + 1), result.gradient_norm,
                        static_cast<double>(n_tokens) / seconds, seconds);
            std::fflush(stdout);
            recent = 0;
        }
    }
    bundled::write_model(o.out, trainer.model(), o.data / "tokenizer.json");
    for (char const* text : {"calib.txt", "eval.txt"}) {
        auto const measured = bundled::evaluate(o.out, o.data / text);
        std::printf("%-9s %.4f nats per token over %zu tokens\n", text, measured.per_token(),
                    measured.tokens);
    }
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("Trains the bundled model on the stories of make_text");
    options o;
    app.add_option("data", o.data, "folder that make_text has filled")
        ->required()
        ->check(CLI::ExistingDirectory);
    app.add_option("out", o.out, "folder for the model; it must not exist")
        ->required()
        ->check(CLI::NonexistentPath);
    app.add_option("--steps", o.n_steps)->capture_default_str()->check(CLI::PositiveNumber);
    app.add_option("--batch", o.batch, "windows in a step")
        ->capture_default_str()
        ->check(CLI::PositiveNumber);
    app.add_option("--threads", o.n_threads)->capture_default_str()->check(CLI::Range(1, 256));
    app.add_option("--learning-rate", o.learning_rate)->capture_default_str()->check(CLI::PositiveNumber);
    app.add_option("--weight-decay", o.weight_decay)->capture_default_str()->check(CLI::NonNegativeNumber);
    app.add_option("--seed", o.seed)->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    try {
        run(o);
    } catch (std::exception const& error) {
        std::fprintf(stderr, "train_model: %s\n", error.what());
        return 2;
    }
    return 0;
}
