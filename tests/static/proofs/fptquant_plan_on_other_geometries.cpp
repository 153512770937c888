// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <cstddef>

#include <commutant/proofs/preserves_function.hpp>
#include <commutant/recipes/fptquant.hpp>

namespace cm = commutant;

// Geometries beside the smallest generic one: each gives an index or a branch of the merge something else to
// do.
template <std::size_t NLayers, std::size_t NKvHeads, bool TiedHead> struct small_llama {
    static constexpr cm::model_config geometry = [] {
        cm::model_config c = cm::families::mistral::geometry;
        c.n_layers = NLayers;
        c.n_kv_heads = NKvHeads;
        c.tied_head = TiedHead;
        return c;
    }();
};

// Two blocks, each with transforms of its own.
static_assert(cm::preserves_function<small_llama<2, 2, false>, cm::fptquant_plan>);
// Embedding and head share their weights until the merge.
static_assert(cm::preserves_function<small_llama<1, 2, true>, cm::fptquant_plan>);
// As many kv heads as query heads, and one for all.
static_assert(cm::preserves_function<small_llama<1, 4, false>, cm::fptquant_plan>);
static_assert(cm::preserves_function<small_llama<1, 1, false>, cm::fptquant_plan>);
