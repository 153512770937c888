// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include <commutant/merge/linear_sides.hpp>
#include <commutant/model/decoder.hpp>
#include <commutant/transforms/permutation.hpp>

namespace commutant {

/// The order of a head's features that turns one pairing into the other; features without position stay.
///
/// Shape     result acts on head_dim features: y in the pairing `to` from x in the other
[[nodiscard]] inline permutation_map pairing_change(pairing to, std::size_t head_dim,
                                                    std::size_t rotary_dim) {
    std::vector<std::size_t> order(head_dim);
    for (std::size_t j = 0; j < head_dim; ++j) order[j] = j;
    for (std::size_t i = 0; i < rotary_dim / 2; ++i) order[i] = 2 * i, order[i + rotary_dim / 2] = 2 * i + 1;
    permutation_map const to_half_split(std::move(order));
    return to == pairing::half_split ? to_half_split : inverse(to_half_split);
}

/// Moves the rows of q_proj and k_proj, their biases and the q/k gains, so that RoPE pairs features the other way. The
/// function stays the same: llama2.c pairs neighbours, Hugging Face the two halves.
template <class M, class L, class D> void change_pairing_in_place(decoder<M, L, D>& m, pairing to) {
    model_config& c = m.config;
    if (c.rope_pairing == to) return;
    permutation_map const change = pairing_change(to, c.head_dim, c.rotary_dim);
    auto const same = [&](std::size_t) -> permutation_map const& { return change; };
    for (auto& l : m.layers) {
        merge_output_side(l.q_proj, c.head_dim, same);
        merge_output_side(l.k_proj, c.head_dim, same);
        for (M* gain : {&l.q_norm, &l.k_norm})
            if (gain->rows() != 0) *gain = apply(change, *gain);
    }
    c.rope_pairing = to;
}

}  // namespace commutant
