// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>

#include <commutant/laws/commutes_with.hpp>
#include <commutant/sites/sites.hpp>

namespace commutant {

/// The laws of each site, by name; an error says which one failed and what was left over.
namespace laws {
template <class T>
concept passes_rope = commutes_with<T, operators::rope<pairing::half_split>> &&
    commutes_with<T, operators::rope<pairing::interleaved>>;
template <class T> concept cancels_in_query_key_product = commutes_with<T, operators::query_key_product>;
template <class T> concept passes_attention_mixing = commutes_with<T, operators::attention_mixing>;
template <class T> concept passes_gate_product = commutes_with<T, operators::gate_product>;
template <class T> concept passes_rms_norm = commutes_with<T, operators::rms_norm>;
template <class T> concept has_inverse = commutes_with<T, operators::nothing>;
}  // namespace laws

/// T may stand at query_key: it passes RoPE in both pairings, and its partner on the queries cancels it.
/// Model  scaled_rotation.  Non-model  dense
template <class T>
concept admissible_at_query_key = laws::passes_rope<T> && laws::cancels_in_query_key_product<T>;

/// T may stand at value_output: attention mixes values of one kv head linearly, so anything invertible passes.
/// Model  dense.  Non-model  residual_scale
template <class T>
concept admissible_at_value_output = laws::passes_attention_mixing<T> && laws::has_inverse<T>;

/// T may stand between up_proj and down_proj.
/// Model  channel_scale, permutation.  Non-model  dense
template <class T> concept admissible_at_up_down = laws::passes_gate_product<T> && laws::has_inverse<T>;

/// T may stand on the residual stream: RMSNorm with folded gains does not see it.
/// Model  orthogonal, block_hadamard.  Non-model  dense
template <class T> concept admissible_at_residual_stream = laws::passes_rms_norm<T> && laws::has_inverse<T>;

/// T may stand online in front of down_proj: its inverse is merged right behind it.
/// Model  block_hadamard, dense.  Non-model  residual_scale
template <class T> concept admissible_at_down_input = laws::has_inverse<T>;

namespace detail {
template <class Plan, class Site> using kind_in = kind_of<typename Plan::template kind_at<Site>>;

template <class K> concept absent = std::same_as<K, identity_transform>;
}  // namespace detail

/// What a plan has at each site is admissible there.
template <class Plan>
concept lawful_query_key = detail::absent<detail::kind_in<Plan, sites::query_key>> ||
    admissible_at_query_key<detail::kind_in<Plan, sites::query_key>>;
template <class Plan>
concept lawful_value_output = detail::absent<detail::kind_in<Plan, sites::value_output>> ||
    admissible_at_value_output<detail::kind_in<Plan, sites::value_output>>;
template <class Plan>
concept lawful_up_down = detail::absent<detail::kind_in<Plan, sites::up_down>> ||
    admissible_at_up_down<detail::kind_in<Plan, sites::up_down>>;
template <class Plan>
concept lawful_residual_stream = detail::absent<detail::kind_in<Plan, sites::residual_stream>> ||
    admissible_at_residual_stream<detail::kind_in<Plan, sites::residual_stream>>;
template <class Plan>
concept lawful_down_input = detail::absent<detail::kind_in<Plan, sites::down_input>> ||
    admissible_at_down_input<detail::kind_in<Plan, sites::down_input>>;
template <class Plan>
concept lawful_token_scale = detail::absent<detail::kind_in<Plan, sites::token_scale>> ||
    std::same_as<detail::kind_in<Plan, sites::token_scale>, residual_scale>;

/// Every transform of the plan obeys the law of its site.
template <class Plan>
concept lawful = lawful_query_key<Plan> && lawful_value_output<Plan> && lawful_up_down<Plan> &&
    lawful_residual_stream<Plan> && lawful_down_input<Plan> && lawful_token_scale<Plan>;

}  // namespace commutant
