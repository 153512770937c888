// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include <commutant/merge/linear_sides.hpp>
#include <commutant/operators/attention.hpp>

namespace commutant {

/// T_k into k_proj and its partner T_k^-T into q_proj, rows and biases.
///
/// Shape     of_kv_head: one transform on head_dim features for each kv head; query head h takes that of h / n_rep
template <class W, class T>
constexpr void fold_query_key(std::vector<T> const& of_kv_head, std::size_t n_rep, linear<W>& q_proj,
                              linear<W>& k_proj) {
    std::size_t const head_dim = dim(of_kv_head[0]);
    merge_output_side(k_proj, head_dim, [&](std::size_t g) -> T const& { return of_kv_head[g]; });
    merge_output_side(q_proj, head_dim,
                      [&](std::size_t h) { return inverse_transpose(of_kv_head[kv_head_of(h, n_rep)]); });
}

}  // namespace commutant
