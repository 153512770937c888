// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "single_plans.hpp"

namespace cm = commutant;
using cm::families::llama;

// What a site's law admits beyond the kind that FPTQuant puts there, and what it does not.

// Between up_proj and down_proj: a permutation moves gate_proj's rows with up_proj's. Nothing that mixes
// channels.
static_assert(cm::preserves_function<llama, single::up_down<cm::permutation>>);
static_assert(!cm::preserves_function<llama, single::up_down<cm::dense>>);
static_assert(!cm::preserves_function<llama, single::up_down<cm::orthogonal>>);

// On values: every invertible matrix per kv head, so every special kind of one.
static_assert(cm::preserves_function<llama, single::value_output<cm::orthogonal>>);
static_assert(cm::preserves_function<llama, single::value_output<cm::channel_scale>>);
static_assert(cm::preserves_function<llama, single::value_output<cm::permutation>>);
static_assert(cm::preserves_function<llama, single::value_output<cm::block_hadamard>>);

// On keys: what commutes with RoPE, and no more.
static_assert(!cm::preserves_function<llama, single::query_key<cm::dense>>);
static_assert(!cm::preserves_function<llama, single::query_key<cm::orthogonal>>);
static_assert(!cm::preserves_function<llama, single::query_key<cm::channel_scale>>);
static_assert(!cm::preserves_function<llama, single::query_key<cm::permutation>>);
