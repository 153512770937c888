// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "harness/contest.hpp"

#include <algorithm>
#include <cmath>
#include <ctime>

namespace commutant::bench {

timing const* contest_result::find(std::string_view contestant_name) const {
    for (timing const& t : timings)
        if (t.name == contestant_name) return &t;
    return nullptr;
}

timing const* contest_result::best(std::string_view prefix) const {
    timing const* r = nullptr;
    for (timing const& t : timings)
        if (t.name.starts_with(prefix) && (r == nullptr || t.median < r->median)) r = &t;
    return r;
}

namespace {

double now(effort const& how) {
    timespec t{};
    clock_gettime(how.processor_time ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

double seconds_of(contestant const& c, std::size_t calls, effort const& how) {
    double const start = now(how);
    for (std::size_t i = 0; i < calls; ++i) c.run();
    return now(how) - start;
}

/// Calls that fill a round.
std::size_t calibrated_calls(contestant const& c, effort const& how) {
    for (std::size_t calls = 1;;) {
        double const s = seconds_of(c, calls, how);
        if (s >= how.seconds_per_round || calls >= (std::size_t{1} << 24)) return calls;
        double const wanted = 1.2 * how.seconds_per_round / std::max(s, 1e-7);
        calls = std::max(calls * 2,
                         static_cast<std::size_t>(static_cast<double>(calls) * std::min(wanted, 64.0)));
    }
}

double median_of(std::vector<double> sorted) {
    std::sort(sorted.begin(), sorted.end());
    std::size_t const n = sorted.size();
    return n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

timing summarised(contestant const& c, std::size_t calls, double error, std::vector<double> const& seconds) {
    auto const [least, most] = std::minmax_element(seconds.begin(), seconds.end());
    return {c.name, c.per_call, median_of(seconds), *least, *most, seconds.size(), calls, error, c.tolerance};
}

}  // namespace

quiet_watch::quiet_watch(contestant loop, double enough, bool processor_time, runner before)
    : loop_(std::move(loop)), enough_(enough), processor_time_(processor_time), before_(std::move(before)) {
    for (int i = 0; i < 50; ++i) rate();
}

double quiet_watch::rate() {
    constexpr double least_seconds = 2e-4;
    effort how;
    how.processor_time = processor_time_;
    std::size_t calls = 0;
    double seconds = 0;
    for (; seconds < least_seconds; ++calls) {
        if (before_) before_();
        seconds += seconds_of(loop_, 1, how);
    }
    double const rate = static_cast<double>(calls) / seconds;
    best_ = std::max(best_, rate);
    return rate;
}

contest_result hold(contest const& what, effort const& how) {
    contest_result result{what.name, {}, {}};
    std::vector<contestant> entered = what.prepare();

    std::vector<double> errors, first_seconds;
    std::vector<contestant> running;
    for (contestant& c : entered) {
        double const first = seconds_of(c, 1, how);
        double const error = c.error ? c.error() : 0.0;
        if (!(error <= c.tolerance)) {
            result.wrong.push_back(c.name + ": deviation " + std::to_string(error) + ", at most " +
                                   std::to_string(c.tolerance));
            continue;
        }
        errors.push_back(error);
        first_seconds.push_back(first);
        running.push_back(std::move(c));
    }

    std::vector<std::size_t> calls;
    double round_seconds = 0;
    for (std::size_t c = 0; c < running.size(); ++c) {
        // What takes long is warm after its first call.
        bool const is_long = first_seconds[c] > 50 * how.seconds_per_round;
        calls.push_back(is_long ? 1 : calibrated_calls(running[c], how));
        round_seconds += is_long ? first_seconds[c] : seconds_of(running[c], calls.back(), how);
    }
    if (running.empty()) return result;
    auto const affordable = static_cast<std::size_t>(how.seconds_per_contest / std::max(round_seconds, 1e-6));
    std::size_t const least = round_seconds > 5 * how.seconds_per_contest
                                  ? std::min<std::size_t>(3, how.min_rounds)
                                  : how.min_rounds;
    std::size_t const rounds = std::clamp(affordable, least, how.max_rounds);

    std::vector<quiet_watch*> watches;
    if (how.processor != nullptr) watches.push_back(how.processor);
    if (how.memory != nullptr && what.uses_memory) watches.push_back(how.memory);
    std::vector<std::vector<double>> kept;
    std::size_t const max_attempts =
        round_seconds * static_cast<double>(rounds) > how.longest_repeated ? 1 : how.max_attempts;
    for (result.attempts = 1;; ++result.attempts) {
        // Each round begins with another contestant, so that none always follows the same one.
        std::vector<std::vector<double>> seconds(running.size()), rates(watches.size());
        for (std::size_t round = 0; round < rounds; ++round) {
            for (std::size_t w = 0; w < watches.size(); ++w) rates[w].push_back(watches[w]->rate());
            for (std::size_t i = 0; i < running.size(); ++i) {
                std::size_t const c = (i + round) % running.size();
                seconds[c].push_back(seconds_of(running[c], calls[c], how) / static_cast<double>(calls[c]));
            }
        }
        double quiet = 1;
        for (std::size_t w = 0; w < watches.size(); ++w)
            quiet = std::min(quiet, watches[w]->quietness(median_of(std::move(rates[w]))));
        if (kept.empty() || quiet > result.quiet) result.quiet = quiet, kept = std::move(seconds);
        if (result.quiet >= 1 || result.attempts == max_attempts) break;
        if (how.attempts_left == nullptr || *how.attempts_left == 0) break;
        --*how.attempts_left;
    }
    for (std::size_t c = 0; c < running.size(); ++c)
        result.timings.push_back(summarised(running[c], calls[c], errors[c], std::move(kept[c])));
    return result;
}

contest_result hold_and_judge(contest const& what, effort const& how, measures& into) {
    contest_result result = hold(what, how);
    if (what.judge) what.judge(result, into);
    return result;
}

}  // namespace commutant::bench
