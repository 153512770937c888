// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "distributions.hpp"

#include <functional>
#include <string>

#include <commutant/recipes/distributions.hpp>

namespace program {
namespace {

json numbers_of(cm::value_statistics const& s) {
    return {{"count", s.count()},
            {"max", s.max_abs()},
            {"rms", s.rms()},
            {"max_over_rms", s.max_over_rms()},
            {"kurtosis", s.kurtosis()}};
}

/// Bins of absolute values in units of the rms, from the first that is not far below it.
json histogram_of(cm::value_statistics const& s) {
    json edges = json::array(), counts = json::array();
    if (s.rms() == 0) return {{"edges", edges}, {"counts", counts}};
    auto const& bins = s.histogram();
    auto const edge = [&](std::size_t k) { return cm::value_statistics::bin_begin(k) / s.rms(); };
    std::size_t first = 0, end = bins.size();
    std::size_t below = 0;
    while (end > 0 && bins[end - 1] == 0) --end;
    constexpr double least = 1.0 / 64;
    while (first + 1 < end && edge(first + 1) < least) below += bins[first++];
    for (std::size_t k = first; k < end; ++k) {
        edges.push_back(edge(k));
        counts.push_back(bins[k] + (k == first ? below : 0));
    }
    if (end != 0) edges.push_back(edge(end));
    return {{"edges", edges}, {"counts", counts}};
}

}  // namespace

json distributions_of(char const* label, cm::decoder<float32> const& model,
                      cm::token_sequences const& windows, cm::coverage covered) {
    json r{{"activations", json::array()}, {"weights", json::array()}};
    progress_bar bar(label);
    auto const seen = cm::activation_distributions(model, windows, covered, std::ref(bar));
    for (std::size_t layer = 0; layer <= model.layers.size(); ++layer)
        for (std::size_t i = 0; i < cm::n_locations; ++i) {
            auto const where = static_cast<cm::location>(i);
            auto const& s = seen.at(layer, where);
            if (s.first_token.count() == 0) continue;
            r["activations"].push_back({{"place", to_string(where)},
                                        {"layer", layer},
                                        {"all", numbers_of(s.all())},
                                        {"behind_first", numbers_of(s.behind_first)},
                                        {"histogram", histogram_of(s.behind_first)}});
        }
    for (std::size_t layer = 0; layer < model.layers.size(); ++layer)
        cm::visit_layer_linears(model, layer, [&](std::string const& name, cm::linear<float32> const& l) {
            cm::value_statistics s;
            s.observe(std::span<float const>(l.weight.data(), l.weight.size()));
            json entry{{"place", name.substr(name.rfind('.') + 1)}, {"layer", layer}};
            entry.update(numbers_of(s));
            entry["histogram"] = histogram_of(s);
            r["weights"].push_back(std::move(entry));
        });
    return r;
}

}  // namespace program
