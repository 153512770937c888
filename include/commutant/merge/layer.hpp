// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>

#include <commutant/merge/merge.hpp>
#include <commutant/readings/weight_ref.hpp>

namespace commutant {

namespace detail {
using merge_matrix = eigen_matrix<double>;

template <class T> [[nodiscard]] merge_matrix loaded(weight_ref<T> const& w) {
    if (w.rows() == 0) return {};
    return row_block(w, 0, w.rows());
}

/// Replaces the rows of a buffer by f(rows), 256 at a time.
template <class T, class F> void in_row_chunks(weight_ref<T>& w, F f) {
    for (std::size_t begin = 0; begin < w.rows(); begin += 256)
        set_row_block(w, begin, f(row_block(w, begin, std::min<std::size_t>(256, w.rows() - begin))));
}
}  // namespace detail

/// Merges every transform of a plan into one block of the caller's model, in place: composed in double precision, rounded
/// once to the buffers' type. A folded gain is left as ones. Work space: this block in double.
///
/// Shape     buffers as decoder_layer has them; biases and gains [1, features], or empty where the family has none
/// Note      T_d and S_n then run online, see model/; embedding and head: merge_embedding_in_place, merge_head_in_place
/// Errors    std::invalid_argument if shapes do not fit or the family forbids a transform, std::domain_error above the
///           condition limit, std::overflow_error if a merged weight is not finite in the buffer's type; nothing is
///           written then
template <lawful Plan, class T>
merge_report merge_layer_in_place(plan_transforms<Plan, detail::merge_matrix> const& t,
                                  std::size_t layer_index, model_config const& c,
                                  decoder_layer<weight_ref<T>>& buffers,
                                  condition_limits const& limits = {}) {
    using M = detail::merge_matrix;
    if (layer_index >= t.layers.size())
        detail::throw_shape("merge_layer_in_place", "transforms for layers:", t.layers.size(),
                            "more than layer_index", layer_index + 1);
    // One block is a decoder of one block: the same checks and the same merge.
    auto one = decoder_of_block<M>(c, {});
    visit_layer_pairs(
        buffers, one.layers[0], layer_index,
        [](std::string const&, weight_ref<T> const& from, M& to) { to = detail::loaded(from); });
    detail::require_layer_shapes("merge_layer_in_place", one.layers[0], c);
    plan_transforms<Plan, M> of_block;
    of_block.layers = {t.layers[layer_index]};
    of_block.residual_stream = t.residual_stream;
    of_block.down_input = t.down_input;
    merge_report const report = merge_in_place(of_block, one, limits);
    visit_layer_pairs(
        one.layers[0], buffers, layer_index, [](std::string const& name, M const& from, weight_ref<T>&) {
            auto const narrow = from.values.template cast<T>().eval();
            if (!narrow.template cast<double>().allFinite())
                throw std::overflow_error(
                    name + ": a merged weight is not finite in the buffer's type, expected finite weights");
        });
    visit_layer_pairs(
        one.layers[0], buffers, layer_index, [](std::string const&, M const& from, weight_ref<T>& to) {
            if (to.rows() == 0) return;
            set_row_block(to, 0, from.rows() != 0 ? from : shifted(M(to.rows(), to.cols()), 1.0));
        });
    return report;
}

/// Merges T_r into the embedding, in place, a few rows at a time.
///
/// Shape     embedding: [vocab_size, model_dim]
template <lawful Plan, class T>
void merge_embedding_in_place(plan_transforms<Plan, detail::merge_matrix> const& t,
                              weight_ref<T>& embedding) {
    if constexpr (Plan::template has<sites::residual_stream>) {
        detail::require_cols("merge_embedding_in_place", "embedding", embedding.cols(),
                             "the transform's features", dim(t.residual_stream));
        detail::in_row_chunks(
            embedding, [&](detail::merge_matrix const& rows) { return merged_embedding_rows(t, rows); });
    }
}

/// Merges the final norm's gain and T_r's inverse into the head, in place, a few rows at a time; the gain is left as ones.
///
/// Shape     final_norm: [1, model_dim]; lm_head: [vocab_size, model_dim], not the embedding's own buffer (untie it first)
template <lawful Plan, class T>
void merge_head_in_place(plan_transforms<Plan, detail::merge_matrix> const& t, weight_ref<T>& final_norm,
                         weight_ref<T>& lm_head) {
    if constexpr (folds_gains<Plan>) {
        detail::require_cols("merge_head_in_place", "final_norm", final_norm.cols(), "lm_head's columns",
                             lm_head.cols());
        auto const gain = detail::loaded(final_norm);
        detail::in_row_chunks(
            lm_head, [&](detail::merge_matrix const& rows) { return merged_head_rows(t, gain, rows); });
        set_row_block(final_norm, 0, shifted(detail::merge_matrix(1, final_norm.cols()), 1.0));
    }
}

}  // namespace commutant
