// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#if defined(__linux__)
#include <sys/prctl.h>
#endif

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <sstream>
#include <stdexcept>

#include "bodies/bodies.hpp"
#include "harness/plot.hpp"
#include "harness/results.hpp"
#include "harness/summary.hpp"
#include "harness/tier.hpp"

namespace commutant::bench {
namespace {

constexpr char const* help =
    R"(commutant_bench: kernels side by side with their neighbours, and against what the machine can do

  --quick             few shapes and rounds, about two minutes
  --filter=REGEX      contests whose names match
  --tiers=A,B         amx, avx512_vnni, avx_vnni, avx2; default: all that are here
  --threads=1,2       default: both
  --out=DIR           results.json, results.svg, results.md; default: the current directory
  --add               keeps what results.json holds of contests that are not held now
  --summary           no measuring: the summary of DIR/results.json
  --page=FILE         also replaces the tables of a page and the picture beside it
  --bodies            Google Benchmark on every body of every kernel; takes its --benchmark_... options
)";

struct options {
    bool quick = false, add = false, summary_only = false, bodies = false;
    std::string filter, run, tiers, threads = "1,2", page;
    std::filesystem::path out = ".";
    std::filesystem::path to;
};

std::vector<std::string> split(std::string const& list) {
    std::vector<std::string> r;
    std::istringstream in(list);
    for (std::string word; std::getline(in, word, ',');) r.push_back(word);
    return r;
}

options parsed(int argc, char** argv) {
    options o;
    for (int i = 1; i < argc; ++i) {
        std::string const a = argv[i];
        auto const value = [&](std::string const& name, auto& into) {
            bool const matches = a.starts_with(name + "=");
            if (matches) into = a.substr(name.size() + 1);
            return matches;
        };
        if (a == "--quick") {
            o.quick = true;
        } else if (a == "--add") {
            o.add = true;
        } else if (a == "--summary") {
            o.summary_only = true;
        } else if (a == "--bodies") {
            o.bodies = true;
        } else if (a == "--help") {
            std::fputs(help, stdout);
            std::exit(0);
        } else if (!value("--filter", o.filter) && !value("--tiers", o.tiers) &&
                   !value("--threads", o.threads) && !value("--out", o.out) && !value("--page", o.page) &&
                   !value("--run", o.run) && !value("--to", o.to) && !a.starts_with("--benchmark_")) {
            throw std::invalid_argument("commutant_bench: unknown option " + a + "; --help lists them");
        }
    }
    return o;
}

session session_of(std::string const& tier_name, int n_threads, bool quick) {
    std::vector<tier> const all = tiers_here();
    session s;
    for (tier const& t : all)
        if (t.name == tier_name) s.tier = t.name, s.level = t.level;
    if (s.tier.empty()) throw std::invalid_argument("commutant_bench: this machine has no tier " + tier_name);
    for (tier const& t : all)
        if (t.level != kernels::isa::amx) {
            s.is_reference = t.name == tier_name;
            break;
        }
    s.n_threads = n_threads;
    s.quick = quick;
    s.builds = load_kernel_builds();
    return s;
}

/// A process of its own for each tier and number of threads.
report measured(options const& o) {
    report r{machine_here(), o.quick, {}};
    if (o.add && std::filesystem::exists(o.out / "results.json")) {
        r = read_json(o.out / "results.json");
        r.quick = r.quick || o.quick;
    }
    for (tier const& t : tiers_here()) {
        std::vector<std::string> const wanted = split(o.tiers);
        if (!wanted.empty() && std::find(wanted.begin(), wanted.end(), t.name) == wanted.end()) continue;
        for (std::string const& threads : split(o.threads)) {
            std::printf("\n== %s, threads %s\n", t.name.c_str(), threads.c_str());
            std::fflush(stdout);
            std::filesystem::path const part = o.out / ("part." + t.name + "." + threads + ".json");
            std::filesystem::remove(part);
            std::vector<std::string> arguments{"--run=" + t.name, "--threads=" + threads,
                                               "--to=" + part.string(), "--filter=" + o.filter};
            if (o.quick) arguments.push_back("--quick");
            int const status = run_again(arguments, environment_of(t, std::atoi(threads.c_str())));
            run_results run;
            run.tier = t.name, run.n_threads = std::atoi(threads.c_str());
            if (std::filesystem::exists(part)) run = read_json(part).runs.at(0);
            if (status != 0) run.failure = "the process ended with status " + std::to_string(status);
            add_run(r, std::move(run));
            std::filesystem::remove(part);
        }
    }
    return r;
}

int run(int argc, char** argv) {
    options const o = parsed(argc, argv);
    if (o.bodies) return run_bodies(argc, argv);
    if (!o.run.empty()) {
#if defined(__linux__)
        prctl(PR_SET_PDEATHSIG, SIGTERM);  // ends with the process that started it
#endif
        session const s = session_of(o.run, std::atoi(o.threads.c_str()), o.quick);
        auto const save = [&](run_results const& so_far) { write_json({{}, o.quick, {so_far}}, o.to); };
        save(hold_all(s, o.filter, save));
        return 0;
    }
    std::filesystem::create_directories(o.out);
    std::filesystem::path const file = o.out / "results.json";
    if (!o.summary_only) write_json(measured(o), file);
    report const r = read_json(file);
    write_plot(r, o.out / "results.svg");
    write_text(summary_markdown(r, detail_level::all), o.out / "results.md");
    if (!o.page.empty()) {
        update_page(o.page, summary_markdown(r, detail_level::page));
        write_plot(r, std::filesystem::path(o.page).replace_extension("svg"));
    }
    std::fputs(summary_text(r).c_str(), stdout);
    std::printf("%s, results.svg, results.md\n", file.c_str());
    return all_passed(r) ? 0 : 1;
}

}  // namespace
}  // namespace commutant::bench

int main(int argc, char** argv) try {
    return commutant::bench::run(argc, argv);
} catch (std::exception const& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
}
