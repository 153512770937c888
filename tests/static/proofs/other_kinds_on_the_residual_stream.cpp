// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "single_plans.hpp"

namespace cm = commutant;
using cm::families::llama;

// RMSNorm, its gain folded away, sees lengths only: whatever keeps them passes, and nothing else.
static_assert(cm::preserves_function<llama, single::residual_stream<cm::block_hadamard>>);
static_assert(cm::preserves_function<llama, single::residual_stream<cm::permutation>>);
static_assert(!cm::preserves_function<llama, single::residual_stream<cm::dense>>);
static_assert(!cm::preserves_function<llama, single::residual_stream<cm::channel_scale>>);

// In front of down_proj, where the transform runs online, any invertible matrix.
static_assert(cm::preserves_function<llama, single::down_input<cm::dense>>);
static_assert(cm::preserves_function<llama, single::down_input<cm::orthogonal>>);
static_assert(cm::preserves_function<llama, single::down_input<cm::channel_scale>>);
static_assert(cm::preserves_function<llama, single::down_input<cm::permutation>>);
