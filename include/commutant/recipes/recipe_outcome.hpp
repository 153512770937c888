// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include <commutant/merge/plan.hpp>

namespace commutant {

/// What a recipe found for one model: transforms for its plan, and remarks worth a line each.
template <class Plan, class M> struct recipe_outcome {
    using plan_type = Plan;
    plan_transforms<Plan, M> transforms{};
    std::vector<std::string> notes{};
};

}  // namespace commutant
