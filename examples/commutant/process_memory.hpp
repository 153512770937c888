// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <malloc.h>
#include <sys/resource.h>

#include <cstddef>
#include <limits>

namespace program {

/// The most memory that this process has had at a time.
[[nodiscard]] inline std::size_t peak_rss_bytes() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return static_cast<std::size_t>(usage.ru_maxrss) * 1024;  // kilobytes on Linux
}

/// Every window and every step of training allocates the same large matrices again: giving their pages back in between took a
/// sixth of the time of training, and, where page faults are dear, nine tenths of that of evaluating a small model.
inline void keep_freed_memory() {
    ::mallopt(M_MMAP_THRESHOLD, 1 << 25);  // the largest that glibc takes
    ::mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
}

}  // namespace program
