// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <type_traits>

#include <commutant/merge/plan.hpp>

namespace commutant {

namespace detail {
template <class Left, class Right> struct joined_plan;
template <class... Left, class... Right> struct joined_plan<plan<Left...>, plan<Right...>> {
    using type = plan<Left..., Right...>;
};

/// The plan's entries whose site is (Keep) or is not (!Keep) among Sites.
template <bool Keep, class Plan, class... Sites> struct filtered_plan;
template <bool Keep, class... Sites> struct filtered_plan<Keep, plan<>, Sites...> { using type = plan<>; };
template <bool Keep, class First, class... Rest, class... Sites>
struct filtered_plan<Keep, plan<First, Rest...>, Sites...> {
    static constexpr bool named = (std::same_as<typename First::site, Sites> || ...);
    using type = typename joined_plan<std::conditional_t<named == Keep, plan<First>, plan<>>,
                                      typename filtered_plan<Keep, plan<Rest...>, Sites...>::type>::type;
};
}  // namespace detail

/// A plan with nothing but what it has at the named sites.
template <class Plan, class... Sites>
using only_sites = typename detail::filtered_plan<true, Plan, Sites...>::type;

/// A plan with nothing at the named sites.
template <class Plan, class... Sites>
using without_sites = typename detail::filtered_plan<false, Plan, Sites...>::type;

/// What of a plan costs nothing at inference: the part that a plain checkpoint can carry.
template <class Plan> using mergeable_plan = without_sites<Plan, sites::down_input, sites::token_scale>;

/// What of a plan runs at inference: T_d and S_n.
template <class Plan> using online_plan = only_sites<Plan, sites::down_input, sites::token_scale>;

/// The transforms of some sites of a plan, with the parameters they have in the whole.
///
/// Merging mergeable_plan first and online_plan then is merging the whole.
template <class Part, class Plan, class M>
[[nodiscard]] plan_transforms<Part, M> part_of(plan_transforms<Plan, M> const& whole) {
    plan_transforms<Part, M> part;
    for (auto const& from : whole.layers) {
        layer_transforms<Part, M> to;
        if constexpr (Part::template has<sites::query_key>) to.query_key = from.query_key;
        if constexpr (Part::template has<sites::value_output>) to.value_output = from.value_output;
        if constexpr (Part::template has<sites::up_down>) to.up_down = from.up_down;
        part.layers.push_back(std::move(to));
    }
    if constexpr (Part::template has<sites::residual_stream>) part.residual_stream = whole.residual_stream;
    if constexpr (Part::template has<sites::down_input>) part.down_input = whole.down_input;
    return part;
}

}  // namespace commutant
