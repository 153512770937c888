// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

// Plots as inline SVG. Colours and text sizes come from the page's style sheet: .tone0 is what is compared with, .tone1 what
// the page is about, .tone2 a third.

namespace program {

/// One bar of a chart of horizontal bars.
struct bar {
    std::string label{};
    double value = 0;
    std::string text{};  ///< written behind it
    int tone = 1;
    double low = 0, high = 0;  ///< whiskers, if they differ
};

/// Bars below one another, from zero; what is not finite has no bar.
[[nodiscard]] std::string bar_chart(std::string const& title, std::vector<bar> const& bars);

struct line_series {
    std::string name{};
    int tone = 1;
    bool has_dots = false;
    std::vector<std::pair<double, double>> points{};
};

/// Lines over a common axis.
[[nodiscard]] std::string line_chart(std::string const& title, std::string const& x_name,
                                     std::vector<line_series> const& lines);

/// Shares of values by their size, both axes logarithmic.
struct size_histogram {
    int tone = 1;
    std::vector<double> edges{};   ///< one more than shares, increasing, in units of the rms
    std::vector<double> shares{};  ///< of all values
};

/// Small: many of them stand beside one another, over the same axes.
[[nodiscard]] std::string histogram_chart(std::string const& title,
                                          std::vector<size_histogram> const& histograms);

}  // namespace program
