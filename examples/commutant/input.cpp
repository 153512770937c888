// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "input.hpp"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include <commutant/io/corpus.hpp>
#include <commutant/io/tokens.hpp>
#include <commutant/io/windows.hpp>

#include "command.hpp"

namespace program {

fs::path bundled_data() {
    char const* const named = std::getenv("COMMUTANT_DATA");
    fs::path const folder = named != nullptr ? fs::path(named) : fs::path(COMMUTANT_EXAMPLE_DATA_DIR);
    std::error_code error;
    if (!fs::is_directory(folder, error))
        throw usage_error(
            "the bundled model's folder " + folder.string() +
            " is not there; name a MODEL, or set COMMUTANT_DATA to examples/data of the source");
    return folder;
}

fs::path model_path(std::string const& given) {
    if (!given.empty()) return given;
    fs::path const data = bundled_data();
    std::error_code error;
    std::vector<fs::path> models;
    for (auto const& entry : fs::directory_iterator(data, error))
        if (fs::exists(entry.path() / "config.json", error)) models.push_back(entry.path());
    if (models.empty())
        throw usage_error("no model was named, and " + data.string() + " holds no folder with a config.json");
    return *std::min_element(models.begin(), models.end());
}

std::optional<cm::io::dtype> storage_type(std::string const& name) {
    if (name == "float32") return cm::io::dtype::f32;
    if (name == "float16") return cm::io::dtype::f16;
    if (name == "bfloat16") return cm::io::dtype::bf16;
    return std::nullopt;
}

void window_options::add_to(CLI::App& command) {
    command.add_option("--tokenizer", tokenizer,
                       "tokenizer.json or llama2.c tokenizer.bin; default: the one beside the model");
    command
        .add_option(
            "--protocol", protocol,
            "how a text is cut. windows: documents one after the other, EOS between them, cut without\n"
            "gaps, BOS in front of each window. reference: documents one by one, white space at their ends\n"
            "and EOS left out, BOS in front of each window, the first 4000 tokens of at most 40 documents")
        ->check(CLI::IsMember({"windows", "reference"}))
        ->capture_default_str();
    command
        .add_option("--length", length,
                    "positions of a window, BOS included; default: what the model was made for, at most 2048")
        ->check(CLI::Range(std::size_t{2}, std::size_t{1} << 24));
}

window_reader::window_reader(cm::model_config const& config, fs::path directory, window_options options)
    : config_(config),
      directory_(std::move(directory)),
      options_(std::move(options)),
      length_(options_.length != 0 ? options_.length
                                   : std::min(config.max_positions, window_options::default_length)) {
    if (length_ > config_.max_positions)
        throw usage_error("--length is " + std::to_string(length_) + ", expected at most the " +
                          std::to_string(config_.max_positions) + " positions of the model");
}

std::optional<fs::path> window_reader::tokenizer_path() const {
    if (!options_.tokenizer.empty()) return options_.tokenizer;
    return cm::io::find_tokenizer(directory_, config_.vocab_size);
}

cm::io::tokenizer const& window_reader::tokenizer() {
    if (!tokenizer_) {
        auto const path = tokenizer_path();
        if (!path)
            throw usage_error(
                "no tokenizer lies in " + directory_.string() +
                ": give --tokenizer FILE, or a token file (*.safetensors) in place of the text");
        tokenizer_.emplace(cm::io::tokenizer::open(*path));
        tokenizer_->require_vocabulary(config_.vocab_size);
        if (!tokenizer_->bos())
            throw cm::io::input_error(path->string(), "names no token that begins a text (BOS)");
    }
    return *tokenizer_;
}

cm::token_sequences window_reader::read(fs::path const& path, std::size_t max_windows, bool is_calibration) {
    cm::token_sequences windows;
    if (path.extension() == ".safetensors") {
        auto const file = cm::io::read_tokens(path, config_.vocab_size);
        if (file.length < 2 || file.length > config_.max_positions)
            throw cm::io::input_error(path.string(), "holds windows of " + std::to_string(file.length) +
                                                         " tokens, expected 2 to " +
                                                         std::to_string(config_.max_positions));
        for (std::size_t i = 0; i < file.n_windows; ++i)
            windows.emplace_back(file.window(i).begin(), file.window(i).end());
    } else {
        auto const documents = cm::io::read_corpus(path);
        auto const& tok = tokenizer();
        auto const encode = [&](std::string_view text) { return tok.encode(text); };
        if (options_.protocol == "reference" && !is_calibration)
            windows = cm::io::reference_windows(documents, length_, *tok.bos(), encode);
        else
            windows = cm::io::packed_windows(documents, length_, *tok.bos(), tok.eos(), encode, max_windows);
    }
    if (max_windows != 0 && windows.size() > max_windows) windows.resize(max_windows);
    if (cm::n_predictions(windows) == 0)
        throw cm::io::input_error(path.string(), "yields no tokens, expected at least one behind BOS");
    return windows;
}

}  // namespace program
