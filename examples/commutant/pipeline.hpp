// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "output.hpp"
#include "shared_inputs.hpp"
#include "stage_log.hpp"

// The whole pipeline: transforms are found and merged, everything is quantised, and each step's likelihood is measured.
// quantize runs it once, a study once for each of its rows.

namespace program {

/// Who looks on a run; every function may be left empty.
struct run_watch {
    /// After the merge of what a plain checkpoint can carry.
    std::function<void(cm::decoder<float64> const&)> merged_offline{};
    /// After all merges.
    std::function<void(cm::decoder<float32> const&)> merged{};
    std::function<void(cm::quantized_decoder<float32> const&)> quantized{};
};

/// NLL per token after each step, and what the recipe found.
struct run_outcome {
    double original = 0, merged = 0, rtn = 0, quantized = 0;
    std::vector<std::pair<std::string, double>> stages{};  ///< of training, but for the last
    json training{};                                       ///< null if the recipe does not train
    bool interrupted = false;
    double condition = 1;
    std::vector<std::string> remarks{};
    std::size_t range_windows = 0, evaluation_windows = 0, evaluation_tokens = 0;

    /// Share of round-to-nearest's loss, of this quantised model or of an NLL.
    [[nodiscard]] double won_back() const { return won_back(quantized); }
    [[nodiscard]] double won_back(double nll) const { return (rtn - nll) / (rtn - original); }
    [[nodiscard]] bool is_finite() const;
};

/// Runs methods on one model; what several of them have in common is measured once.
class pipeline {
public:
    /// Whether a merged model is kept for runs that differ from the last in --quantize-only alone.
    enum class keeping { nothing, last_model };

    explicit pipeline(shared_inputs& inputs, keeping kept = keeping::nothing)
        : inputs_(inputs), keeps_model_(kept == keeping::last_model) {}

    /// Merges and quantises by a method.
    ///
    /// Errors    those of the steps; usage_error for options that do not fit together
    [[nodiscard]] run_outcome run(method_options const& method, stage_log& stages,
                                  run_watch const& watch = {});

private:
    struct found_model;
    class run_in_progress;

    /// A figure that was computed before under the same key, or else is now.
    double once(std::string const& key, std::function<double()> const& compute);

    shared_inputs& inputs_;
    bool keeps_model_;
    std::map<std::string, double> figures_{};
    std::shared_ptr<found_model> last_{};
};

/// What a run was asked and what came of it.
[[nodiscard]] json numbers_of(fs::path const& model, method_options const& method, run_outcome const& outcome,
                              stage_log const& stages);

}  // namespace program
