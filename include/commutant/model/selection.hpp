// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <commutant/model/named_tensors.hpp>

// Parts of a block's weights. Every weight faces the residual stream on one side: readers take it in, writers give to it. A
// part keeps some features of the stream, and for each linear some features of its other, inner side. Merging a transform
// into a part gives that part of the merged weights, as long as the features that the transform mixes are kept together:
//
//   fold(selected(W)) == selected(fold(W))
//
// T_r mixes the whole stream and no inner feature; T_k, T_v and T_u mix none of the stream's. So what is too large to be
// merged at every step of a training is merged in parts, by the same functions.

namespace commutant {

/// Indices of features, each at most once.
using feature_list = std::vector<std::size_t>;

/// first, first + 1, ... : count of them.
[[nodiscard]] inline feature_list feature_range(std::size_t first, std::size_t count) {
    feature_list list(count);
    std::iota(list.begin(), list.end(), first);
    return list;
}

/// Elements of a matrix: where some rows cross some columns.
struct crossing {
    feature_list rows{};
    feature_list columns{};

    [[nodiscard]] bool is_empty() const { return rows.empty() || columns.empty(); }
};

/// The features that a part of a block keeps: of the stream, and of each linear's inner side.
struct layer_features {
    feature_list stream{};
    feature_list q{}, k{}, v{};  ///< outputs
    feature_list o{};            ///< inputs
    feature_list gate{}, up{};   ///< outputs
    feature_list down{};         ///< inputs
};

[[nodiscard]] inline layer_features all_features(model_config const& c) {
    auto const q = feature_range(0, c.n_heads * c.head_dim), kv = feature_range(0, c.n_kv_heads * c.head_dim),
               ffn = feature_range(0, c.ffn_dim);
    return {feature_range(0, c.model_dim), q, kv, kv, q, ffn, ffn, ffn};
}

/// A part of a block, tensor by tensor.
using layer_selection = decoder_layer<crossing>;

/// The elements that a part of a block consists of; gains of q/k norms stay whole, as every head shares them.
[[nodiscard]] inline layer_selection layer_part(layer_features const& kept, model_config const& c) {
    auto const row = [](feature_list const& features) { return crossing{{0}, features}; };
    auto const reader = [&](feature_list const& outputs) {
        return linear<crossing>{{outputs, kept.stream}, row(outputs)};
    };
    auto const writer = [&](feature_list const& inputs) {
        return linear<crossing>{{kept.stream, inputs}, row(kept.stream)};
    };
    layer_selection s;
    s.attention_norm = s.ffn_norm = row(kept.stream);
    s.q_norm = s.k_norm = row(feature_range(0, c.head_dim));
    s.q_proj = reader(kept.q), s.k_proj = reader(kept.k), s.v_proj = reader(kept.v);
    s.o_proj = writer(kept.o);
    s.gate_proj = reader(kept.gate), s.up_proj = reader(kept.up);
    s.down_proj = writer(kept.down);
    return s;
}

/// Those elements of a matrix.
template <class M> [[nodiscard]] M selected(M const& w, crossing const& kept) {
    if (w.rows() == 0 || kept.is_empty()) return {};
    std::vector<int> const ids(kept.rows.begin(), kept.rows.end());
    std::span<int const> const rows(ids);
    std::span<std::size_t const> const columns(kept.columns);
    // First what leaves less behind.
    if (kept.rows.size() * w.cols() <= kept.columns.size() * w.rows())
        return gather_columns(gather_rows(w, rows), columns);
    return gather_rows(gather_columns(w, columns), rows);
}

/// A part of a block; tensors that the block lacks stay empty.
template <class M>
[[nodiscard]] decoder_layer<M> selected(decoder_layer<M> const& l, layer_selection const& part) {
    std::vector<M const*> tensors;
    visit_layer_tensors(l, 0, [&](std::string const&, M const& w) { tensors.push_back(&w); });
    decoder_layer<M> r;
    std::size_t next = 0;
    visit_layer_pairs(part, r, 0, [&](std::string const&, crossing const& kept, M& w) {
        w = selected(*tensors[next++], kept);
    });
    return r;
}

/// Writes a part of a block to its place in the whole.
template <class M>
void place(decoder_layer<M> const& values, layer_selection const& part, decoder_layer<M>& whole) {
    std::vector<crossing const*> places;
    visit_layer_tensors(part, 0, [&](std::string const&, crossing const& c) { places.push_back(&c); });
    std::size_t next = 0;
    visit_layer_pairs(values, whole, 0, [&](std::string const&, M const& from, M& to) {
        crossing const& at = *places[next++];
        for (std::size_t i = 0; i < from.rows(); ++i)
            for (std::size_t j = 0; j < from.cols(); ++j) to(at.rows[i], at.columns[j]) = from(i, j);
    });
}

/// Elements of a tensor, from anything that has read(name, rows, columns, span): io::checkpoint.
template <class M, class Source>
[[nodiscard]] M load_selected(Source const& source, std::string const& name, crossing const& kept) {
    M w(kept.rows.size(), kept.columns.size());
    source.read(name, std::span<std::size_t const>(kept.rows), std::span<std::size_t const>(kept.columns),
                std::span<typename M::scalar>(w.data(), w.size()));
    return w;
}

/// A part of block i, nothing else of which is read.
template <class M, class Source>
[[nodiscard]] decoder_layer<M> load_layer(Source const& source, std::size_t i, layer_selection const& part) {
    decoder_layer<M> l;
    visit_layer_pairs(part, l, i, [&](std::string const& name, crossing const& kept, M& w) {
        if (source.contains(name) && !kept.is_empty()) w = load_selected<M>(source, name, kept);
    });
    return l;
}

/// Some blocks of a decoder, with embedding and head, or rows of them.
template <class M> struct decoder_part {
    decoder<M> weights{};
    feature_list layers{};   ///< which of the whole decoder's blocks are in it
    double layer_share = 1;  ///< how many of the whole's blocks there are for each one in it
};

}  // namespace commutant
