// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <commutant/kernels/isa.hpp>

namespace commutant::bench {

/// One level of instruction sets, the same for both sides of every contest.
///
/// The libraries read their limits once, from the environment, so each tier is a process of its own.
struct tier {
    std::string name;  ///< COMMUTANT_MAX_ISA's word
    kernels::isa level;
    std::vector<std::pair<std::string, std::string>> environment;
};

/// Tiers that this processor has, best first; never empty.
[[nodiscard]] std::vector<tier> tiers_here();

/// The environment of a tier on a number of threads, on top of this process's own.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> environment_of(tier const& t, int n_threads);

/// Runs this program again with arguments and environment, and waits for it; its exit status, 128 + signal if killed.
[[nodiscard]] int run_again(std::vector<std::string> const& arguments,
                            std::vector<std::pair<std::string, std::string>> const& environment);

}  // namespace commutant::bench
