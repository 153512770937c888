// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include <commutant/merge/query_key.hpp>
#include <commutant/merge/residual_stream.hpp>
#include <commutant/merge/up_down.hpp>
#include <commutant/merge/value_output.hpp>
#include <commutant/sites/sites.hpp>
#include <commutant/transforms/value.hpp>

namespace commutant {

/// The transforms of a plan with their parameters, for one block.
///
/// Shape     query_key, value_output: one on head_dim features for each kv head; up_down: on ffn_dim features
template <class Plan, class M> struct layer_transforms {
    template <class Site> using value_at = value_of<typename Plan::template kind_at<Site>, M>;

    std::vector<value_at<sites::query_key>> query_key{};
    std::vector<value_at<sites::value_output>> value_output{};
    value_at<sites::up_down> up_down{};
};

/// The transforms of a plan with their parameters, for a whole decoder.
template <class Plan, class M> struct plan_transforms {
    using plan_type = Plan;
    using matrix_type = M;
    template <class Site> using value_at = value_of<typename Plan::template kind_at<Site>, M>;

    std::vector<layer_transforms<Plan, M>> layers{};
    value_at<sites::residual_stream> residual_stream{};  ///< on model_dim features
    value_at<sites::down_input> down_input{};            ///< on ffn_dim features
};

/// What a decoder needs at down_input for a plan; the block Hadamard's type where the plan has nothing there.
template <class Plan, class M>
using down_input_of =
    std::conditional_t<Plan::template has<sites::down_input>,
                       value_of<typename Plan::template kind_at<sites::down_input>, M>, block_hadamard_map>;

/// Transforms of every kind in the plan with parameters drawn from the source.
///
/// down_block: width of the blocks at down_input; 0: as wide as they may be
template <class Plan, class M>
[[nodiscard]] constexpr plan_transforms<Plan, M> random_transforms(
    model_config const& c, parameter_source<typename M::scalar>& source, std::size_t down_block = 0) {
    plan_transforms<Plan, M> t;
    auto const make = [&]<class Site>(Site, transform_shape const& shape) {
        return make_transform<typename Plan::template kind_at<Site>, M>(source, shape);
    };
    transform_shape const head{c.head_dim, c.rotary_dim, c.rope_pairing};
    for (std::size_t i = 0; i < c.n_layers; ++i) {
        layer_transforms<Plan, M> l;
        for (std::size_t g = 0; g < c.n_kv_heads; ++g) {
            l.query_key.push_back(make(sites::query_key{}, head));
            l.value_output.push_back(make(sites::value_output{}, {c.head_dim}));
        }
        l.up_down = make(sites::up_down{}, {c.ffn_dim});
        t.layers.push_back(std::move(l));
    }
    t.residual_stream = make(sites::residual_stream{}, {c.model_dim});
    t.down_input = make(sites::down_input{}, {.dim = c.ffn_dim, .block = down_block});
    return t;
}

/// Whether a plan moves the residual stream's norm gains into the linears.
template <class Plan>
inline constexpr bool folds_gains =
    Plan::template has<sites::residual_stream> || Plan::template has<sites::token_scale>;

/// Every transform of a plan into one block, in the working precision of its matrices.
template <class Plan, class M, class L>
constexpr void fold_layer(plan_transforms<Plan, M> const& t, layer_transforms<Plan, M> const& of_layer,
                          model_config const& c, decoder_layer<M, L>& l) {
    if constexpr (folds_gains<Plan>) fold_gains(l);
    if constexpr (Plan::template has<sites::residual_stream>) fold_residual_stream(t.residual_stream, l);
    if constexpr (Plan::template has<sites::query_key>)
        fold_query_key(of_layer.query_key, c.n_rep(), l.q_proj, l.k_proj);
    if constexpr (Plan::template has<sites::value_output>)
        fold_value_output(of_layer.value_output, c.n_rep(), l.v_proj, l.o_proj);
    if constexpr (Plan::template has<sites::up_down>)
        fold_up_down(of_layer.up_down, l.gate_proj, l.up_proj, l.down_proj);
    if constexpr (Plan::template has<sites::down_input>)
        merge_input_side(
            l.down_proj, dim(t.down_input), [&](std::size_t) -> auto const& { return t.down_input; });
}

/// Rows of the embedding, after T_r.  rows: [n, model_dim]
template <class Plan, class M>
[[nodiscard]] constexpr M merged_embedding_rows(plan_transforms<Plan, M> const& t, M const& rows) {
    if constexpr (Plan::template has<sites::residual_stream>)
        return apply(t.residual_stream, rows);
    else
        return rows;
}

/// Rows of the head, after the final norm's gain and the inverse of T_r.
///
/// Shape     rows: [n, model_dim]; gain: [1, model_dim], or empty if folded already
template <class Plan, class M>
[[nodiscard]] constexpr M merged_head_rows(plan_transforms<Plan, M> const& t, M const& gain, M rows) {
    if constexpr (folds_gains<Plan>)
        if (gain.rows() != 0) rows = scale_columns(rows, gain);
    if constexpr (Plan::template has<sites::residual_stream>)
        rows = apply(inverse_transpose(t.residual_stream), rows);
    return rows;
}

/// Parts of a decoder into which a plan is folded one by one: its blocks, then the embedding, then the head.
template <class M, class L, class D> [[nodiscard]] constexpr std::size_t n_pieces(decoder<M, L, D> const& m) {
    return m.layers.size() + 2;
}

/// Every transform of a plan into one part of a decoder. A tied head must have been untied (untie_head).
///
/// piece     below n_pieces(m)
template <class Plan, class M, class L, class D>
constexpr void fold_piece(plan_transforms<Plan, M> const& t, std::size_t piece, decoder<M, L, D>& m) {
    if (piece < m.layers.size()) {
        fold_layer(t, t.layers[piece], m.config, m.layers[piece]);
    } else if (piece == m.layers.size()) {
        m.embedding = merged_embedding_rows(t, m.embedding);
    } else if constexpr (folds_gains<Plan>) {
        m.lm_head.weight = merged_head_rows(t, m.final_norm, std::move(m.lm_head.weight));
        m.final_norm = M{};
    }
}

/// Every transform of a plan into a decoder; what stays online is noted in m.online.
///
/// Note      no law is asked for here: proofs run this very function to find out. Programs call merge_in_place, which does.
template <class Plan, class M, class L, class D>
constexpr void fold_plan(plan_transforms<Plan, M> const& t, decoder<M, L, D>& m) {
    if constexpr (folds_gains<Plan>) untie_head(m);
    for (std::size_t piece = 0; piece < n_pieces(m); ++piece) fold_piece(t, piece, m);
    if constexpr (Plan::template has<sites::down_input>) m.online.down_input = t.down_input;
    if constexpr (Plan::template has<sites::token_scale>) m.online.token_scale = true;
}

}  // namespace commutant
