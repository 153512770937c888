// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/proofs/preserves_function.hpp>
#include <commutant/recipes/fptquant.hpp>
#include <commutant/transforms/permutation.hpp>

// Plans with one transform, and whether each of FPTQuant's six keeps a family's function.

namespace single {

namespace cm = commutant;

template <class Site, class Kind> using plan = cm::plan<cm::at<Site, Kind>>;

template <class Kind> using query_key = plan<cm::sites::query_key, Kind>;
template <class Kind> using value_output = plan<cm::sites::value_output, Kind>;
template <class Kind> using up_down = plan<cm::sites::up_down, Kind>;
template <class Kind> using residual_stream = plan<cm::sites::residual_stream, Kind>;
template <class Kind> using down_input = plan<cm::sites::down_input, Kind>;
template <class Kind> using token_scale = plan<cm::sites::token_scale, Kind>;

}  // namespace single
