// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// expect: merge_up_down_in_place: give a transform that passes the gate product
#include <commutant/merge/merge.hpp>
#include <commutant/transforms/channel_scale.hpp>

namespace cm = commutant;
using weights = cm::eigen_matrix<double>;

#ifdef COMMUTANT_REFUSE
using inner_map = cm::dense_map<weights>;
#else
using inner_map = cm::diagonal<cm::channel_scale, weights>;
#endif

void merge(inner_map const& t, cm::linear<weights>& gate, cm::linear<weights>& up,
           cm::linear<weights>& down) {
    cm::merge_up_down_in_place(t, gate, up, down);
}
