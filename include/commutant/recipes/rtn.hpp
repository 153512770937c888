// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/model/config.hpp>
#include <commutant/recipes/recipe_outcome.hpp>

namespace commutant {

/// Round to nearest: nothing is transformed. The row that every other recipe is measured against.
using rtn_plan = plan<>;

template <class M> [[nodiscard]] recipe_outcome<rtn_plan, M> prepare_rtn(model_config const& c) {
    recipe_outcome<rtn_plan, M> r;
    r.transforms.layers.resize(c.n_layers);
    return r;
}

}  // namespace commutant
