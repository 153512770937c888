// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "harness/results.hpp"

namespace commutant::bench {

/// What a figure has to reach.
struct target {
    enum class sense { at_least, at_most };
    /// How the figures of a row's points become one.
    enum class aggregate { worst, share_at_least_one, geometric_mean };
    /// Where it is judged.
    enum class place { reference, reference_and_amx, avx2 };

    std::string row;     ///< heading in the summary
    std::string metric;  ///< the measures it is about; a trailing * stands for any ending
    std::string what;
    double bound;
    sense direction = sense::at_least;
    aggregate over = aggregate::worst;
    place where = place::reference;
    int n_threads = 1;
};

/// The table of targets.
[[nodiscard]] std::vector<target> const& targets();

/// A target judged in one run.
struct verdict {
    target const* what = nullptr;
    std::string tier;
    std::size_t n_points = 0;  ///< 0: not measured
    double value = 0;
    double median = 0;
    std::string where;  ///< the point of the worst figure
    bool passed = false;
};

/// All targets in all runs that they apply to, in the order of the table.
[[nodiscard]] std::vector<verdict> judged(report const& r);

}  // namespace commutant::bench
