// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <commutant/recipes/part_of_plan.hpp>
#include <commutant/recipes/recipe_outcome.hpp>

namespace commutant {

/// Random, well-conditioned transforms at every site of a plan: not to gain anything, but to see that merging changes
/// nothing.
///
/// Parameters are drawn around the identity's (parameter_source), so condition numbers stay small.
template <class Plan, class M>
[[nodiscard]] recipe_outcome<Plan, M> prepare_random(model_config const& c, random_source& random) {
    parameter_source<typename M::scalar> source(random);
    return {random_transforms<Plan, M>(c, source), {}};
}

}  // namespace commutant
