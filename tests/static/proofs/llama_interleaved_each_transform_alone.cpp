// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "single_plans.hpp"

namespace cm = commutant;
using family = cm::families::llama_interleaved;

// Grouped queries, every bias, RoPE in neighbouring pairs on 4 of 6 features.
static_assert(cm::preserves_function<family, single::query_key<cm::scaled_rotation>>);
static_assert(cm::preserves_function<family, single::value_output<cm::dense>>);
static_assert(cm::preserves_function<family, single::up_down<cm::channel_scale>>);
static_assert(cm::preserves_function<family, single::residual_stream<cm::orthogonal>>);
static_assert(cm::preserves_function<family, single::down_input<cm::block_hadamard>>);
static_assert(cm::preserves_function<family, single::token_scale<cm::residual_scale>>);
