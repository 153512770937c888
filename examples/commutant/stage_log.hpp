// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "output.hpp"

namespace program {

/// Wall time and peak memory of the stages of a run.
///
/// Stages follow one another; one that comes again adds to its time.
/// Note      where the kernel cannot reset a process's peak, a stage's is the highest up to its end
class stage_log {
public:
    /// Ends the stage before, if there is one.
    void begin(std::string const& name);
    void end();

    /// Since the log was made.
    [[nodiscard]] double seconds() const;
    /// Highest of all stages that have ended.
    [[nodiscard]] std::size_t peak_rss_bytes() const;
    /// A list of `name`, `seconds`, `peak_rss_bytes`, in the order of their first beginnings.
    [[nodiscard]] json numbers() const;

private:
    using clock = std::chrono::steady_clock;
    struct stage {
        std::string name{};
        double seconds = 0;
        std::size_t peak_rss_bytes = 0;
    };
    static constexpr std::size_t none = static_cast<std::size_t>(-1);

    std::vector<stage> stages_{};
    std::size_t current_ = none;
    clock::time_point start_ = clock::now(), begin_{};
};

}  // namespace program
