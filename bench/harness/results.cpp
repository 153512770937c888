// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "harness/results.hpp"

#include <sys/utsname.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <regex>
#include <stdexcept>
#include <thread>

#include "neighbours/neighbours.hpp"
#include "peaks/bandwidth.hpp"
#include "peaks/compute.hpp"

namespace commutant::bench {

using nlohmann::json;

void to_json(json& j, timing const& t) {
    j = {{"name", t.name},
         {"seconds", {{"median", t.median}, {"min", t.min}, {"max", t.max}}},
         {"rounds", t.rounds},
         {"calls_per_round", t.calls_per_round},
         {"operations", t.per_call.operations},
         {"bytes", t.per_call.bytes},
         {"elements", t.per_call.elements},
         {"error", t.error},
         {"tolerance", t.tolerance}};
}
void from_json(json const& j, timing& t) {
    j.at("name").get_to(t.name);
    json const& s = j.at("seconds");
    t.median = s.at("median"), t.min = s.at("min"), t.max = s.at("max");
    t.rounds = j.at("rounds"), t.calls_per_round = j.at("calls_per_round");
    t.per_call = {j.at("operations"), j.at("bytes"), j.at("elements")};
    t.error = j.at("error"), t.tolerance = j.at("tolerance");
}
void to_json(json& j, contest_result const& r) {
    j = {{"name", r.name},
         {"timings", r.timings},
         {"wrong", r.wrong},
         {"attempts", r.attempts},
         {"quiet", r.quiet}};
}
void from_json(json const& j, contest_result& r) {
    j.at("name").get_to(r.name), j.at("timings").get_to(r.timings), j.at("wrong").get_to(r.wrong);
    r.attempts = j.value("attempts", std::size_t{1}),
    r.quiet = j.value("quiet", 1.0);  // files before there were watches
}
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(measure, metric, where, value)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(measures, all)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(run_results, tier, is_reference, n_threads, neighbours, contests, figures,
                                   failure)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(report, machine, quick, runs)

namespace {

/// A rate in the unit that suits what was done.
std::string rate_of(timing const& t) {
    char text[96];
    if (t.per_call.elements > 0)
        std::snprintf(text, sizeof text, "%9.2f Gelem/s %7.1f GB/s", t.elements_per_second() / 1e9,
                      t.bytes_per_second() / 1e9);
    else if (t.per_call.operations > 0)
        std::snprintf(text, sizeof text, "%9.1f Gop/s", t.operations_per_second() / 1e9);
    else if (t.per_call.bytes > 0)
        std::snprintf(text, sizeof text, "%9.1f GB/s", t.bytes_per_second() / 1e9);
    else
        std::snprintf(text, sizeof text, "%9.3f ms", t.median * 1e3);
    return text;
}

void say(contest_result const& r) {
    std::printf("%s\n", r.name.c_str());
    for (timing const& t : r.timings)
        std::printf("    %-38s %s  %.3g .. %.3g ms, %zu x %zu\n", t.name.c_str(), rate_of(t).c_str(),
                    t.min * 1e3, t.max * 1e3, t.rounds, t.calls_per_round);
    for (std::string const& w : r.wrong) std::printf("    WRONG, not timed: %s\n", w.c_str());
    if (r.attempts > 1 || r.quiet < 1)
        std::printf("    held %zu times; others used this machine%s\n", r.attempts,
                    r.quiet < 1 ? (" in the one that counts, too: " + std::to_string(r.quiet)).c_str()
                                : ", not in the one that counts");
    std::fflush(stdout);
}

}  // namespace

run_results hold_all(session const& s, std::string const& filter,
                     std::function<void(run_results const&)> const& save) {
    run_results r;
    r.tier = s.tier, r.is_reference = s.is_reference, r.n_threads = s.n_threads;
    r.neighbours = neighbours_here();
    std::vector<contest> contests;
    for (auto* add :
         {add_peaks, add_gemm, add_memory_bound_gemm, add_small_gemm, add_block, add_hadamard, add_transfers})
        add(contests, s);
    std::regex const wanted(filter);
    std::erase_if(contests, [&](contest const& c) { return !std::regex_search(c.name, wanted); });

    std::optional<quiet_watch> processor, memory;
    std::size_t attempts_left = 80;
    effort how = s.how();
    for (char const* name : {"peak int8", "peak fp32"})
        if (auto loop = compute_peak(name, s.n_threads); !processor && !loop.empty())
            processor.emplace(std::move(loop[0]), 0.93, how.processor_time);
    // Two threads reading would be a contest of its own with what they measure.
    bool const any_uses_memory =
        std::any_of(contests.begin(), contests.end(), [](contest const& c) { return c.uses_memory; });
    if (s.n_threads == 1 && any_uses_memory) {
        rare_reading reading = make_rare_reading(std::size_t{8} << 20, sizes_of_memory().beyond_caches);
        memory.emplace(std::move(reading.read), 0.85, how.processor_time, std::move(reading.touch));
    }
    if (processor) how.processor = &*processor;
    if (memory) how.memory = &*memory;
    how.attempts_left = &attempts_left;

    for (contest const& c : contests) {
        r.contests.push_back(hold_and_judge(c, how, r.figures));
        say(r.contests.back());
        save(r);
    }
    return r;
}

std::vector<std::string> machine_here() {
    std::vector<std::string> r;
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);)
        if (line.starts_with("model name")) {
            r.push_back(line.substr(line.find(':') + 2));
            break;
        }
    memory_sizes const m = sizes_of_memory();
    auto const kib = [](std::size_t n) { return std::to_string(n >> 10) + " KiB"; };
    r.push_back(std::to_string(std::thread::hardware_concurrency()) + " processors, L1d " + kib(m.l1) +
                ", L2 " + kib(m.l2) + ", L3 " + kib(m.l3) + "; data from DRAM are rotated through " +
                std::to_string(m.beyond_caches >> 20) + " MiB for each contestant");
#if defined(__VERSION__)
    r.push_back(std::string("compiler ") + __VERSION__);
#endif
    return r;
}

void add_run(report& to, run_results run) {
    for (run_results& old : to.runs) {
        if (old.tier != run.tier || old.n_threads != run.n_threads) continue;
        auto const is_new = [&](std::string const& name) {
            return std::any_of(run.contests.begin(), run.contests.end(),
                               [&](contest_result const& c) { return c.name == name; });
        };
        // A figure's place begins with its contest's name.
        auto const is_of_new = [&](measure const& m) {
            return std::any_of(run.contests.begin(), run.contests.end(), [&](contest_result const& c) {
                return m.where == c.name || m.where.starts_with(c.name + " ");
            });
        };
        std::erase_if(old.contests, [&](contest_result const& c) { return is_new(c.name); });
        std::erase_if(old.figures.all, is_of_new);
        std::move(run.contests.begin(), run.contests.end(), std::back_inserter(old.contests));
        std::move(run.figures.all.begin(), run.figures.all.end(), std::back_inserter(old.figures.all));
        old.neighbours = run.neighbours, old.failure = run.failure;
        return;
    }
    to.runs.push_back(std::move(run));
}

void write_json(report const& r, std::filesystem::path const& file) {
    std::ofstream out(file);
    out << json(r).dump(1) << '\n';
    if (!out) throw std::runtime_error("bench: cannot write " + file.string());
}

report read_json(std::filesystem::path const& file) {
    std::ifstream in(file);
    if (!in) throw std::runtime_error("bench: cannot read " + file.string());
    return json::parse(in).get<report>();
}

}  // namespace commutant::bench
