// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// Writes the text that the bundled model is made of: stories of a little language for training, calibration and
// evaluation, a tokenizer learnt from them, and their exact information per token.
#include <CLI/CLI.hpp>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>

#include <commutant/io/atomic_file.hpp>
#include <commutant/io/bpe_tokenizer.hpp>
#include <commutant/io/corpus.hpp>

#include "bpe_trainer.hpp"
#include "story.hpp"

namespace io = commutant::io;

namespace {

struct text_file {
    std::vector<std::string> documents;
    double information = 0;
};

/// Stories until there are enough of them, or of their bytes.
text_file write_stories(std::uint64_t seed, std::size_t n_stories, std::size_t n_bytes) {
    bundled::story_writer writer(seed);
    text_file file;
    for (std::size_t bytes = 0; file.documents.size() < n_stories && bytes < n_bytes;) {
        auto story = writer.next();
        bytes += story.text.size() + 1 + io::document_separator.size() + 1;
        file.information += story.information;
        file.documents.push_back(std::move(story.text));
    }
    return file;
}

std::string joined(std::vector<std::string> const& documents) {
    std::string text;
    for (auto const& document : documents) {
        text += document;
        text += '\n';
        text += io::document_separator;
        text += '\n';
    }
    return text;
}

void report(char const* name, text_file const& file, io::bpe_tokenizer const& tokenizer) {
    std::size_t n_tokens = 0, longest = 0;
    for (auto const& document : file.documents) {
        std::size_t const n = tokenizer.encode(document).size();
        n_tokens += n;
        longest = n > longest ? n : longest;
    }
    std::printf("%-6s %6zu stories %8zu tokens, longest %3zu, information %.4f nats per token\n", name,
                file.documents.size(), n_tokens, longest, file.information / static_cast<double>(n_tokens));
}

void run(std::filesystem::path const& out, std::size_t n_train, std::size_t n_bytes, std::size_t vocab_size) {
    constexpr std::size_t no_limit = static_cast<std::size_t>(-1);
    text_file const train = write_stories(1, n_train, no_limit);
    text_file const calib = write_stories(2, no_limit, n_bytes);
    text_file const eval = write_stories(3, no_limit, n_bytes);

    std::filesystem::create_directories(out);
    io::write_text(out / "train.txt", joined(train.documents), io::existing::replace);
    io::write_text(out / "calib.txt", joined(calib.documents), io::existing::replace);
    io::write_text(out / "eval.txt", joined(eval.documents), io::existing::replace);
    io::write_text(out / "tokenizer.json",
                   bundled::tokenizer_json(bundled::train_bpe(train.documents, vocab_size)),
                   io::existing::replace);
    auto const tokenizer = io::bpe_tokenizer::open(out / "tokenizer.json");
    std::printf("vocabulary of %zu tokens\n", tokenizer.vocab_size());
    report("train", train, tokenizer);
    report("calib", calib, tokenizer);
    report("eval", eval, tokenizer);
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app("Writes the stories that the bundled model is trained, calibrated and evaluated on");
    std::filesystem::path out;
    std::size_t n_train = 60000, n_bytes = 50000, vocab_size = 512;
    app.add_option("out", out, "folder for train.txt, calib.txt, eval.txt and tokenizer.json")->required();
    app.add_option("--train", n_train, "stories to train on")->capture_default_str();
    app.add_option("--bytes", n_bytes, "size of the calibration and of the evaluation text")
        ->capture_default_str();
    app.add_option("--vocab", vocab_size, "most tokens in the vocabulary")->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    try {
        run(out, n_train, n_bytes, vocab_size);
    } catch (std::exception const& error) {
        std::fprintf(stderr, "make_text: %s\n", error.what());
        return 2;
    }
    return 0;
}
