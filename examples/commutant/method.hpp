// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <commutant/merge/merge.hpp>
#include <commutant/quant/settings.hpp>

#include "option_values.hpp"
#include "training.hpp"

// What a run of quantize does to a model, apart from the model itself and from what becomes of the results.

namespace program {

/// Recipe, settings and texts: everything that determines the numbers of a run on a model.
struct method_options {
    std::string recipe = "hadamard";
    std::string bits = "4-4-4";
    std::string coverage = "linears_kv";
    bool is_static = false;  ///< the default: read for the sake of contradicting --dynamic
    bool dynamic = false;
    bool symmetric = false;
    std::string range = "lp";
    int p = 3;
    std::size_t group_size = 0;
    std::string calibration{};
    std::size_t max_calibration_windows = 16;
    std::string evaluation{};
    std::size_t max_windows = 0;
    std::size_t seed = 1;
    double max_condition = cm::condition_limits{}.refuse;
    std::string quantize_only{};  ///< empty: everything that coverage and bits say
    training_options training{};
    bool training_likelihood = false;
    option_values given{};  ///< what was said of all these

    /// The options must stay where they are until the command line has been parsed; `given` is left to the caller.
    void add_to(CLI::App& command);
    /// The same but for recipe, bits and seed.
    void add_common_to(CLI::App& command);

    /// The bundled model's texts where none are named.
    void use_bundled_texts();
    /// Refuses what does not fit together, before anything is read.
    ///
    /// Errors    usage_error; std::invalid_argument for settings
    void require_complete() const;

    [[nodiscard]] bool trains() const { return is_trained_recipe(recipe); }
    [[nodiscard]] cm::quantization_settings settings() const;
    /// What --quantize-only can name: the weights, and each activation that is rounded.
    [[nodiscard]] std::vector<std::string> quantizers() const;
    /// "L3 ranges"
    [[nodiscard]] std::string range_words() const;
};

/// A method from options of which its recipe may have no use: those that only training reads are left out if it does not train.
[[nodiscard]] method_options parsed_variation(option_values const& options);

/// A method from options of quantize.
///
/// Errors    usage_error for what quantize would refuse
[[nodiscard]] method_options parsed_method(option_values const& options);

}  // namespace program
