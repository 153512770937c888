// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "page.hpp"

#include <filesystem>
#include <utility>

#include "html.hpp"
#include "sections.hpp"

namespace program {
namespace {

constexpr char const* style = R"(
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --paper: #ffffff; --panel: #f5f7f9; --rule: #d8dee5;
  --tone0: #8a94a2; --tone1: #1f6fb5; --tone2: #c2621b; --heat: 194, 98, 27; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e9ef; --soft: #9aa7b5; --paper: #14191f; --panel: #1c232b; --rule: #36414d;
    --tone0: #7d8896; --tone1: #6db3f2; --tone2: #f0a05a; --heat: 240, 160, 90; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1100px; margin: 0 auto; padding: 24px 20px 60px; }
h1 { font-size: 26px; margin: 8px 0 4px; }
h2 { font-size: 19px; margin: 40px 0 8px; padding-top: 12px; border-top: 1px solid var(--rule); }
h3 { font-size: 15px; margin: 20px 0 6px; }
p { margin: 6px 0; max-width: 76ch; }
p.note, dt, caption { color: var(--soft); }
dl { display: flex; flex-wrap: wrap; gap: 8px 28px; margin: 14px 0; }
dl div { display: flex; flex-direction: column; }
dt { font-size: 12px; }
dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; }
table { border-collapse: collapse; margin: 10px 0; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { padding: 3px 10px; text-align: right; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th[scope=col] { color: var(--soft); font-weight: 500; }
th:first-child { text-align: left; padding-left: 0; font-weight: 500; }
td.heat { background: rgba(var(--heat), var(--strength)); border: 1px solid var(--paper); }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(380px, 1fr)); gap: 0 32px; }
.scroll { overflow-x: auto; }
.multiples { display: flex; flex-wrap: wrap; gap: 6px 10px; margin: 4px 0 12px; }
svg { display: block; max-width: 100%; height: auto; margin: 8px 0; }
svg.small-chart { background: var(--panel); border-radius: 4px; margin: 0; }
svg text { fill: var(--ink); font: 12.5px system-ui, sans-serif; }
svg text.small { font-size: 9.5px; fill: var(--soft); }
svg text.value { font-variant-numeric: tabular-nums; }
.axis { stroke: var(--soft); stroke-width: 1; }
.grid { stroke: var(--rule); stroke-width: 1; }
.whisker { stroke: var(--ink); stroke-width: 1.25; }
.line { fill: none; stroke-width: 1.75; stroke-linejoin: round; }
.outline { fill-opacity: .18; stroke-width: 1.25; }
.tone0 { --tone: var(--tone0); } .tone1 { --tone: var(--tone1); } .tone2 { --tone: var(--tone2); }
.bar, .dot { fill: var(--tone); } .line { stroke: var(--tone); } .outline { stroke: var(--tone); fill: var(--tone); }
.key { display: inline-block; width: 11px; height: 11px; border-radius: 2px; background: var(--tone); margin: 0 5px 0 12px; }
details { margin: 8px 0; } summary { cursor: pointer; color: var(--soft); }
code, pre { font: 12.5px ui-monospace, monospace; } pre { overflow-x: auto; background: var(--panel); padding: 8px 10px; }
@media print { details { display: block; } main { max-width: none; } }
)";

std::string text_of(json const& value) {
    if (value.is_string()) return value.get<std::string>();
    return value.dump();
}

/// What was run, in a line of facts.
std::string facts(json const& numbers) {
    std::pair<char const*, char const*> const wanted[] = {{"recipe", "/recipe"},
                                                          {"weights-activations-KV", "/bits"},
                                                          {"coverage", "/coverage"},
                                                          {"grids", "/timing"},
                                                          {"ranges", "/range"},
                                                          {"p", "/p"},
                                                          {"seed", "/seed"},
                                                          {"windows for ranges", "/calibration/windows"},
                                                          {"windows evaluated", "/evaluation/windows"},
                                                          {"tokens evaluated", "/evaluation/tokens"}};
    std::string list;
    for (auto const& [name, pointer] : wanted) {
        json::json_pointer const at(pointer);
        if (!numbers.contains(at)) continue;
        list += html::element(
            "div", "",
            html::element("dt", "", name) + html::element("dd", "", html::escaped(text_of(numbers.at(at)))));
    }
    std::string remarks;
    if (numbers.contains("remarks"))
        for (auto const& remark : numbers.at("remarks"))
            remarks += html::element("p", html::attribute("class", "note"), html::escaped(text_of(remark)));
    return (list.empty() ? "" : html::element("dl", "", list) + "\n") + remarks;
}

}  // namespace

std::string report_page(json const& numbers) {
    bool const is_study = numbers.contains("study");
    json const& named = is_study ? numbers.at("study") : numbers;
    std::string const model =
        std::filesystem::path(named.contains("model") ? text_of(named.at("model")) : "").filename().string();
    std::string const title =
        model + (is_study                   ? ", study: " + text_of(named.at("study"))
                 : numbers.contains("bits") ? ", quantised to " + text_of(numbers.at("bits"))
                                            : "");
    std::string body = html::element("h1", "", html::escaped(title)) + "\n" + facts(numbers);
    auto const add = [&](char const* heading, std::string const& content) {
        body += html::element("section", "", "\n" + html::element("h2", "", heading) + "\n" + content) + "\n";
    };
    if (is_study) add("Results", sections::study(numbers.at("study")));
    if (numbers.contains("nll")) add("Likelihood after each step", sections::likelihood(numbers));
    if (numbers.contains("training")) add("Training", sections::training(numbers));
    if (numbers.contains("ablation"))
        add("What each part is worth", sections::ablation(numbers.at("ablation")));
    if (numbers.contains("distributions"))
        add("Distributions before and after", sections::distributions(numbers.at("distributions")));
    if (numbers.contains("stages")) add("Time and memory", sections::stages(numbers.at("stages")));
    std::string const head =
        html::element("meta", html::attribute("charset", "utf-8")) +
        html::element("meta", html::attribute("name", "viewport") +
                                  html::attribute("content", "width=device-width, initial-scale=1")) +
        html::element("title", "", html::escaped(title)) + html::element("style", "", style);
    return "<!DOCTYPE html>\n" +
           html::element("html", html::attribute("lang", "en"),
                         "\n" + html::element("head", "", head) + "\n" +
                             html::element("body", "", "\n" + html::element("main", "", "\n" + body)) +
                             "\n") +
           "\n";
}

}  // namespace program
