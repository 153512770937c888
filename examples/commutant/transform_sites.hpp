// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <commutant/optimize/transform_parameters.hpp>

#include "output.hpp"

namespace program {

namespace cm = commutant;

/// Transforms from the names of their sites, separated by commas, or none.
///
/// Errors    usage_error for another name
[[nodiscard]] cm::transform_set parsed_transforms(std::string const& text);

/// The names of their sites.
[[nodiscard]] std::vector<std::string> site_names(cm::transform_set const& chosen);

/// A number for each group of transforms, under the name of its site.
template <class Values> [[nodiscard]] json by_site(Values const& values) {
    json r = json::object();
    for (std::size_t g = 0; g < 4; ++g)  // the groups of transforms come before those of grids
        r[std::string(to_string(static_cast<cm::parameter_group>(g)))] = values[g];
    return r;
}

}  // namespace program
