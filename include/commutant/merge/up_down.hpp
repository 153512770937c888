// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>

#include <commutant/merge/linear_sides.hpp>
#include <commutant/transforms/permutation.hpp>

namespace commutant {

/// T_u into up_proj, rows and bias, and its inverse into the columns of down_proj. A permutation moves gate_proj's
/// rows too; a scale must not touch them.
///
/// Shape     t: on ffn_dim features
template <class W, class T>
constexpr void fold_up_down(T const& t, linear<W>& gate_proj, linear<W>& up_proj, linear<W>& down_proj) {
    auto const same = [&](std::size_t) -> T const& { return t; };
    if constexpr (std::is_same_v<T, permutation_map>) merge_output_side(gate_proj, dim(t), same);
    merge_output_side(up_proj, dim(t), same);
    merge_input_side(down_proj, dim(t), same);
}

}  // namespace commutant
