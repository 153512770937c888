// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// expect: merge_value_output_in_place: give the transforms and the heads the same head_dim
#include <commutant/merge/merge.hpp>

namespace cm = commutant;
using weights = cm::eigen_matrix<float>;
using value_map = cm::fixed<64, cm::dense_map<weights>>;

#ifdef COMMUTANT_REFUSE
using head_geometry = cm::fixed_heads<96>;
#else
using head_geometry = cm::fixed_heads<64>;
#endif

void merge(std::vector<value_map> const& of_kv_head, cm::linear<weights>& v_proj,
           cm::linear<weights>& o_proj) {
    cm::merge_value_output_in_place(of_kv_head, head_geometry(8, 2), v_proj, o_proj);
}
