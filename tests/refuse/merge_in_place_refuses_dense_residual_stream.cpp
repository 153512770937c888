// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// expect: merge_in_place: at residual_stream give an orthogonal transform
#include <commutant/merge/merge.hpp>
#include <commutant/recipes/fptquant.hpp>

namespace cm = commutant;
using weights = cm::eigen_matrix<double>;

#ifdef COMMUTANT_REFUSE
using rotation = cm::dense;
#else
using rotation = cm::orthogonal;
#endif
using my_plan = cm::plan<cm::at<cm::sites::residual_stream, rotation>>;

void merge(cm::plan_transforms<my_plan, weights> const& t, cm::decoder<weights>& m) {
    (void)cm::merge_in_place(t, m);
}
