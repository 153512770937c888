// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <tuple>

#include <commutant/io/checkpoint.hpp>

#include "input.hpp"
#include "method.hpp"
#include "runs.hpp"

namespace program {

/// Texts of a run, as windows.
struct run_texts {
    cm::token_sequences ranges{};    ///< that static ranges are set on
    cm::token_sequences training{};  ///< of recipes that train; the windows for ranges are its first
    cm::token_sequences const* evaluation = nullptr;
};

/// One model and its texts, each read once for all runs.
class shared_inputs {
public:
    /// Errors    input_error for a file, usage_error for options that do not fit the model
    shared_inputs(fs::path const& model, window_options const& windows);

    [[nodiscard]] fs::path const& path() const { return path_; }
    [[nodiscard]] cm::io::checkpoint const& source() const { return source_; }
    [[nodiscard]] window_reader const& reader() const { return reader_; }

    /// The model in double precision, features of RoPE in halves.
    [[nodiscard]] cm::decoder<float64> loaded() const;
    /// The same in single precision, kept.
    [[nodiscard]] cm::decoder<float32> const& original();

    /// Texts that a method asks for.
    ///
    /// Errors    those of window_reader; usage_error if training would see windows that it is judged by
    [[nodiscard]] run_texts texts(method_options const& method);

private:
    cm::token_sequences const& windows(std::string const& file, std::size_t max_windows, bool is_calibration);

    fs::path path_;
    cm::io::checkpoint source_;
    window_reader reader_;
    cm::decoder<float32> original_{};
    std::map<std::tuple<std::string, std::size_t, bool>, cm::token_sequences> windows_{};
};

/// Refuses evaluation windows that are in a calibration text too.
///
/// Errors    usage_error
void require_texts_apart(cm::token_sequences const& calibration, cm::token_sequences const& evaluation);

}  // namespace program
