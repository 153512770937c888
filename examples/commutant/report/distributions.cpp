// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "charts.hpp"
#include "html.hpp"
#include "sections.hpp"

namespace program::sections {
namespace {

/// Figures by place and layer, places in the order of their coming.
struct grid_of_places {
    std::vector<std::string> places{};
    std::size_t n_layers = 0;
    std::map<std::pair<std::string, std::size_t>, json const*> entries{};

    explicit grid_of_places(json const& list) {
        for (auto const& entry : list) {
            std::string const place = entry.at("place").get<std::string>();
            auto const layer = entry.at("layer").get<std::size_t>();
            if (std::find(places.begin(), places.end(), place) == places.end()) places.push_back(place);
            n_layers = std::max(n_layers, layer + 1);
            entries[{place, layer}] = &entry;
        }
    }
    [[nodiscard]] json const* find(std::string const& place, std::size_t layer) const {
        auto const found = entries.find({place, layer});
        return found == entries.end() ? nullptr : found->second;
    }
};

/// Places by layers, the more colour the larger the figure.
std::string heat_table(std::string const& title, grid_of_places const& grid, json::json_pointer const& figure,
                       double least, double most) {
    std::string head = html::element("th", html::attribute("scope", "col"), html::escaped(title));
    for (std::size_t i = 0; i < grid.n_layers; ++i)
        head += html::element("th", html::attribute("scope", "col"), std::to_string(i));
    std::string body;
    for (auto const& place : grid.places) {
        std::string cells = html::element("th", html::attribute("scope", "row"), html::escaped(place));
        for (std::size_t i = 0; i < grid.n_layers; ++i) {
            json const* const entry = grid.find(place, i);
            if (entry == nullptr || !entry->contains(figure)) {
                cells += html::element("td", "", "");
                continue;
            }
            double const x = entry->at(figure).get<double>();
            double const strength = std::clamp(std::log(x / least) / std::log(most / least), 0.0, 1.0);
            cells += html::element(
                "td",
                html::attribute("class", "heat") +
                    html::attribute("style", "--strength: " + formatted("%.2f", 0.85 * strength)),
                formatted(x < 100 ? "%.1f" : "%.0f", x));
        }
        body += html::element("tr", "", cells) + "\n";
    }
    return html::element("table", "",
                         html::element("thead", "", html::element("tr", "", head)) + "\n" +
                             html::element("tbody", "", "\n" + body)) +
           "\n";
}

std::string pair_of_tables(std::string const& title, json const& distributions, char const* of,
                           char const* figure, double least, double most) {
    std::string content;
    for (char const* when : {"before", "after"})
        if (distributions.contains(when))
            content +=
                html::element("div", html::attribute("class", "scroll"),
                              heat_table(title + ", " + when, grid_of_places(distributions.at(when).at(of)),
                                         json::json_pointer(figure), least, most)) +
                "\n";
    return html::element("div", html::attribute("class", "pair"), "\n" + content) + "\n";
}

size_histogram histogram_of(json const& entry, int tone) {
    size_histogram h{tone, entry.at("histogram").at("edges").get<std::vector<double>>(), {}};
    auto const counts = entry.at("histogram").at("counts").get<std::vector<double>>();
    double total = 0;
    for (double const n : counts) total += n;
    for (double const n : counts) h.shares.push_back(n / total);
    return h;
}

std::string histograms(json const& distributions, char const* of) {
    grid_of_places const before(distributions.at("before").at(of)), after(distributions.at("after").at(of));
    std::string content;
    for (auto const& place : before.places) {
        std::string row;
        for (std::size_t i = 0; i < before.n_layers; ++i) {
            std::vector<size_histogram> shown;
            if (json const* const e = before.find(place, i)) shown.push_back(histogram_of(*e, 2));
            if (json const* const e = after.find(place, i)) shown.push_back(histogram_of(*e, 1));
            if (!shown.empty()) row += histogram_chart(place + ", " + std::to_string(i), shown);
        }
        content += html::element("div", html::attribute("class", "multiples"), "\n" + row) + "\n";
    }
    return content;
}

std::string key(int tone, std::string const& text) {
    return html::element("span", html::attribute("class", "key tone" + std::to_string(tone)), "") + text;
}

}  // namespace

std::string distributions(json const& d) {
    auto const heading = [](char const* text) { return html::element("h3", "", text) + "\n"; };
    auto const paragraph = [](std::string const& text) { return html::element("p", "", text) + "\n"; };
    std::string content = paragraph(
        "Columns are layers. A quantiser has as many steps as its width allows from the smallest value to "
        "the "
        "largest: the farther "
        "the largest is from the rest, the fewer are left for the rest. The transforms leave the function as "
        "it "
        "is and change these numbers.");
    content +=
        heading("Activations: largest value over rms") +
        pair_of_tables("behind the first token", d, "activations", "/behind_first/max_over_rms", 3, 300) +
        pair_of_tables("with the first token", d, "activations", "/all/max_over_rms", 3, 300) +
        heading("Activations: kurtosis") + paragraph("A normal distribution has 3.") +
        pair_of_tables("behind the first token", d, "activations", "/behind_first/kurtosis", 3, 3000);
    if (d.contains("before") && d.contains("after"))
        content +=
            heading("Activations: sizes") +
            paragraph(
                "Share of values by their absolute size in units of the rms, behind the first token; both "
                "axes are logarithmic, the lower edge is one in a million." +
                key(2, "before") + key(1, "after")) +
            histograms(d, "activations");
    content += heading("Weights: largest value over rms") +
               pair_of_tables("weight", d, "weights", "/max_over_rms", 3, 100) +
               heading("Weights: kurtosis") + pair_of_tables("weight", d, "weights", "/kurtosis", 3, 100);
    if (d.contains("before") && d.contains("after"))
        content += html::element("details", "",
                                 html::element("summary", "", "Weights: sizes") + histograms(d, "weights")) +
                   "\n";
    return content;
}

}  // namespace program::sections
