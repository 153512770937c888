// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include <commutant/merge/linear_sides.hpp>
#include <commutant/operators/attention.hpp>

namespace commutant {

/// T_v into v_proj, rows and bias, and its inverse into the columns of o_proj, repeated over each group of query heads.
///
/// Shape     of_kv_head: one transform on head_dim features for each kv head
template <class W, class T>
constexpr void fold_value_output(std::vector<T> const& of_kv_head, std::size_t n_rep, linear<W>& v_proj,
                                 linear<W>& o_proj) {
    std::size_t const head_dim = dim(of_kv_head[0]);
    merge_output_side(v_proj, head_dim, [&](std::size_t g) -> T const& { return of_kv_head[g]; });
    merge_input_side(o_proj, head_dim,
                     [&](std::size_t h) -> T const& { return of_kv_head[kv_head_of(h, n_rep)]; });
}

}  // namespace commutant
