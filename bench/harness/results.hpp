// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "harness/session.hpp"

namespace commutant::bench {

/// What one process measured.
struct run_results {
    std::string tier;
    bool is_reference = false;
    int n_threads = 1;
    std::vector<std::string> neighbours;
    std::vector<contest_result> contests;
    measures figures;
    std::string failure;  ///< of the process; empty: none
};

/// Holds all contests of a session whose names match, says each as it ends, and hands over what there is so far.
[[nodiscard]] run_results hold_all(session const& s, std::string const& filter,
                                   std::function<void(run_results const&)> const& save);

/// The machine, for reports: processor, caches, memory.
[[nodiscard]] std::vector<std::string> machine_here();

// JSON: {"machine": [..], "quick": .., "runs": [{"tier", "threads", "contests": [..], "figures": [..]}, ..]}
struct report {
    std::vector<std::string> machine;
    bool quick = false;
    std::vector<run_results> runs;
};
/// Puts a run among others: its contests take the place of those of the same name, tier and number of threads.
void add_run(report& to, run_results run);
void write_json(report const& r, std::filesystem::path const& file);
[[nodiscard]] report read_json(std::filesystem::path const& file);

}  // namespace commutant::bench
