// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <commutant/io/checkpoint.hpp>
#include <commutant/io/tokenizer.hpp>
#include <commutant/recipes/token_sequences.hpp>

// Models, tokenisers and texts as the command line names them.

namespace CLI {
class App;
}

namespace program {

namespace cm = commutant;
namespace fs = std::filesystem;

/// The folder of the model and texts that come with the program: the environment variable COMMUTANT_DATA, else where
/// the program was built.
///
/// Errors    usage_error if there is no such folder, saying how to name a model
[[nodiscard]] fs::path bundled_data();

/// The model to work on: the path given, or the bundled model.
[[nodiscard]] fs::path model_path(std::string const& given);

/// A storage type by its name in config.json; nothing if none is named.
[[nodiscard]] std::optional<cm::io::dtype> storage_type(std::string const& name);

/// How texts become windows; the same options in every command that reads a text.
struct window_options {
    std::string tokenizer{};           ///< path; empty: the one beside the model
    std::string protocol = "windows";  ///< "windows" or "reference"
    std::size_t length = 0;            ///< positions per window; 0: the model's, at most default_length
    static constexpr std::size_t default_length = 2048;

    void add_to(CLI::App& command);
};

/// Turns texts and token files into windows for one model; opens the tokeniser when it is first needed.
class window_reader {
public:
    /// directory: where the tokeniser lies if the options name none
    window_reader(cm::model_config const& config, fs::path directory, window_options options);

    /// Positions of a full window.
    [[nodiscard]] std::size_t length() const noexcept { return length_; }

    /// Windows of a text or, if it is called *.safetensors, of a token file; max_windows 0: all.
    ///
    /// Errors    input_error for a file, usage_error for a missing tokeniser
    [[nodiscard]] cm::token_sequences read(fs::path const& path, std::size_t max_windows,
                                           bool is_calibration);

    /// The tokeniser file of the model, if it is known or lies beside it.
    [[nodiscard]] std::optional<fs::path> tokenizer_path() const;

private:
    [[nodiscard]] cm::io::tokenizer const& tokenizer();

    cm::model_config config_;
    fs::path directory_;
    window_options options_;
    std::size_t length_;
    std::optional<cm::io::tokenizer> tokenizer_{};
};

}  // namespace program
