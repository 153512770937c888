// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "harness/summary.hpp"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace commutant::bench {
namespace {

[[gnu::format(printf, 1, 2)]] std::string formatted(char const* format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    std::vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return text;
}

char const* status(verdict const& v) { return v.n_points == 0 ? "not measured" : v.passed ? "pass" : "MISS"; }

std::string bound_text(target const& t) {
    return formatted("%s %g", t.direction == target::sense::at_least ? ">=" : "<=", t.bound);
}

std::string value_text(verdict const& v) { return v.n_points == 0 ? "-" : formatted("%.3g", v.value); }

/// Points of a row, with the worst one's name where the figure is about one point.
std::string points_text(verdict const& v) {
    if (v.n_points == 0) return "";
    if (v.n_points == 1) return v.where;
    return formatted("%zu points, median %.3g, worst at %s", v.n_points, v.median, v.where.c_str());
}

std::vector<std::string> failures(report const& r) {
    std::vector<std::string> all;
    for (run_results const& run : r.runs) {
        std::string const who = formatted("%s, threads %d: ", run.tier.c_str(), run.n_threads);
        if (!run.failure.empty()) all.push_back(who + run.failure);
        for (contest_result const& c : run.contests)
            for (std::string const& w : c.wrong) all.push_back(who + c.name + ": wrong result, " + w);
    }
    return all;
}

/// One table: contests of a row as lines, contestants as columns.
std::string rates_table(run_results const& run, std::string const& row, std::string const& unit,
                        double (*rate)(timing const&), detail_level how_much) {
    auto const is_shown = [how_much](timing const& t) {
        return how_much == detail_level::all ||
               (!t.name.starts_with("commutant fixed") && !t.name.starts_with("commutant x86-64"));
    };
    std::vector<contest_result const*> lines;
    std::vector<std::string> columns;
    for (contest_result const& c : run.contests) {
        if (!c.name.starts_with(row + "/")) continue;
        lines.push_back(&c);
        for (timing const& t : c.timings)
            if (is_shown(t) && std::find(columns.begin(), columns.end(), t.name) == columns.end())
                columns.push_back(t.name);
    }
    if (lines.empty()) return "";
    std::string text = formatted("\n%s, tier %s, threads %d, %s:\n\n| |", row.c_str(), run.tier.c_str(),
                                 run.n_threads, unit.c_str());
    for (std::string const& c : columns) text += " " + c + " |";
    text += "\n|---|";
    for (std::size_t i = 0; i < columns.size(); ++i) text += "---|";
    text += "\n";
    for (contest_result const* line : lines) {
        text += "| " + line->name.substr(row.size() + 1) + " |";
        for (std::string const& c : columns) {
            timing const* const t = line->find(c);
            text += t == nullptr ? " - |" : formatted(" %.3g |", rate(*t));
        }
        text += "\n";
    }
    return text;
}

}  // namespace

std::string summary_text(report const& r) {
    std::string text, row;
    std::size_t passed = 0, missed = 0;
    for (verdict const& v : judged(r)) {
        if (v.what->row != row) text += "\n" + (row = v.what->row) + "\n";
        passed += v.n_points != 0 && v.passed ? 1 : 0, missed += v.n_points != 0 && !v.passed ? 1 : 0;
        text += formatted("  %-12s %8s %-8s %-58s %-12s %s\n", status(v), value_text(v).c_str(),
                          bound_text(*v.what).c_str(), v.what->what.c_str(), v.tier.c_str(),
                          points_text(v).c_str());
    }
    for (std::string const& f : failures(r)) text += "\nFAILED " + f;
    return text + formatted("\n%zu targets reached, %zu missed%s\n", passed, missed,
                            r.quick ? " (quick: few points and few rounds)" : "");
}

std::string summary_markdown(report const& r, detail_level how_much) {
    std::string text;
    for (std::string const& line : r.machine) text += "- " + line + "\n";
    if (!r.runs.empty())
        for (std::string const& line : r.runs.front().neighbours) text += "- " + line + "\n";
    text += "\n| row | figure | target | found | | tier | points |\n|---|---|---|---|---|---|---|\n";
    for (verdict const& v : judged(r))
        text += formatted("| %s | %s | %s | %s | %s | %s | %s |\n", v.what->row.c_str(), v.what->what.c_str(),
                          bound_text(*v.what).c_str(), value_text(v).c_str(), status(v), v.tier.c_str(),
                          points_text(v).c_str());

    auto const gops = [](timing const& t) { return t.operations_per_second() / 1e9; };
    auto const gbytes = [](timing const& t) { return t.bytes_per_second() / 1e9; };
    auto const gelements = [](timing const& t) { return t.elements_per_second() / 1e9; };
    auto const milliseconds = [](timing const& t) { return t.median * 1e3; };
    for (run_results const& run : r.runs) {
        text += formatted("\n### Tier %s, threads %d\n", run.tier.c_str(), run.n_threads);
        for (contest_result const& c : run.contests)
            if (c.name == "peaks/arithmetic") {
                text += "\nArithmetic, Gop/s:";
                for (timing const& t : c.timings) text += formatted(" %s %.4g;", t.name.c_str(), gops(t));
                text.back() = '\n';
            } else if (c.name.starts_with("peaks/")) {
                text += "\n" + c.name.substr(6) + ", GB/s:";
                for (timing const& t : c.timings) text += formatted(" %s %.3g;", t.name.c_str(), gbytes(t));
                text.back() = '\n';
            }
        auto const add = [&](char const* row, char const* unit, double (*rate)(timing const&)) {
            text += rates_table(run, row, unit, rate, how_much);
        };
        add("gemm", "Gop/s", gops);
        add("groups", "Gop/s", gops);
        add("dram16", "Gop/s", gops);
        add("dram", "Gop/s", gops);
        add("gemv", "GB/s of weights", gbytes);
        if (how_much == detail_level::all) add("small", "Gop/s", gops);
        add("block", "ms", milliseconds);
        add("decode", "ms", milliseconds);
        add("hadamard", "Gelem/s", gelements);
        add("quantize", "Gelem/s", gelements);
        add("convert", "GB/s", gbytes);
    }
    return text;
}

bool all_passed(report const& r) {
    if (!failures(r).empty()) return false;
    for (verdict const& v : judged(r))
        if (v.n_points != 0 && !v.passed) return false;
    return true;
}

void update_page(std::filesystem::path const& page, std::string const& text) {
    std::string old;
    {
        std::ifstream in(page);
        std::ostringstream all;
        all << in.rdbuf();
        old = all.str();
    }
    std::string const begin = "<!-- bench:begin -->\n", end = "<!-- bench:end -->";
    auto const from = old.find(begin), to = old.find(end);
    if (from == std::string::npos || to == std::string::npos || to < from)
        throw std::runtime_error("bench: " + page.string() + " has no place for the tables");
    std::ofstream out(page);
    out << old.substr(0, from + begin.size()) << text << old.substr(to);
}

}  // namespace commutant::bench
