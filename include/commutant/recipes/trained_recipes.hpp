// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/recipes/training_recipe.hpp>

// Recipes that train, side by side.

namespace commutant {

/// FPTQuant (arXiv:2506.04985): all six transforms, first without data, then end to end together with the grids.
[[nodiscard]] inline training_recipe fptquant_recipe() {
    return {.forms = fptquant_forms(), .token_scale = token_scale_choice::measured};
}

/// The transforms of SpinQuant (arXiv:2405.16406) in the same training.
[[nodiscard]] inline training_recipe spinquant_recipe() {
    return {.forms = spinquant_forms(), .local = {.n_steps = 0}};
}

/// Grids alone: no transform at all. What training wins back by itself.
[[nodiscard]] inline training_recipe grids_recipe() { return {.local = {.n_steps = 0}}; }

}  // namespace commutant
