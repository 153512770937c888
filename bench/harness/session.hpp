// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "harness/contest.hpp"
#include "harness/tier.hpp"
#include "kernels/kernel_build.hpp"

namespace commutant::bench {

/// What one process measures: one tier on one number of threads.
struct session {
    std::string tier;
    kernels::isa level = kernels::isa::scalar;
    bool is_reference =
        false;  ///< the best tier without AMX: rows that AMX does not change are measured here alone
    int n_threads = 1;
    bool quick = false;
    std::vector<named_build> builds;

    /// Builds that enter contests here: all on one thread of the reference tier, elsewhere the first.
    [[nodiscard]] std::vector<named_build> entered_builds() const {
        if (is_reference && n_threads == 1) return builds;
        return {builds.front()};
    }
    [[nodiscard]] effort how() const {
        effort e;
        e.seconds_per_contest = quick ? 0.3 : 1.0;
        e.min_rounds = quick ? 3 : 5;
        e.processor_time = n_threads == 1;
        return e;
    }
};

// The rows of the table of targets, one file each; a session without a row gets no contests from it.
void add_peaks(std::vector<contest>& to, session const& s);
void add_gemm(std::vector<contest>& to, session const& s);
void add_memory_bound_gemm(std::vector<contest>& to, session const& s);
void add_small_gemm(std::vector<contest>& to, session const& s);
void add_hadamard(std::vector<contest>& to, session const& s);
void add_transfers(std::vector<contest>& to, session const& s);
void add_block(std::vector<contest>& to, session const& s);

/// Ratios of this library's other builds to "commutant", each with the suffix, as metric "dispatch.<row>".
void judge_dispatch(contest_result const& r, std::string const& row, std::string const& suffix,
                    measures& into);

}  // namespace commutant::bench
