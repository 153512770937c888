// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <commutant/recipes/quantized_decoder.hpp>

#include "output.hpp"
#include "plans.hpp"
#include "runs.hpp"
#include "stage_log.hpp"

// Recipes that train, behind one type: what runs on the tape is compiled in training.cpp once.

namespace CLI {
class App;
}

namespace program {

/// Recipes of quantize that train.
[[nodiscard]] std::vector<std::string> const& trained_recipe_names();
[[nodiscard]] bool is_trained_recipe(std::string const& name);

/// Options of quantize that only those recipes read.
struct training_options {
    std::size_t local_steps = 0;  ///< 0 and not given: the recipe's
    std::size_t steps = 0;
    std::size_t batch = 0;
    double learning_rate = 1;
    int p_local = 4;
    std::string local_order = "sequential";
    std::string transforms{};  ///< empty: the recipe's
    std::string token_scale{};
    std::string eps = "exact";
    std::string value_transform{};
    std::size_t value_rank = 0;  ///< 0: an eighth of head_dim
    std::string residual_start = "hadamard";
    std::string value_start = "hadamard";
    std::string up_start = "identity";
    std::string rotation = "cayley";
    std::string loss = "js";
    std::size_t windows = 0;  ///< 0: all
    bool shifts_windows = false;
    std::size_t patience = 0;
    std::size_t threads = 2;
    std::string checkpoint{};

    std::vector<std::string> given{};  ///< names of the options that were, in their order

    /// The options must stay where they are until the command line has been parsed.
    void add_to(CLI::App& command);
    [[nodiscard]] bool was_given(char const* name) const;
};

/// A stage's transforms, ready to be merged, and its grids.
struct trained_model {
    std::string stage{};
    prepared_plan plan{};
    cm::decoder_grids grids{};
    double held_out = 0;  ///< mean divergence from the original on held-out text
};

/// What training found.
struct trained_models {
    std::vector<trained_model> stages{};  ///< in order; the last is the result
    json numbers{};
    bool interrupted = false;  ///< by Ctrl-C: the best so far is the result
};

/// Steps that each of --token-scale auto's two trials takes.
[[nodiscard]] std::size_t trial_steps(std::string const& recipe, training_options const& options);
/// What they found, from the least divergence of held-out text in each.
[[nodiscard]] std::string token_scale_remark(std::size_t n_steps, double with, double without);

/// Trains a recipe for a model.
///
/// calibration    windows that are trained on or held out; those in front set ranges
/// range_windows  how many of them do
/// stages         told what training is at
/// Errors         usage_error for options that do not fit together
[[nodiscard]] trained_models trained(std::string const& recipe, training_options const& options,
                                     cm::decoder<float32> const& model, cm::token_sequences calibration,
                                     std::size_t range_windows, cm::quantization_settings const& settings,
                                     std::size_t seed, stage_log& stages);

}  // namespace program
