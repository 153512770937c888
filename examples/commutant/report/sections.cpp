// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "sections.hpp"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>
#include <vector>

#include "../study/summary.hpp"
#include "charts.hpp"
#include "html.hpp"

namespace program::sections {
namespace {

using rows_of_cells = std::vector<std::vector<std::string>>;

std::string paragraph(std::string const& text) { return html::element("p", "", html::escaped(text)) + "\n"; }
std::string note(std::string const& text) {
    return html::element("p", html::attribute("class", "note"), html::escaped(text)) + "\n";
}
std::string heading(std::string const& text) { return html::element("h3", "", html::escaped(text)) + "\n"; }
/// A number that may be missing: JSON has no infinity.
double number(json const& value) { return value.is_number() ? value.get<double>() : std::nan(""); }

/// A share in per cent; nothing of a loss that is none.
std::string share(double x) { return std::isfinite(x) ? formatted("%.1f %%", 100 * x) : ""; }

/// A bar for what an NLL is above that of the float model.
bar loss_bar(std::string const& label, double nll, double original, int tone) {
    return {label, nll - original, formatted("%+.4f", nll - original) + formatted(" (NLL %.4f)", nll), tone};
}

}  // namespace

std::string likelihood(json const& numbers) {
    json const& nll = numbers.at("nll");
    double const original = number(nll.at("float"));
    double const rtn = nll.contains("rtn") ? number(nll.at("rtn")) : std::nan("");
    std::string const recipe = numbers.value("recipe", "recipe");
    std::vector<std::pair<std::string, std::string>> steps{{"rtn", "round to nearest"}};
    for (auto const& [step, value] : nll.items())
        if (step != "float" && step != "rtn" && step != "merged" && step != "stored" && step != "quantized")
            steps.emplace_back(step, recipe + ", " + step);
    if (recipe != "rtn") steps.emplace_back("quantized", recipe);
    std::vector<bar> bars;
    rows_of_cells rows{{"", "NLL", "perplexity", "loss left", "won back"}};
    auto const add = [&](std::string const& step, std::string const& label) {
        if (!nll.contains(step)) return;
        double const x = number(nll.at(step));
        bool const is_quantized = step != "float" && step != "merged" && step != "stored";
        rows.push_back({html::escaped(label), formatted("%.4f", x), formatted("%.3f", std::exp(x)),
                        is_quantized ? formatted("%.4f", x - original) : "",
                        is_quantized ? share((rtn - x) / (rtn - original)) : ""});
        if (is_quantized) bars.push_back(loss_bar(label, x, original, step == "rtn" ? 0 : 1));
    };
    add("float", "float");
    add("merged", "float, transforms merged");
    add("stored", "float, merged and stored");
    for (auto const& [step, label] : steps) add(step, label);
    return paragraph("Bars are what quantisation loses: nats per token above the float model.") +
           bar_chart("loss above the float model", bars) + html::table(rows);
}

std::string training(json const& numbers) {
    json const& t = numbers.at("training");
    std::string content;
    auto const count = [&](char const* name) { return t.contains(name) ? t.at(name).dump() : "?"; };
    content += paragraph(count("steps") + " steps on " + count("training_windows") +
                         " windows; the state of step " + count("best_step") + " was best on " +
                         count("held_out_windows") + " windows that were held out, and is the result.");
    line_series loss{"training windows of the step", 0, false, {}}, held_out{"held-out text", 1, true, {}};
    for (auto const& point : t.value("curve", json::array())) {
        double const step = number(point.at("step"));
        loss.points.emplace_back(step, number(point.at("loss")));
        if (point.contains("held_out")) held_out.points.emplace_back(step, number(point.at("held_out")));
    }
    if (!loss.points.empty()) content += line_chart("loss by step", "step", {loss, held_out});
    if (!t.contains("local") || number(t.at("local").at("steps")) == 0) return content;
    json const& local = t.at("local");
    content +=
        heading("Without data") +
        paragraph(local.at("steps").dump() + " steps of each turn made the sum of the weights' L" +
                  local.at("p").dump() + " norms " + formatted("%.4g", number(local.at("norms_before"))) +
                  " to " + formatted("%.4g", number(local.at("norms_after"))) + ".");
    rows_of_cells rows{{"transform", "gradient norm at its first step", "distance moved"}};
    for (auto const& [site, norm] : local.at("gradient_norms").items())
        rows.push_back({html::escaped(site), formatted("%.3g", number(norm)),
                        formatted("%.3g", number(local.at("movements").at(site)))});
    return content + html::table(rows);
}

std::string stages(json const& stages) {
    std::vector<bar> seconds, memory;
    for (auto const& s : stages) {
        std::string const name = s.at("name").get<std::string>();
        double const time = number(s.at("seconds")), peak = number(s.at("peak_rss_bytes")) / 1e6;
        seconds.push_back({name, time, formatted("%.1f s", time)});
        memory.push_back({name, peak, formatted("%.0f MB", peak), 2});
    }
    return heading("Wall time") + bar_chart("wall time of each stage", seconds) + heading("Peak memory") +
           bar_chart("peak memory of each stage", memory) +
           note("A stage that comes more than once counts with its time in all and its highest peak.");
}

std::string ablation(json const& ablation) {
    std::string content;
    double const original = number(ablation.at("float"));
    auto const add = [&](char const* name, std::string const& title, std::string const& text) {
        if (!ablation.contains(name)) return;
        json const& rows = ablation.at(name);
        std::vector<std::string> labels;
        for (auto const& row : rows)
            if (std::find(labels.begin(), labels.end(), row.at("label")) == labels.end())
                labels.push_back(row.at("label"));
        std::vector<bar> bars;
        for (auto const& label : labels)
            for (auto const& row : rows) {
                if (row.at("label") != label) continue;
                std::string const recipe = row.at("recipe").get<std::string>();
                bars.push_back(loss_bar(labels.size() == rows.size() ? label : label + ", " + recipe,
                                        number(row.at("nll")), original, recipe == "rtn" ? 0 : 1));
            }
        content += heading(title) + paragraph(text) + bar_chart(title, bars);
    };
    add("transforms", "Transforms",
        "Each transform alone, and all but each: what is lost above the float model, in nats per token.");
    add("quantizers", "One quantiser at a time",
        "Everything is float but what the row names: which tensor the loss comes from.");
    return content;
}

std::string study(json const& summary) {
    std::string content, conditions, commands;
    for (auto const& c : summary.at("conditions"))
        conditions += (conditions.empty() ? "" : "; ") + c.get<std::string>();
    if (!conditions.empty()) content += note(conditions + ".");
    for (auto const& group : summary.at("groups")) {
        std::string const name = group.at("name").get<std::string>();
        std::vector<bar> bars;
        for (auto const& row : group.at("rows")) {
            std::string const label = row.at("label").get<std::string>();
            for (auto const& command : row.at("commands"))
                commands += html::escaped(command.get<std::string>()) + "\n";
            if (!row.contains("median")) continue;
            double const original = number(group.at("float"));
            bool const is_baseline = group.contains("baseline") && group.at("baseline").at("label") == label;
            bar b = loss_bar(label, number(row.at("median")), original, is_baseline ? 0 : 1);
            auto const nlls = row.at("nll").get<std::vector<double>>();
            b.low = *std::min_element(nlls.begin(), nlls.end()) - original;
            b.high = *std::max_element(nlls.begin(), nlls.end()) - original;
            bars.push_back(std::move(b));
        }
        auto rows = group_table(group);
        for (auto& row : rows)
            for (auto& cell : row) cell = html::escaped(cell);
        content +=
            heading(name) + bar_chart("loss above the float model at " + name, bars) + html::table(rows);
    }
    content += note("Medians over seeds; whiskers and spread are from the lowest to the highest.");
    return content +
           html::element("details", "",
                         html::element("summary", "", "The commands behind the rows") +
                             html::element("pre", "", commands)) +
           "\n";
}

}  // namespace program::sections
