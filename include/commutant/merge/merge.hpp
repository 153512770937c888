// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <commutant/merge/condition.hpp>
#include <commutant/merge/plan.hpp>
#include <commutant/merge/shapes.hpp>
#include <commutant/model/named_tensors.hpp>
#include <commutant/sites/admissible.hpp>
#include <commutant/transforms/fixed.hpp>

namespace commutant {

/// Merges T_k into k_proj and its partner into q_proj, in place, biases included.
///
/// Shape     of_kv_head: one transform on head_dim features for each kv head;
///           q_proj: [n_heads * head_dim, model_dim]; k_proj: [n_kv_heads * head_dim, model_dim]
/// Law       the transform passes RoPE and cancels in q.k; give the transform RoPE's own pairing
/// Errors    std::invalid_argument with the numbers if shapes do not fit; nothing is written then
template <class W, admissible_at_query_key T, class G>
    requires same_dim_as<G, T> && same_pairing_as<G, T>
void merge_query_key_in_place(std::vector<T> const& of_kv_head, G const& g, linear<W>& q_proj,
                              linear<W>& k_proj) {
    char const* const api = "merge_query_key_in_place";
    detail::require_heads(api, g);
    detail::require_per_kv_head(api, of_kv_head, g);
    detail::require_rows(api, "q_proj", q_proj.weight.rows(),
                         detail::product_text("n_heads * head_dim", g.n_heads, g.head_dim),
                         g.n_heads * g.head_dim);
    detail::require_rows(api, "k_proj", k_proj.weight.rows(),
                         detail::product_text("n_kv_heads * head_dim", g.n_kv_heads, g.head_dim),
                         g.n_kv_heads * g.head_dim);
    detail::require_bias(api, "q_proj", q_proj);
    detail::require_bias(api, "k_proj", k_proj);
    fold_query_key(of_kv_head, g.n_rep(), q_proj, k_proj);
}

/// What is said when the types already show that the merge is wrong.
template <class W, class T, class G>
void merge_query_key_in_place(std::vector<T> const&, G const&, linear<W>&, linear<W>&) {
    static_assert(admissible_at_query_key<T>,
                  "merge_query_key_in_place: give a transform that commutes with RoPE and cancels in q.k, "
                  "such as scaled_rotation");
    static_assert(same_dim_as<G, T>,
                  "merge_query_key_in_place: give the transforms and the heads the same head_dim");
    static_assert(same_pairing_as<G, T>,
                  "merge_query_key_in_place: give the transforms and RoPE the same pairing");
}

/// Merges T_v into v_proj and its inverse into o_proj, in place; o_proj's bias stays.
///
/// Shape     of_kv_head: one transform on head_dim features for each kv head;
///           v_proj: [n_kv_heads * head_dim, model_dim]; o_proj: [model_dim, n_heads * head_dim]
/// Errors    std::invalid_argument with the numbers if shapes do not fit, std::domain_error if a transform's condition
///           number is above the limit; nothing is written then
template <class W, admissible_at_value_output T, class G>
    requires same_dim_as<G, T>
void merge_value_output_in_place(std::vector<T> const& of_kv_head, G const& g, linear<W>& v_proj,
                                 linear<W>& o_proj, condition_limits const& limits = {}) {
    char const* const api = "merge_value_output_in_place";
    detail::require_heads(api, g);
    detail::require_per_kv_head(api, of_kv_head, g);
    detail::require_rows(api, "v_proj", v_proj.weight.rows(),
                         detail::product_text("n_kv_heads * head_dim", g.n_kv_heads, g.head_dim),
                         g.n_kv_heads * g.head_dim);
    detail::require_cols(api, "o_proj", o_proj.weight.cols(),
                         detail::product_text("n_heads * head_dim", g.n_heads, g.head_dim),
                         g.n_heads * g.head_dim);
    detail::require_bias(api, "v_proj", v_proj);
    for (T const& t : of_kv_head) detail::require_condition(api, condition_number(t), limits);
    fold_value_output(of_kv_head, g.n_rep(), v_proj, o_proj);
}

/// What is said when the types already show that the merge is wrong.
template <class W, class T, class G>
void merge_value_output_in_place(std::vector<T> const&, G const&, linear<W>&, linear<W>&,
                                 condition_limits const& = {}) {
    static_assert(admissible_at_value_output<T>,
                  "merge_value_output_in_place: give an invertible linear transform of a head's features, "
                  "such as dense");
    static_assert(same_dim_as<G, T>,
                  "merge_value_output_in_place: give the transforms and the heads the same head_dim");
}

/// Merges T_u into up_proj (a permutation into gate_proj too) and its inverse into down_proj, in place.
///
/// Shape     t: on ffn_dim features; gate_proj, up_proj: [ffn_dim, model_dim]; down_proj: [model_dim, ffn_dim]
/// Errors    std::invalid_argument with the numbers if shapes do not fit; nothing is written then
template <class W, admissible_at_up_down T>
void merge_up_down_in_place(T const& t, linear<W>& gate_proj, linear<W>& up_proj, linear<W>& down_proj) {
    char const* const api = "merge_up_down_in_place";
    detail::require_rows(api, "gate_proj", gate_proj.weight.rows(), "the transform's features", dim(t));
    detail::require_rows(api, "up_proj", up_proj.weight.rows(), "the transform's features", dim(t));
    detail::require_cols(api, "down_proj", down_proj.weight.cols(), "the transform's features", dim(t));
    detail::require_bias(api, "gate_proj", gate_proj);
    detail::require_bias(api, "up_proj", up_proj);
    fold_up_down(t, gate_proj, up_proj, down_proj);
}

/// What is said when the types already show that the merge is wrong.
template <class W, class T> void merge_up_down_in_place(T const&, linear<W>&, linear<W>&, linear<W>&) {
    static_assert(admissible_at_up_down<T>,
                  "merge_up_down_in_place: give a transform that passes the gate product: channel_scale or "
                  "permutation");
}

/// Merges the inverse of an online transform in front of down_proj into its columns, in place.
///
/// Shape     t: on ffn_dim features; down_proj: [model_dim, ffn_dim]
/// Errors    std::invalid_argument with the numbers if shapes do not fit; nothing is written then
template <class W, admissible_at_down_input T>
void merge_down_input_in_place(T const& t, linear<W>& down_proj) {
    detail::require_cols("merge_down_input_in_place", "down_proj", down_proj.weight.cols(),
                         "the transform's features", dim(t));
    merge_input_side(down_proj, dim(t), [&](std::size_t) -> T const& { return t; });
}

/// What a merge found out.
struct merge_report {
    double condition = 1;                 ///< largest condition number of a transform
    std::vector<std::string> warnings{};  ///< one line each
};

/// Merges every transform of a plan into a decoder, in place and in the decoder's own precision (compose in double, round
/// once when writing). T_d and S_n stay online and are noted in m.online.
///
/// Law       every transform is admissible at its site, and the family allows it: no T_k where q and k are normed
/// Errors    std::invalid_argument if shapes do not fit or the family forbids a transform, std::domain_error if a
///           condition number is above the limit; nothing is written then. std::overflow_error if a merged weight is not
///           finite: the decoder is spoilt then
template <lawful Plan, class M, class L, class D>
merge_report merge_in_place(plan_transforms<Plan, M> const& t, decoder<M, L, D>& m,
                            condition_limits const& limits = {}) {
    model_config const& c = m.config;
    if constexpr (Plan::template has<sites::query_key>)
        if (c.qk_norm)
            throw std::invalid_argument(
                "merge_in_place: query_key: RMSNorm stands between the projections and RoPE in this family, "
                "expected a plan without a "
                "transform there");
    if (t.layers.size() != m.layers.size())
        detail::throw_shape("merge_in_place", "transforms for layers:", t.layers.size(), "n_layers",
                            m.layers.size());
    for (auto const& l : m.layers) detail::require_layer_shapes("merge_in_place", l, c);
    heads const g{c.n_heads, c.n_kv_heads, c.head_dim};
    merge_report report;
    for (auto const& l : t.layers) {
        if constexpr (Plan::template has<sites::query_key>) {
            detail::require_per_kv_head("merge_in_place: query_key", l.query_key, g);
            for (auto const& of_head : l.query_key)
                if constexpr (requires { of_head.rope_pairing; })
                    if (of_head.rope_pairing != c.rope_pairing || of_head.rotary_dim() != c.rotary_dim)
                        throw std::invalid_argument(
                            "merge_in_place: query_key: give the transform and RoPE the same pairing and "
                            "rotary_dim");
        }
        if constexpr (Plan::template has<sites::value_output>) {
            detail::require_per_kv_head("merge_in_place: value_output", l.value_output, g);
            for (auto const& of_head : l.value_output) {
                double const k = condition_number(of_head);
                detail::require_condition("merge_in_place: value_output", k, limits);
                report.condition = std::max(report.condition, k);
            }
        }
        if constexpr (Plan::template has<sites::up_down>)
            if (dim(l.up_down) != c.ffn_dim)
                detail::throw_shape("merge_in_place: up_down",
                                    "the transform acts on features:", dim(l.up_down), "ffn_dim", c.ffn_dim);
    }
    if constexpr (Plan::template has<sites::residual_stream>)
        if (dim(t.residual_stream) != c.model_dim)
            detail::throw_shape("merge_in_place: residual_stream",
                                "the transform acts on features:", dim(t.residual_stream), "model_dim",
                                c.model_dim);
    if constexpr (Plan::template has<sites::down_input>)
        if (dim(t.down_input) != c.ffn_dim)
            detail::throw_shape("merge_in_place: down_input",
                                "the transform acts on features:", dim(t.down_input), "ffn_dim", c.ffn_dim);
    if (report.condition > limits.warn)
        report.warnings.push_back("value_output: condition number " + std::to_string(report.condition) +
                                  ": storage rounding grows by about as much");
    fold_plan(t, m);
    visit_tensors(m, [&](std::string const& name, M const& w) {
        detail::require_finite(name, std::span(w.data(), w.size()));
    });
    return report;
}

/// What is said when the types already show that the merge is wrong.
template <class Plan, class M, class L, class D>
merge_report merge_in_place(plan_transforms<Plan, M> const&, decoder<M, L, D>&,
                            condition_limits const& = {}) {
    static_assert(
        lawful_query_key<Plan>,
        "merge_in_place: at query_key give a transform that commutes with RoPE, such as scaled_rotation");
    static_assert(lawful_value_output<Plan>,
                  "merge_in_place: at value_output give an invertible transform, such as dense");
    static_assert(lawful_up_down<Plan>,
                  "merge_in_place: at up_down give a transform that passes the gate product: channel_scale "
                  "or permutation");
    static_assert(lawful_residual_stream<Plan>,
                  "merge_in_place: at residual_stream give an orthogonal transform: RMSNorm sees any other");
    static_assert(lawful_down_input<Plan>,
                  "merge_in_place: at down_input give a transform with an inverse, such as block_hadamard");
    static_assert(lawful_token_scale<Plan>, "merge_in_place: at token_scale give residual_scale");
    return {};
}

}  // namespace commutant
