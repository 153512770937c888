// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include <commutant/merge/merge.hpp>
#include <commutant/optimize/transform_parameters.hpp>
#include <commutant/recipes/fptquant.hpp>
#include <commutant/recipes/part_of_plan.hpp>

// Transforms whose parameters are trained, merged by the same functions as any others. Which of them are at work is known at
// run time only; those that are not are the identity, except that a plan which needs folded gains is another type than one
// which leaves them where they are.

namespace commutant {

/// FPTQuant's plan without the two transforms that need the norms' gains folded.
using gain_keeping_plan = without_sites<fptquant_plan, sites::residual_stream, sites::token_scale>;

/// Whether a choice of transforms needs the gains folded.
[[nodiscard]] constexpr bool folds_gains_of(transform_set const& s) noexcept {
    return s.residual_stream || s.token_scale;
}

/// What stays online after a choice of transforms has been merged.
template <class M> void note_online(transform_parameters<M> const& p, eps_rule eps, online_parts<>& online) {
    online = {};
    if (p.chosen.down_input) online.down_input = p.down_input;
    online.token_scale = p.chosen.token_scale;
    online.eps = eps;
}

/// Calls f(transforms) with the transforms as the plan that the choice asks for.
template <class M, class F>
void with_chosen_plan(transform_parameters<M> const& p, model_config const& c, F f) {
    if (folds_gains_of(p.chosen))
        f(transforms_of<fptquant_plan>(p, c));
    else
        f(transforms_of<gain_keeping_plan>(p, c));
}

/// Merges the pieces that `mine` names; what the others hold is left as it was.
///
/// mine      (piece) -> bool
template <class M, class F>
void fold_parameters(transform_parameters<M> const& p, eps_rule eps, decoder<M>& m, F mine) {
    if (folds_gains_of(p.chosen)) untie_head(m);
    with_chosen_plan(p, m.config, [&](auto const& t) {
        for (std::size_t piece = 0; piece < n_pieces(m); ++piece)
            if (mine(piece)) fold_piece(t, piece, m);
    });
    note_online(p, eps, m.online);
}

/// Merges T_r and the norms' gains, and nothing else.
///
/// Shape     q: [model_dim, model_dim]
template <class M> void fold_rotation(M const& q, decoder<M>& m) {
    plan_transforms<only_sites<fptquant_plan, sites::residual_stream>, M> t;
    t.layers.resize(m.layers.size());
    t.residual_stream = {q};
    fold_plan(t, m);
}

/// Merges T_k, T_v, T_u and T_d: what acts on the inner sides of weights, T_r or gains left aside. What is not chosen must be
/// the identity.
template <class M> void fold_inner(transform_parameters<M> const& p, decoder<M>& m) {
    fold_plan(transforms_of<gain_keeping_plan>(p, m.config), m);
}

/// Merges everything.
template <class M> void fold_parameters(transform_parameters<M> const& p, eps_rule eps, decoder<M>& m) {
    fold_parameters(p, eps, m, [](std::size_t) { return true; });
}

namespace detail {
/// The part of a plan's transforms that a plain checkpoint can carry.
template <class Plan, class M>
merge_report merge_mergeable(plan_transforms<Plan, M> const& t, decoder<M>& m,
                             condition_limits const& limits) {
    using offline = mergeable_plan<Plan>;
    if (m.config.qk_norm)
        return merge_in_place(part_of<without_sites<offline, sites::query_key>>(t), m, limits);
    return merge_in_place(part_of<offline>(t), m, limits);
}
}  // namespace detail

/// Merges what a plain checkpoint can carry, with all the checks of merge_in_place.
template <class M>
merge_report merge_offline(transform_parameters<M> const& p, decoder<M>& m, condition_limits const& limits) {
    merge_report report;
    with_chosen_plan(p, m.config, [&](auto const& t) { report = detail::merge_mergeable(t, m, limits); });
    return report;
}

/// Merges T_k, T_v and T_u, with the same checks.
template <class M>
merge_report merge_inner(transform_parameters<M> const& p, decoder<M>& m, condition_limits const& limits) {
    return detail::merge_mergeable(transforms_of<gain_keeping_plan>(p, m.config), m, limits);
}

/// Then merges what stays online.
template <class M>
void merge_online(transform_parameters<M> const& p, eps_rule eps, decoder<M>& m,
                  condition_limits const& limits) {
    if (p.chosen.down_input)
        merge_in_place(
            part_of<only_sites<fptquant_plan, sites::down_input>>(transforms_of<fptquant_plan>(p, m.config)),
            m, limits);
    if (p.chosen.token_scale)
        merge_in_place(
            part_of<only_sites<fptquant_plan, sites::token_scale>>(transforms_of<fptquant_plan>(p, m.config)),
            m, limits);
    note_online(p, eps, m.online);
}

}  // namespace commutant
