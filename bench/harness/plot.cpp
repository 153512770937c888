// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "harness/plot.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <functional>
#include <stdexcept>
#include <utility>

#include "harness/targets.hpp"

namespace commutant::bench {
namespace {

// Colours that the colour-blind tell apart (Okabe and Ito).
constexpr char const* palette[] = {"#0072B2", "#56B4E9", "#E69F00", "#D55E00",
                                   "#009E73", "#CC79A7", "#8C8C8C", "#000000"};

/// The same for a contestant in every panel.
char const* colour_of(std::string const& name) {
    constexpr std::pair<char const*, std::size_t> known[] = {
        {"W4A4", 1},        {"commutant", 0}, {"fp32 oneDNN", 2}, {"bf16", 3},
        {"int8 oneDNN", 4}, {"OpenBLAS", 5},  {"peak", 7}};
    for (auto const& [part, i] : known)
        if (name.find(part) != std::string::npos) return palette[i];
    return palette[6];
}

constexpr double width = 1100, left = 70, right = 20, plot_height = 240, panel_height = 350;

std::string number(double v) {
    char text[32];
    std::snprintf(text, sizeof text, v != 0 && std::abs(v) < 10 ? "%.2g" : "%.0f", v);
    return text;
}

std::string escaped(std::string const& s) {
    std::string r;
    for (char c : s) r += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : std::string(1, c);
    return r;
}

class drawing {
public:
    void text(double x, double y, std::string const& s, char const* anchor = "start", int size = 12,
              double turn = 0) {
        body_ += "<text x=\"" + coordinate(x) + "\" y=\"" + coordinate(y) + "\" text-anchor=\"" + anchor +
                 "\" font-size=\"" + std::to_string(size) + "\"";
        if (turn != 0)
            body_ +=
                " transform=\"rotate(" + coordinate(turn) + " " + coordinate(x) + " " + coordinate(y) + ")\"";
        body_ += ">" + escaped(s) + "</text>\n";
    }
    void bar(double x, double y, double w, double h, char const* colour, std::string const& hint) {
        body_ += "<rect x=\"" + coordinate(x) + "\" y=\"" + coordinate(y) + "\" width=\"" + coordinate(w) +
                 "\" height=\"" + coordinate(h) + "\" fill=\"" + colour + "\"><title>" + escaped(hint) +
                 "</title></rect>\n";
    }
    void line(double x1, double y1, double x2, double y2, char const* colour, char const* dashes = "") {
        body_ += "<line x1=\"" + coordinate(x1) + "\" y1=\"" + coordinate(y1) + "\" x2=\"" + coordinate(x2) +
                 "\" y2=\"" + coordinate(y2) + "\" stroke=\"" + colour + "\" stroke-dasharray=\"" + dashes +
                 "\"/>\n";
    }
    [[nodiscard]] std::string svg(double height) const {
        return "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + coordinate(width) + " " +
               coordinate(height) +
               "\" font-family=\"sans-serif\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n" +
               body_ + "</svg>\n";
    }

private:
    static std::string coordinate(double v) {
        char text[32];
        std::snprintf(text, sizeof text, "%.1f", v);
        return text;
    }
    std::string body_;
};

struct bars {
    std::string title, x_label, y_label;
    std::vector<std::string> groups;
    std::vector<std::string> names;            ///< one bar in each group
    std::vector<std::vector<double>> heights;  ///< [names][groups]; 0: none
};

/// A round number at or above v.
double rounded_up(double v) {
    double const unit = std::pow(10.0, std::floor(std::log10(v)));
    for (double f : {1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0})
        if (f * unit >= v) return f * unit;
    return v;
}

void draw(drawing& on, bars const& b, double top) {
    double highest = 0;
    for (auto const& h : b.heights)
        for (double v : h) highest = std::max(highest, v);
    if (highest <= 0) return;
    highest = rounded_up(highest);

    double const base = top + 60 + plot_height, across = width - left - right;
    on.text(left, top + 22, b.title, "start", 16);
    on.text(18, base - plot_height / 2, b.y_label, "middle", 12, -90);
    on.text(left + across / 2, base + 36, b.x_label, "middle");
    for (int i = 0; i <= 5; ++i) {
        double const y = base - plot_height * i / 5;
        on.line(left, y, width - right, y, i == 0 ? "#000000" : "#dddddd");
        on.text(left - 6, y + 4, number(highest * i / 5), "end", 11);
    }
    double legend = left;
    for (std::size_t n = 0; n < b.names.size(); ++n) {
        on.bar(legend, top + 34, 10, 10, colour_of(b.names[n]), b.names[n]);
        on.text(legend + 14, top + 43, b.names[n], "start", 11);
        legend += 30 + 6.4 * static_cast<double>(b.names[n].size());
    }
    double const group = across / static_cast<double>(b.groups.size());
    double const bar = group * 0.84 / static_cast<double>(b.names.size());
    for (std::size_t g = 0; g < b.groups.size(); ++g) {
        double const start = left + group * (static_cast<double>(g) + 0.08);
        on.text(start + group * 0.42, base + 16, b.groups[g], "middle", 11);
        for (std::size_t n = 0; n < b.names.size(); ++n) {
            double const v = b.heights[n][g], h = plot_height * v / highest;
            if (v <= 0) continue;
            double const x = start + bar * static_cast<double>(n);
            on.bar(x, base - h, bar * 0.92, h, colour_of(b.names[n]), b.names[n] + ": " + number(v));
            if (bar > 16) on.text(x + bar * 0.46, base - h - 3, number(v), "middle", 9);
        }
    }
}

/// Contests of a row whose names a filter takes, as groups of bars.
bars bars_of(run_results const& run, std::string const& row,
             std::function<bool(std::string const&)> const& wanted,
             std::function<double(contest_result const&, timing const&)> const& height) {
    bars b;
    std::vector<contest_result const*> contests;
    for (contest_result const& c : run.contests) {
        if (!c.name.starts_with(row + "/") || !wanted(c.name)) continue;
        contests.push_back(&c);
        b.groups.push_back(c.name.substr(row.size() + 1));
        for (timing const& t : c.timings)
            if (std::find(b.names.begin(), b.names.end(), t.name) == b.names.end() && height(c, t) > 0 &&
                !t.name.starts_with("commutant x86-64") && !t.name.starts_with("commutant fixed") &&
                !t.name.starts_with("S_n"))
                b.names.push_back(t.name);
    }
    for (std::string const& name : b.names) {
        std::vector<double>& h = b.heights.emplace_back();
        for (contest_result const* c : contests) {
            timing const* const t = c->find(name);
            h.push_back(t == nullptr ? 0 : height(*c, *t));
        }
    }
    return b;
}

/// How far each target is, as lines: 1 is the target, to the right is better.
double draw_targets(drawing& on, report const& r, double top) {
    std::vector<verdict> all = judged(r);
    std::erase_if(all, [](verdict const& v) { return v.n_points == 0; });
    constexpr double label = 560, line_height = 17, longest = 2;
    double const across = width - label - 70, height = line_height * static_cast<double>(all.size());
    on.text(left, top + 22, "Targets: what was found over what was asked (the inverse where less is better)",
            "start", 16);
    double y = top + 50;
    for (verdict const& v : all) {
        bool const at_least = v.what->direction == target::sense::at_least;
        double const ratio = at_least ? v.value / v.what->bound : v.what->bound / v.value;
        on.text(label - 8, y + 9, v.what->row + ": " + v.what->what + " (" + v.tier + ")", "end", 11);
        on.bar(label, y, across * std::min(ratio, longest) / longest, line_height - 5,
               palette[v.passed ? 4 : 3], v.where);
        on.text(label + across * std::min(ratio, longest) / longest + 4, y + 10, number(ratio), "start", 10);
        y += line_height;
    }
    on.line(label + across / longest, top + 40, label + across / longest, top + 50 + height, "#000000",
            "4 3");
    on.text(label + across / longest, top + 64 + height, "reached", "middle", 11);
    return height + 90;
}

}  // namespace

void write_text(std::string const& text, std::filesystem::path const& file) {
    std::ofstream out(file);
    out << text;
    if (!out) throw std::runtime_error("bench: cannot write " + file.string());
}

void write_plot(report const& r, std::filesystem::path const& file) {
    drawing on;
    double top = 10;
    for (run_results const& run : r.runs) {
        if (!run.is_reference || run.n_threads != 1) continue;
        auto const add = [&](bars b, std::string title, std::string x, std::string y) {
            if (b.groups.empty()) return;
            b.title = std::move(title) + ", " + run.tier + ", one thread";
            b.x_label = std::move(x), b.y_label = std::move(y);
            draw(on, b, top);
            top += panel_height;
        };
        auto const gops = [](contest_result const&, timing const& t) {
            return t.per_call.operations / t.median / 1e9;
        };
        auto const any = [](std::string const&) { return true; };
        add(bars_of(
                run, "gemm", [](std::string const& n) { return n.find("M:128/") != std::string::npos; },
                gops),
            "Products of a Llama-3-8B block, 128 tokens", "shape", "Gop/s (higher is better)");
        add(bars_of(
                run, "gemv", [](std::string const& n) { return n.find("M:1/") != std::string::npos; }, gops),
            "Products with one token, weights from DRAM", "shape", "Gop/s (higher is better)");
        auto const relative = [](contest_result const& c, timing const& t) {
            timing const* const base = c.best("fp32");
            return base == nullptr ? 0.0 : base->median / t.median;
        };
        add(bars_of(run, "block", any, relative), "Whole Llama-3-8B block", "tokens",
            "times the fp32 block's speed");
        auto const cycles = [](contest_result const& c, timing const& t) {
            timing const* const clock = c.find("cycles");
            if (clock == nullptr || t.per_call.elements == 0) return 0.0;
            return t.median * clock->operations_per_second() / t.per_call.elements;
        };
        add(bars_of(
                run, "hadamard", [](std::string const& n) { return n.find("/L2") != std::string::npos; },
                cycles),
            "Hadamard transform in place, in cache", "order", "cycles per element (lower is better)");
    }
    top += draw_targets(on, r, top);
    write_text(on.svg(top + 10), file);
}

}  // namespace commutant::bench
