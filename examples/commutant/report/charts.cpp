// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "charts.hpp"

#include <algorithm>
#include <cmath>

#include "../output.hpp"
#include "html.hpp"

namespace program {
namespace {

using html::attribute;
using html::element;

std::string svg(std::string const& kind, double width, double height, std::string const& title,
                std::string const& content) {
    return element("svg",
                   attribute("class", kind) + attribute("role", "img") + attribute("width", width) +
                       attribute("height", height) +
                       attribute("viewBox", "0 0 " + formatted("%g", width) + " " + formatted("%g", height)),
                   element("title", "", html::escaped(title)) + content) +
           "\n";
}

std::string tone_class(char const* shape, int tone) {
    return attribute("class", std::string(shape) + " tone" + std::to_string(tone));
}

std::string text_at(double x, double y, char const* anchor, std::string const& text,
                    char const* kind = "label") {
    return element(
        "text",
        attribute("x", x) + attribute("y", y) + attribute("text-anchor", anchor) + attribute("class", kind),
        html::escaped(text));
}

std::string straight_line(double x1, double y1, double x2, double y2, char const* kind) {
    return element("line", attribute("x1", x1) + attribute("y1", y1) + attribute("x2", x2) +
                               attribute("y2", y2) + attribute("class", kind));
}

/// Round numbers across a range: 1, 2 or 5 times a power of ten apart.
std::vector<double> ticks(double low, double high, int about) {
    double const raw = (high - low) / about;
    double const power = std::pow(10, std::floor(std::log10(raw)));
    double step = 10 * power;
    for (double const factor : {5.0, 2.0, 1.0})
        if (factor * power >= raw) step = factor * power;
    std::vector<double> list;
    for (double k = std::ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; ++k)
        list.push_back(k * step);
    return list;
}

/// A straight map of numbers to places.
struct scale {
    double from = 0, to = 1, start = 0, end = 1;
    [[nodiscard]] double operator()(double x) const {
        return start + (x - from) / (to - from) * (end - start);
    }
};

/// From the lowest number to the highest, never empty.
scale scale_over(double low, double high, double start, double end) {
    if (!(high > low)) high = low + (low == 0 ? 1 : std::abs(low) * 1e-3);
    return {low, high, start, end};
}

}  // namespace

std::string bar_chart(std::string const& title, std::vector<bar> const& bars) {
    constexpr double width = 860, label_width = 240, text_width = 190, row = 24, thickness = 14;
    double longest = 0;
    for (auto const& b : bars)
        for (double const x : {b.value, b.high})
            if (std::isfinite(x)) longest = std::max(longest, x);
    scale const x = scale_over(0, longest, label_width, width - text_width);
    std::string content;
    double y = 4;
    for (auto const& b : bars) {
        double const middle = y + row / 2;
        double const end = std::isfinite(b.value) ? x(std::max(b.value, 0.0)) : x(0);
        content += text_at(label_width - 8, middle + 4, "end", b.label) +
                   element("rect", attribute("x", x(0)) + attribute("y", middle - thickness / 2) +
                                       attribute("width", std::max(end - x(0), 1.0)) +
                                       attribute("height", thickness) + attribute("rx", 2) +
                                       tone_class("bar", b.tone));
        double behind = end;
        if (b.high > b.low) {
            behind = std::max(end, x(b.high));
            content += straight_line(x(std::max(b.low, 0.0)), middle, x(b.high), middle, "whisker");
            for (double const tip : {b.low, b.high})
                content += straight_line(x(std::max(tip, 0.0)), middle - 4, x(std::max(tip, 0.0)), middle + 4,
                                         "whisker");
        }
        content += text_at(behind + 6, middle + 4, "start", b.text, "value");
        y += row;
    }
    content += straight_line(x(0), 2, x(0), y + 2, "axis");
    return svg("chart", width, y + 4, title, content);
}

std::string line_chart(std::string const& title, std::string const& x_name,
                       std::vector<line_series> const& lines) {
    constexpr double width = 860, height = 300, left = 62, right = 16, top = 26, bottom = 38;
    double low_x = 0, high_x = 0, low_y = 0, high_y = 0;
    bool any = false;
    for (auto const& l : lines)
        for (auto const& [x, y] : l.points) {
            if (!std::isfinite(y)) continue;
            low_x = any ? std::min(low_x, x) : x, high_x = any ? std::max(high_x, x) : x;
            low_y = any ? std::min(low_y, y) : y, high_y = any ? std::max(high_y, y) : y;
            any = true;
        }
    scale const across = scale_over(low_x, high_x, left, width - right);
    scale const up = scale_over(low_y, high_y, height - bottom, top);
    std::string content;
    for (double const y : ticks(up.from, up.to, 5))
        content += straight_line(left, up(y), width - right, up(y), "grid") +
                   text_at(left - 8, up(y) + 4, "end", formatted("%.4g", y));
    for (double const x : ticks(across.from, across.to, 8))
        content += straight_line(across(x), height - bottom, across(x), height - bottom + 4, "axis") +
                   text_at(across(x), height - bottom + 18, "middle", formatted("%.6g", x));
    content += straight_line(left, height - bottom, width - right, height - bottom, "axis") +
               text_at((left + width - right) / 2, height - 4, "middle", x_name);
    double key = left;
    for (auto const& l : lines) {
        std::string path, dots;
        for (auto const& [x, y] : l.points) {
            if (!std::isfinite(y)) continue;
            path += formatted(path.empty() ? "M%.2f" : "L%.2f", across(x)) + formatted(" %.2f", up(y));
            if (l.has_dots)
                dots += element("circle", attribute("cx", across(x)) + attribute("cy", up(y)) +
                                              attribute("r", 2.5) + tone_class("dot", l.tone));
        }
        if (!path.empty())
            content += element("path", attribute("d", path) + tone_class("line", l.tone)) + dots;
        content +=
            element("rect", attribute("x", key) + attribute("y", 6) + attribute("width", 12) +
                                attribute("height", 12) + attribute("rx", 2) + tone_class("bar", l.tone)) +
            text_at(key + 17, 16, "start", l.name);
        key += 40 + 7.5 * static_cast<double>(l.name.size());
    }
    return svg("chart", width, height, title, content);
}

std::string histogram_chart(std::string const& title, std::vector<size_histogram> const& histograms) {
    // From a 64th of the rms to 1024 times the rms; from one value in a million to all.
    constexpr double width = 150, height = 84, left = 4, right = 4, top = 16, bottom = 14;
    scale const across{-6, 10, left, width - right};
    scale const up{-6, 0, height - bottom, top};
    std::string content = text_at(left, 11, "start", title, "small");
    for (int const octave : {-3, 0, 3, 6, 9})
        content += straight_line(across(octave), top, across(octave), height - bottom, "grid");
    for (int const octave : {0, 3, 6, 9})
        content +=
            text_at(across(octave), height - 3, "middle", formatted("%g", std::pow(2, octave)), "small");
    for (auto const& h : histograms) {
        std::string path;
        double last = across.start;
        for (std::size_t k = 0; k < h.shares.size(); ++k) {
            double const begin = across(std::clamp(std::log2(std::max(h.edges[k], 1e-9)), -6.0, 10.0));
            double const end = across(std::clamp(std::log2(std::max(h.edges[k + 1], 1e-9)), -6.0, 10.0));
            double const y = up(std::clamp(std::log10(std::max(h.shares[k], 1e-9)), -6.0, 0.0));
            path += formatted(path.empty() ? "M%.1f" : "H%.1f", begin);
            if (k == 0) path += formatted(" %.1f", up(-6));
            path += formatted("V%.1f", y);
            last = end;
        }
        if (path.empty()) continue;
        path += formatted("H%.1f", last) + formatted("V%.1f", up(-6));
        content += element("path", attribute("d", path) + tone_class("outline", h.tone));
    }
    content += straight_line(left, height - bottom, width - right, height - bottom, "axis");
    return svg("small-chart", width, height, title, content);
}

}  // namespace program
