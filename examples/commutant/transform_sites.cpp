// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "transform_sites.hpp"

#include <algorithm>
#include <iterator>

#include "command.hpp"

namespace program {
namespace {

struct site_choice {
    char const* name;
    bool cm::transform_set::*chosen;
};
constexpr site_choice site_choices[] = {
    {cm::sites::residual_stream::name, &cm::transform_set::residual_stream},
    {cm::sites::query_key::name, &cm::transform_set::query_key},
    {cm::sites::value_output::name, &cm::transform_set::value_output},
    {cm::sites::up_down::name, &cm::transform_set::up_down},
    {cm::sites::down_input::name, &cm::transform_set::down_input},
    {cm::sites::token_scale::name, &cm::transform_set::token_scale}};

}  // namespace

cm::transform_set parsed_transforms(std::string const& text) {
    cm::transform_set s;
    for (std::size_t begin = 0; begin <= text.size();) {
        std::size_t const end = std::min(text.find(',', begin), text.size());
        std::string const name = text.substr(begin, end - begin);
        begin = end + 1;
        if (name == "none" && text == name) return s;
        auto const found = std::find_if(std::begin(site_choices), std::end(site_choices),
                                        [&](site_choice const& c) { return c.name == name; });
        if (found == std::end(site_choices))
            throw usage_error("--transforms: \"" + name +
                              "\" is no site, expected a list such as residual_stream,value_output, or none");
        s.*found->chosen = true;
    }
    return s;
}

std::vector<std::string> site_names(cm::transform_set const& chosen) {
    std::vector<std::string> names;
    for (auto const& c : site_choices)
        if (chosen.*c.chosen) names.emplace_back(c.name);
    return names;
}

}  // namespace program
