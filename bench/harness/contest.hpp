// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace commutant::bench {

/// What is timed: one call on data that was made before.
using runner = std::function<void()>;

/// What one call does, for rates.
struct work {
    double operations = 0;  ///< multiplications and additions, or cycles for the cycle counter
    double bytes = 0;       ///< read and written
    double elements = 0;
};

/// One that runs in a contest: ours, a neighbour, or a peak.
struct contestant {
    std::string name;
    work per_call;
    runner run;
    /// Deviation of the last call's result from the plain reference; not given for peaks.
    std::function<double()> error = nullptr;
    double tolerance = 0;
};

/// Several bodies of work timed side by side. The data are made when it is its turn and freed after it.
struct contest {
    std::string name;
    std::function<std::vector<contestant>()> prepare;
    /// Turns times into the figures that targets are about.
    std::function<void(struct contest_result const&, struct measures&)> judge;
    bool uses_memory = false;  ///< data come from DRAM, or pass a cache that others use too
};

/// Seconds a call took, over the rounds.
struct timing {
    std::string name;
    work per_call;
    double median = 0, min = 0, max = 0;
    std::size_t rounds = 0, calls_per_round = 0;
    double error = 0, tolerance = 0;

    [[nodiscard]] double operations_per_second() const { return per_call.operations / median; }
    [[nodiscard]] double bytes_per_second() const { return per_call.bytes / median; }
    [[nodiscard]] double elements_per_second() const { return per_call.elements / median; }
};

struct contest_result {
    std::string name;
    std::vector<timing> timings;
    std::vector<std::string> wrong;  ///< contestants whose result was not the reference's; they are not timed
    std::size_t attempts = 1;        ///< times it was held, see quiet_watch
    double quiet = 1;  ///< least of the watches meanwhile, 1: enough, see quiet_watch::quietness

    /// Null when it did not run here.
    [[nodiscard]] timing const* find(std::string_view contestant_name) const;
    /// The shortest median among contestants whose names begin so; null when there is none.
    [[nodiscard]] timing const* best(std::string_view prefix) const;
};

/// One figure that a target bounds.
struct measure {
    std::string metric;  ///< a target's metric
    std::string where;   ///< the contest's name, and what else tells figures apart
    double value;
};

struct measures {
    std::vector<measure> all;

    void add(std::string metric, std::string where, double value) {
        all.push_back({std::move(metric), std::move(where), value});
    }
    /// Seconds of theirs over seconds of ours, when both ran.
    void add_ratio(std::string metric, std::string where, timing const* theirs, timing const* ours) {
        if (theirs != nullptr && ours != nullptr)
            add(std::move(metric), std::move(where), theirs->median / ours->median);
    }
};

/// Tells whether others slow this machine down: how fast a loop runs that only its clock and a core's other thread
/// change, or only what else the memory is used for. By the clock, for several threads, also other processes and waking up.
class quiet_watch {
public:
    /// enough: the part of the loop's best rate that counts as quiet; processor_time: as effort has it; before: runs in front
    /// of each call of the loop and is not timed
    quiet_watch(contestant loop, double enough, bool processor_time, runner before = {});
    /// Calls of the loop a second, now.
    double rate();
    /// A rate of the best there has been so far, of what is enough.
    [[nodiscard]] double quietness(double rate) const { return rate / best_ / enough_; }

private:
    contestant loop_;
    double enough_;
    bool processor_time_;
    runner before_;
    double best_ = 0;
};

/// How long to measure.
struct effort {
    double seconds_per_contest = 1.0;
    double seconds_per_round = 2e-3;  ///< a contestant repeats its call until a round takes so long
    std::size_t min_rounds = 5, max_rounds = 101;
    bool processor_time =
        true;  ///< of the calling thread, which a busy machine disturbs less; for one thread only
    // A contest is held again while a watch's median rate is not enough; the attempt in which it was quietest counts.
    quiet_watch* processor = nullptr;      ///< asked in every round
    quiet_watch* memory = nullptr;         ///< of a contest that uses it
    std::size_t max_attempts = 3;          ///< of one contest
    double longest_repeated = 60;          ///< seconds of one attempt; a contest that takes more is held once
    std::size_t* attempts_left = nullptr;  ///< of a process, or a busy machine would take it hours
};

/// Runs a contest: every contestant once for its result and to warm up, then rounds in which each has a turn.
///
/// A contestant whose result is wrong is named in the result and not timed.
[[nodiscard]] contest_result hold(contest const& what, effort const& how);

/// Holds it and judges it.
contest_result hold_and_judge(contest const& what, effort const& how, measures& into);

}  // namespace commutant::bench
