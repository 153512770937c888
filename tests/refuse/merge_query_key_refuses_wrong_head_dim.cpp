// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// expect: merge_query_key_in_place: give the transforms and the heads the same head_dim
#include <commutant/merge/merge.hpp>
#include <commutant/recipes/fptquant.hpp>

namespace cm = commutant;
using weights = cm::eigen_matrix<double>;
using key_map = cm::fixed<64, cm::pairwise<cm::scaled_rotation, weights>>;

#ifdef COMMUTANT_REFUSE
using head_geometry = cm::fixed_heads<128>;
#else
using head_geometry = cm::fixed_heads<64>;
#endif

void merge(std::vector<key_map> const& of_kv_head, cm::linear<weights>& q_proj, cm::linear<weights>& k_proj) {
    cm::merge_query_key_in_place(of_kv_head, head_geometry(8, 2), q_proj, k_proj);
}
