// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "summary.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include <commutant/io/error.hpp>
#include <commutant/io/mapped_file.hpp>

namespace program {
namespace {

double median(std::vector<double> x) {
    std::sort(x.begin(), x.end());
    std::size_t const n = x.size();
    return n % 2 == 1 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

/// Values in words: "16" or "16 to 128".
class span_of_values {
public:
    void add(json const& numbers, char const* pointer) {
        json::json_pointer const at(pointer);
        if (numbers.contains(at)) values_.insert(numbers.at(at).get<std::size_t>());
    }
    [[nodiscard]] bool empty() const { return values_.empty(); }
    [[nodiscard]] std::size_t largest() const { return *values_.rbegin(); }
    [[nodiscard]] std::string text() const {
        std::string const first = std::to_string(*values_.begin());
        return values_.size() == 1 ? first : first + " to " + std::to_string(*values_.rbegin());
    }

private:
    std::set<std::size_t> values_{};
};

/// What all runs had in common, and what they differed in.
json conditions_of(std::vector<study_line> const& lines) {
    span_of_values steps, ranges, trained, held_out, windows, tokens;
    std::set<std::size_t> seeds;
    std::set<std::string> coverages;
    for (auto const& line : lines) {
        if (line.numbers == nullptr) continue;
        json const& n = *line.numbers;
        steps.add(n, "/training/steps");
        ranges.add(n, "/calibration/windows");
        trained.add(n, "/training/training_windows");
        held_out.add(n, "/training/held_out_windows");
        windows.add(n, "/evaluation/windows");
        tokens.add(n, "/evaluation/tokens");
        if (line.row.options.find("--seed") != nullptr) seeds.insert(n.at("seed").get<std::size_t>());
        coverages.insert(n.at("coverage").get<std::string>() + ", " +
                         (n.at("timing") == "static_grid" ? "static" : "dynamic") + " grids");
    }
    json list = json::array();
    if (windows.empty()) return list;
    for (auto const& c : coverages) list.push_back(c);
    list.push_back("evaluation: " + windows.text() + " windows, " + tokens.text() + " tokens");
    list.push_back("ranges: " + ranges.text() + " windows");
    if (!trained.empty() && steps.largest() != 0)
        list.push_back("training: " + steps.text() + " steps on " + trained.text() + " windows, " +
                       held_out.text() + " held out");
    if (!seeds.empty()) {
        std::string text;
        for (auto const seed : seeds) text += (text.empty() ? "" : ", ") + std::to_string(seed);
        list.push_back("seeds: " + text);
    }
    return list;
}

/// One label of a group: median and spread over its seeds.
json label_summary(std::vector<study_line const*> const& lines, std::vector<study_column> const& columns) {
    json r{{"label", lines.front()->row.label}, {"commands", json::array()}, {"nll", json::array()}};
    std::vector<double> nlls, seconds;
    for (auto const* line : lines) {
        r["commands"].push_back(line->command);
        if (line->numbers == nullptr) continue;
        nlls.push_back(line->numbers->at("nll").at("quantized").get<double>());
        seconds.push_back(line->numbers->at("seconds").get<double>());
    }
    r["nll"] = nlls;
    r["missing"] = lines.size() - nlls.size();
    if (nlls.empty()) return r;
    r["median"] = median(nlls);
    r["spread"] = *std::max_element(nlls.begin(), nlls.end()) - *std::min_element(nlls.begin(), nlls.end());
    r["seconds"] = median(seconds);
    for (auto const& column : columns) {
        std::vector<double> values;
        for (auto const* line : lines)
            if (json::json_pointer const at(column.pointer);
                line->numbers != nullptr && line->numbers->contains(at))
                values.push_back(line->numbers->at(at).get<double>());
        if (!values.empty()) r["columns"][column.title] = median(values);
    }
    return r;
}

json group_summary(std::string const& name, std::vector<study_line> const& lines,
                   std::vector<study_column> const& columns) {
    std::vector<std::pair<std::string, std::vector<study_line const*>>> labels;
    json group{{"name", name}};
    std::string baseline;
    for (auto const& line : lines) {
        if (line.row.group != name) continue;
        if (line.numbers != nullptr) group["float"] = line.numbers->at("nll").at("float");
        if (line.row.is_baseline) baseline = line.row.label;
        auto found = std::find_if(labels.begin(), labels.end(),
                                  [&](auto const& l) { return l.first == line.row.label; });
        if (found == labels.end()) found = labels.insert(labels.end(), {line.row.label, {}});
        found->second.push_back(&line);
    }
    group["rows"] = json::array();
    for (auto const& [label, of_label] : labels) {
        group["rows"].push_back(label_summary(of_label, columns));
        json const& row = group["rows"].back();
        if (label == baseline && row.contains("median"))
            group["baseline"] = {{"label", label}, {"nll", row.at("median")}};
    }
    for (auto& row : group["rows"]) {
        if (!row.contains("median")) continue;
        double const nll = row.at("median"), original = group.at("float");
        row["left_over"] = nll - original;
        if (!group.contains("baseline")) continue;
        double const worst = group.at("baseline").at("nll");
        row["won_back"] = (worst - nll) / (worst - original);
    }
    return group;
}

/// A number of unknown size: whole ones in full.
std::string figure(json const& value) {
    double const x = value.get<double>();
    return formatted(std::abs(x) >= 1000 ? "%.0f" : "%.4g", x);
}

std::string cell(json const& row, char const* key, char const* format, double factor = 1) {
    return row.contains(key) ? formatted(format, factor * row.at(key).get<double>()) : "-";
}

}  // namespace

json summary_of(named_study const& study, std::string const& model, std::vector<study_line> const& lines) {
    json summary{{"study", study.name},
                 {"model", model},
                 {"conditions", conditions_of(lines)},
                 {"groups", json::array()}};
    std::vector<std::string> groups;
    for (auto const& line : lines)
        if (std::find(groups.begin(), groups.end(), line.row.group) == groups.end())
            groups.push_back(line.row.group);
    for (auto const& group : groups) summary["groups"].push_back(group_summary(group, lines, study.columns));
    return summary;
}

std::vector<std::vector<std::string>> group_table(json const& group) {
    std::vector<std::string> head{group.at("name").get<std::string>(), "NLL", "spread", "loss left"};
    bool const has_baseline = group.contains("baseline");
    if (has_baseline) head.emplace_back("won back");
    std::vector<std::string> more;
    for (auto const& row : group.at("rows")) {
        if (!row.contains("columns")) continue;
        for (auto const& [title, value] : row.at("columns").items())
            if (std::find(more.begin(), more.end(), title) == more.end()) more.push_back(title);
    }
    head.insert(head.end(), more.begin(), more.end());
    std::vector<std::vector<std::string>> table{head};
    auto const add = [&](std::vector<std::string> cells) {
        cells.resize(head.size());
        table.push_back(std::move(cells));
    };
    if (group.contains("float")) add({"float", cell(group, "float", "%.4f")});
    for (auto const& row : group.at("rows")) {
        std::vector<std::string> cells{row.at("label").get<std::string>(), cell(row, "median", "%.4f"),
                                       row.at("nll").size() > 1 ? cell(row, "spread", "%.4f") : "",
                                       cell(row, "left_over", "%.4f")};
        if (has_baseline) cells.push_back(cell(row, "won_back", "%.1f %%", 100));
        for (auto const& title : more) {
            json const columns = row.value("columns", json::object());
            cells.push_back(columns.contains(title) ? figure(columns.at(title)) : "");
        }
        add(std::move(cells));
    }
    return table;
}

std::string summary_markdown(json const& summary) {
    std::string text = summary.at("model").get<std::string>();
    for (auto const& condition : summary.at("conditions")) text += "; " + condition.get<std::string>();
    text += ".\n";
    for (auto const& group : summary.at("groups")) {
        auto const table = group_table(group);
        text += '\n';
        for (std::size_t i = 0; i < table.size(); ++i) {
            text += '|';
            for (auto const& cell : table[i]) text += cell.empty() ? " |" : " " + cell + " |";
            text += '\n';
            if (i != 0) continue;
            text += '|';
            for (std::size_t j = 0; j < table[i].size(); ++j) text += "---|";
            text += '\n';
        }
    }
    return text;
}

std::string page_with(std::filesystem::path const& page, std::string const& name, std::string const& text) {
    std::string const begin = "<!-- " + name + ":begin -->\n", end = "<!-- " + name + ":end -->";
    auto const mapped = commutant::io::mapped_file::open(page);
    std::string const old(reinterpret_cast<char const*>(mapped.bytes().data()), mapped.bytes().size());
    auto const from = old.find(begin), to = old.find(end);
    if (from == std::string::npos || to == std::string::npos || to < from)
        throw commutant::io::input_error(page.string(), "has no place for the tables, expected lines <!-- " +
                                                            name + ":begin --> and " + end);
    return old.substr(0, from + begin.size()) + text + old.substr(to);
}

}  // namespace program
