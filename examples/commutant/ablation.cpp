// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "ablation.hpp"

#include "site_choice.hpp"

namespace program {
namespace {

/// The method with some options changed.
method_options varied(method_options const& method, option_values const& by) {
    auto options = overridden(method.given, by);
    options.erase("--checkpoint");
    options.set("--calib", method.calibration);
    options.set("--eval", method.evaluation);
    return parsed_variation(options);
}

}  // namespace

std::vector<variation> transform_variations(std::string const& recipe) {
    auto const sites = recipe_sites(recipe);
    std::vector<variation> list;
    if (sites.empty()) return list;
    auto const add = [&](std::string const& label, std::string const& chosen) {
        list.push_back({label, {{"--recipe", recipe}, {"--transforms", chosen}}});
    };
    auto const all_but = [&](std::string const& left_out) {
        std::string text;
        for (auto const& site : sites)
            if (site != left_out) text += (text.empty() ? "" : ",") + site;
        return text;
    };
    add("none", "none");
    for (auto const& site : sites) add(site + " alone", site);
    for (auto const& site : sites) add("all but " + site, all_but(site));
    add("all", all_but(""));
    return list;
}

std::vector<variation> quantizer_variations(method_options const& method) {
    std::vector<variation> list;
    for (auto const& name : method.quantizers()) list.push_back({name, {{"--quantize-only", name}}});
    return list;
}

json ablation_of(pipeline& runs, method_options const& method, stage_log& stages) {
    json r{{"quantizers", json::array()}};
    bool interrupted = false;
    auto const add = [&](char const* list, std::string const& recipe, variation const& v) {
        if (interrupted) return;
        auto const outcome = runs.run(varied(method, overridden(v.options, {{"--recipe", recipe}})), stages);
        interrupted = outcome.interrupted;
        r["float"] = outcome.original;
        if (!interrupted)
            r[list].push_back({{"label", v.label}, {"recipe", recipe}, {"nll", outcome.quantized}});
    };
    // Runs of one model after another: each is found once.
    for (auto const& v : quantizer_variations(method)) add("quantizers", method.recipe, v);
    if (method.recipe != "rtn")
        for (auto const& v : quantizer_variations(method)) add("quantizers", "rtn", v);
    for (auto const& v : transform_variations(method.recipe)) add("transforms", method.recipe, v);
    return r;
}

}  // namespace program
