// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "plans.hpp"

#include <memory>
#include <stdexcept>
#include <utility>

#include <commutant/recipes/fptquant.hpp>
#include <commutant/recipes/hadamard.hpp>
#include <commutant/recipes/part_of_plan.hpp>
#include <commutant/recipes/random.hpp>
#include <commutant/recipes/rtn.hpp>

namespace program {
namespace {

namespace sites = cm::sites;

template <class Plan> prepared_plan behind_one_type(cm::recipe_outcome<Plan, float64> found) {
    prepared_plan p;
    p.notes = std::move(found.notes);
    p.changes_nothing = std::is_same_v<Plan, cm::plan<>>;
    auto const transforms =
        std::make_shared<cm::plan_transforms<Plan, float64> const>(std::move(found.transforms));
    p.merge_offline = [transforms](cm::decoder<float64>& m, cm::condition_limits const& limits) {
        return cm::merge_in_place(cm::part_of<cm::mergeable_plan<Plan>>(*transforms), m, limits);
    };
    p.merge_online = [transforms](cm::decoder<float64>& m, cm::condition_limits const& limits) {
        return cm::merge_in_place(cm::part_of<cm::online_plan<Plan>>(*transforms), m, limits);
    };
    return p;
}

/// Random transforms at every site of FPTQuant that the model's family has a place for.
prepared_plan prepare_fptquant(cm::model_config const& config, cm::random_source& random) {
    if (!config.qk_norm)
        return behind_one_type(cm::prepare_random<cm::fptquant_plan, float64>(config, random));
    using without_keys = cm::without_sites<cm::fptquant_plan, sites::query_key>;
    auto p = behind_one_type(cm::prepare_random<without_keys, float64>(config, random));
    p.notes.push_back("without T_k: q/k norms stand between the projections and RoPE");
    return p;
}

using preparation = prepared_plan (*)(cm::model_config const&, cm::random_source&);

template <class Site> prepared_plan prepare_site(cm::model_config const& config, cm::random_source& random) {
    return behind_one_type(
        cm::prepare_random<cm::only_sites<cm::fptquant_plan, Site>, float64>(config, random));
}

struct named_plan {
    std::string name;
    preparation prepare;
};

std::vector<named_plan> const& recipes() {
    static std::vector<named_plan> const list{
        {"rtn", [](cm::model_config const& c,
                   cm::random_source&) { return behind_one_type(cm::prepare_rtn<float64>(c)); }},
        {"hadamard",
         [](cm::model_config const& c, cm::random_source& r) {
             return behind_one_type(cm::prepare_hadamard<float64>(c, r));
         }},
        {"random", prepare_fptquant}};
    return list;
}

std::vector<named_plan> const& plans() {
    static std::vector<named_plan> const list{{"fptquant", prepare_fptquant},
                                              {"hadamard", recipes()[1].prepare},
                                              {"query_key", prepare_site<sites::query_key>},
                                              {"value_output", prepare_site<sites::value_output>},
                                              {"up_down", prepare_site<sites::up_down>},
                                              {"residual_stream", prepare_site<sites::residual_stream>},
                                              {"down_input", prepare_site<sites::down_input>},
                                              {"token_scale", prepare_site<sites::token_scale>}};
    return list;
}

std::vector<std::string> names_of(std::vector<named_plan> const& list) {
    std::vector<std::string> names;
    for (auto const& one : list) names.push_back(one.name);
    return names;
}

}  // namespace

std::vector<std::string> const& recipe_names() {
    static std::vector<std::string> const names = names_of(recipes());
    return names;
}

std::vector<std::string> const& plan_names() {
    static std::vector<std::string> const names = names_of(plans());
    return names;
}

prepared_plan prepare_plan(std::string const& name, cm::model_config const& config, std::size_t seed) {
    cm::random_source random(seed);
    for (auto const* list : {&recipes(), &plans()})
        for (auto const& one : *list)
            if (one.name == name) return one.prepare(config, random);
    throw std::invalid_argument("prepare_plan: " + name + " is neither a recipe nor a plan");
}

}  // namespace program
