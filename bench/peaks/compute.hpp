// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "harness/contest.hpp"

namespace commutant::bench {

/// Loops of nothing but one arithmetic instruction on registers, for every instruction that this tier has.
///
/// Names     "peak fp32", "peak bf16", "peak int8" (the fastest dot product of bytes that the tier has), and
///           "peak <instruction>" for each of them and the slower ones
/// Units     operations: one multiplication and one addition count two
[[nodiscard]] std::vector<contestant> compute_peaks(int n_threads);

/// The one of them called "peak int8", "peak bf16" or "peak fp32"; empty where the tier has none.
[[nodiscard]] std::vector<contestant> compute_peak(std::string const& name, int n_threads);

/// A chain of dependent additions, one cycle each: operations are cycles.
[[nodiscard]] contestant cycle_counter();

}  // namespace commutant::bench
