// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

#include <commutant/proofs/preserves_function.hpp>
#include <commutant/recipes/fptquant.hpp>

namespace cm = commutant;

// All six transforms at once, through the merge that programs run.
static_assert(cm::preserves_function<cm::families::llama, cm::fptquant_plan>);
static_assert(cm::preserves_function<cm::families::llama_interleaved, cm::fptquant_plan>);
// RMSNorm between projection and RoPE: scaled rotations do not pass.
static_assert(!cm::preserves_function<cm::families::qwen3, cm::fptquant_plan>);
