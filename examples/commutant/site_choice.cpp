// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "site_choice.hpp"

#include <algorithm>
#include <memory>
#include <utility>

#include <CLI/CLI.hpp>

#include <commutant/recipes/hadamard.hpp>
#include <commutant/recipes/part_of_plan.hpp>

#include "command.hpp"

namespace program {
namespace {

namespace sites = cm::sites;
using hadamard_transforms = cm::plan_transforms<cm::hadamard_plan, float64>;

/// Merges what stands at one site, if it was chosen.
template <class Site>
void merge_site(hadamard_transforms const& all, std::vector<std::string> const& chosen,
                cm::decoder<float64>& m, cm::condition_limits const& limits, cm::merge_report& report) {
    if (std::find(chosen.begin(), chosen.end(), Site::name) == chosen.end()) return;
    auto const one = cm::merge_in_place(cm::part_of<cm::only_sites<cm::hadamard_plan, Site>>(all), m, limits);
    report.condition = std::max(report.condition, one.condition);
    report.warnings.insert(report.warnings.end(), one.warnings.begin(), one.warnings.end());
}

}  // namespace

std::vector<std::string> recipe_sites(std::string const& recipe) {
    std::vector<std::string> const rotations{sites::residual_stream::name, sites::value_output::name,
                                             sites::down_input::name};
    if (recipe == "hadamard" || recipe == "spinquant") return rotations;
    if (recipe == "fptquant")
        return {sites::residual_stream::name, sites::query_key::name,  sites::value_output::name,
                sites::up_down::name,         sites::down_input::name, sites::token_scale::name};
    return {};
}

prepared_plan prepare_hadamard_at(std::string const& names, cm::model_config const& config,
                                  std::size_t seed) {
    if (names.empty()) return prepare_plan("hadamard", config, seed);
    auto const known = recipe_sites("hadamard");
    auto const chosen = names == "none" ? std::vector<std::string>{} : CLI::detail::split(names, ',');
    for (auto const& name : chosen)
        if (std::find(known.begin(), known.end(), name) == known.end())
            throw usage_error("--transforms: the recipe hadamard has none at \"" + name +
                              "\", expected a list of residual_stream, value_output and down_input, or none");
    cm::random_source random(seed);
    auto found = cm::prepare_hadamard<float64>(config, random);
    prepared_plan p;
    p.notes = std::move(found.notes);
    p.changes_nothing = chosen.empty();
    auto const all = std::make_shared<hadamard_transforms const>(std::move(found.transforms));
    p.merge_offline = [all, chosen](cm::decoder<float64>& m, cm::condition_limits const& limits) {
        cm::merge_report report;
        merge_site<sites::residual_stream>(*all, chosen, m, limits, report);
        merge_site<sites::value_output>(*all, chosen, m, limits, report);
        return report;
    };
    p.merge_online = [all, chosen](cm::decoder<float64>& m, cm::condition_limits const& limits) {
        cm::merge_report report;
        merge_site<sites::down_input>(*all, chosen, m, limits, report);
        return report;
    };
    return p;
}

}  // namespace program
