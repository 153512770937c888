// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "plans.hpp"

// Recipes with some of their transforms only.

namespace program {

/// Sites at which a recipe has a transform, by name.
[[nodiscard]] std::vector<std::string> recipe_sites(std::string const& recipe);

/// The recipe hadamard at the sites of a list separated by commas; empty: at all of them.
///
/// Errors    usage_error for a site that it has no transform at
[[nodiscard]] prepared_plan prepare_hadamard_at(std::string const& sites, cm::model_config const& config,
                                                std::size_t seed);

}  // namespace program
