// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// expect: merge_query_key_in_place: give a transform that commutes with RoPE
#include <commutant/merge/merge.hpp>
#include <commutant/recipes/fptquant.hpp>

namespace cm = commutant;
using weights = cm::eigen_matrix<double>;

#ifdef COMMUTANT_REFUSE
using value_type = cm::dense_map<weights>;
#else
using value_type = cm::pairwise<cm::scaled_rotation, weights>;
#endif

void merge(std::vector<value_type> const& of_kv_head, cm::linear<weights>& q_proj,
           cm::linear<weights>& k_proj) {
    cm::merge_query_key_in_place(of_kv_head, cm::heads{8, 2, 64}, q_proj, k_proj);
}
