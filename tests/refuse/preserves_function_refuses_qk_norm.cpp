// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// expect: preserves_function
#include <commutant/proofs/preserves_function.hpp>
#include <commutant/recipes/fptquant.hpp>

namespace cm = commutant;

// Scaled rotations pass RoPE, but not the RMSNorm that Qwen3 has in front of it.
#ifdef COMMUTANT_REFUSE
using family = cm::families::qwen3;
#else
using family = cm::families::qwen2;
#endif

static_assert(cm::preserves_function<family, cm::plan<cm::at<cm::sites::query_key, cm::scaled_rotation>>>);
