// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include <commutant/proofs/preserves_function.hpp>
#include <commutant/recipes/fptquant.hpp>
#include <commutant/transforms/permutation.hpp>

// What the planted mistakes share. Each file of this folder writes one merge with the choice that can go
// wrong left open, proves it with the right choice, and refutes it with the wrong ones.

namespace mistakes {

namespace cm = commutant;
using cm::field_matrix;
using source = cm::parameter_source<cm::prime_field>;

/// Transforms of kind K on head_dim features, one for each kv head.
template <class K>
[[nodiscard]] constexpr auto one_for_each_kv_head(cm::model_config const& c, source& parameters) {
    std::vector<cm::value_of<K, field_matrix>> r;
    for (std::size_t g = 0; g < c.n_kv_heads; ++g)
        r.push_back(
            cm::make_transform<K, field_matrix>(parameters, {c.head_dim, c.rotary_dim, c.rope_pairing}));
    return r;
}

/// For merges that take one transform for all blocks.
template <class T> [[nodiscard]] constexpr auto for_all_blocks(T const& t) {
    return [&t](std::size_t) -> T const& { return t; };
}

/// The weights of a linear changed, its bias left as it was.
template <class F> constexpr void forgetting_the_bias(cm::linear<field_matrix>& l, F merge) {
    field_matrix const bias = l.bias;
    merge();
    l.bias = bias;
}

}  // namespace mistakes
