// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "harness/contest.hpp"

namespace commutant::bench {

/// Sizes of this machine's memory levels, in bytes.
struct memory_sizes {
    std::size_t l1, l2, l3;
    std::size_t beyond_caches;  ///< data rotated through when it has to come from DRAM
};

/// As the system states them. beyond_caches is five times the L3, at least 1 GiB, at most a sixteenth of what is free.
[[nodiscard]] memory_sizes sizes_of_memory();

/// "read", "memcpy", "in place", "non-temporal copy" over n_bytes that are rotated through total_bytes.
///
/// Units     bytes: read plus written
[[nodiscard]] std::vector<contestant> bandwidth_peaks(std::string const& prefix, std::size_t n_bytes,
                                                      std::size_t total_bytes, int n_threads);

/// One of them.
[[nodiscard]] contestant bandwidth_peak(std::string const& kind, std::string const& name, std::size_t n_bytes,
                                        std::size_t total_bytes, int n_threads);

/// "read" over somebody else's memory: next() gives n_bytes for each call.
[[nodiscard]] contestant read_peak(std::string name, std::function<std::byte const*()> next,
                                   std::size_t n_bytes, int n_threads);

/// A loop over blocks of memory that are used rarely, and what makes the next one's pages known to the processor again. A
/// page that was left alone for minutes costs microseconds first where a host has taken it away or forgotten where it is, which
/// says nothing about what others do with the memory.
struct rare_reading {
    runner touch;  ///< goes to the next block: one line of each page
    contestant read;
};
[[nodiscard]] rare_reading make_rare_reading(std::size_t n_bytes, std::size_t total_bytes);

}  // namespace commutant::bench
