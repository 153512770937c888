// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <commutant/core/random.hpp>
#include <commutant/model/selection.hpp>
#include <commutant/optimize/mixing_units.hpp>
#include <commutant/recipes/trained_merge.hpp>

// Samples of weights, drawn without preference: every element of a weight is as likely to be in the sample as any other, so
// that the mean of any function of the merged weight's elements is estimated without bias.

namespace commutant {

/// n of the indices below `total` (all if there are fewer), every set of them as likely as any other; ascending.
[[nodiscard]] inline feature_list random_subset(random_source& random, std::size_t n, std::size_t total) {
    auto all = feature_range(0, total);
    if (n >= total) return all;
    for (std::size_t i = 0; i < n; ++i) std::swap(all[i], all[i + random.next_below(total - i)]);
    all.resize(n);
    std::sort(all.begin(), all.end());
    return all;
}

/// What of a block T_r is merged into at one step: some units of what the other transforms mix, and of the merged features
/// of these units some.
struct layer_sample {
    mixing_units units{};
    layer_features features{};  ///< counted within the units
};

/// About n features of each linear's inner side, and no fewer units than they need.
///
/// down_block  width of a block of T_d
[[nodiscard]] inline layer_sample random_layer_sample(random_source& random, std::size_t n,
                                                      std::size_t down_block, model_config const& c) {
    auto const some_units = [&](std::size_t width, std::size_t total) {
        return random_subset(random, (n + width - 1) / width, total / width);
    };
    layer_sample s;
    s.units.kv_heads = some_units(c.head_dim, c.n_kv_heads * c.head_dim);
    s.units.down_blocks = some_units(down_block, c.ffn_dim);
    auto const among = features_of(s.units, down_block, c);
    auto const some = [&](feature_list const& features) { return random_subset(random, n, features.size()); };
    s.features = {among.stream,  some(among.q),    some(among.k),  some(among.v),
                  some(among.o), some(among.gate), some(among.up), some(among.down)};
    return s;
}

/// Sampled features of block i after every transform but T_r, and gains as they are: what T_r is merged into.
///
/// Source    has config(), contains(name) and read(name, rows, columns, span): io::checkpoint; nothing but the units is read
template <class M, class Source>
[[nodiscard]] decoder_layer<M> sampled_layer(Source const& source, transform_parameters<M> const& p,
                                             std::size_t i, layer_sample const& sample) {
    model_config const& c = source.config();
    auto const among = features_of(sample.units, p.down_input.block(), c);
    auto units = decoder_of_block(c, load_layer<M>(source, i, layer_part(among, c)));
    fold_inner(inner_parameters(p, i, among, sample.units), units);
    return selected(units.layers[0], layer_part(sample.features, c));
}

/// Name of the tensor that the head is stored in.
[[nodiscard]] inline std::string head_name(model_config const& c) {
    return c.tied_head ? "model.embed_tokens.weight" : "lm_head.weight";
}

/// n features of each weight of the named blocks, n rows of embedding and head.
template <class M, class Source>
[[nodiscard]] decoder_part<M> sample_for_rotation(Source const& source, transform_parameters<M> const& p,
                                                  feature_list layers, std::size_t n, random_source& random) {
    model_config const& c = source.config();
    auto const stream = feature_range(0, c.model_dim);
    auto const some_rows = [&](std::string const& name) {
        return load_selected<M>(source, name, {random_subset(random, n, c.vocab_size), stream});
    };
    decoder_part<M> s;
    s.weights.config = c;
    s.weights.config.n_layers = layers.size();
    s.weights.embedding = some_rows("model.embed_tokens.weight");
    for (std::size_t const i : layers)
        s.weights.layers.push_back(
            sampled_layer(source, p, i, random_layer_sample(random, n, p.down_input.block(), c)));
    s.weights.final_norm = load_selected<M>(source, "model.norm.weight", {{0}, stream});
    s.weights.lm_head.weight = some_rows(head_name(c));
    s.layer_share = static_cast<double>(c.n_layers) / static_cast<double>(layers.size());
    s.layers = std::move(layers);
    return s;
}

/// n features of the stream, of every weight of a block that T_r has been merged into: what T_k, T_v and T_u are merged
/// into.
template <class M>
[[nodiscard]] decoder_layer<M> sample_of_stream(decoder_layer<M> const& rotated, std::size_t n,
                                                model_config const& c, random_source& random) {
    auto kept = all_features(c);
    if (n >= c.model_dim) return rotated;
    kept.stream = random_subset(random, n, c.model_dim);
    return selected(rotated, layer_part(kept, c));
}

}  // namespace commutant
