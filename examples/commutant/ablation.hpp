// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "method.hpp"
#include "pipeline.hpp"

// What each part of a method is worth: runs that leave a part out, or that have nothing else.

namespace program {

/// Options that a run differs in from the whole method.
struct variation {
    std::string label{};
    option_values options{};
};

/// No transform, each of a recipe's alone, all but each, all; empty for a recipe that has none.
[[nodiscard]] std::vector<variation> transform_variations(std::string const& recipe);

/// Each tensor quantised alone.
[[nodiscard]] std::vector<variation> quantizer_variations(method_options const& method);

/// Runs the variations: `float`, `quantizers`, of the method and of round to nearest, and, where there are any, `transforms`;
/// lists of `label`, `recipe` and `nll`.
///
/// Note      ends early if training is interrupted
[[nodiscard]] json ablation_of(pipeline& runs, method_options const& method, stage_log& stages);

}  // namespace program
