// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include <commutant/merge/merge.hpp>

// Recipes by name, behind one type: what depends on the plan is compiled here once, for all commands.

namespace program {

namespace cm = commutant;

using float64 = cm::eigen_matrix<double>;

/// Transforms of a recipe for one model, ready to be merged.
struct prepared_plan {
    using merge = std::function<cm::merge_report(cm::decoder<float64>&, cm::condition_limits const&)>;

    merge merge_offline{};  ///< first: what a plain checkpoint can carry
    merge merge_online{};   ///< then: T_d and S_n
    bool changes_nothing = false;
    std::vector<std::string> notes{};
};

/// Recipes of quantize, and plans that check knows beside them.
[[nodiscard]] std::vector<std::string> const& recipe_names();
[[nodiscard]] std::vector<std::string> const& plan_names();

/// Prepares a recipe or a plan for a model.
///
/// Errors    std::invalid_argument for a name that is not in either list
[[nodiscard]] prepared_plan prepare_plan(std::string const& name, cm::model_config const& config,
                                         std::size_t seed);

}  // namespace program
