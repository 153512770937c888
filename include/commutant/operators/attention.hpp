// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include <commutant/core/matrix.hpp>

namespace commutant {

/// kv head that query head h reads: consecutive repeat, never cyclic.
[[nodiscard]] constexpr std::size_t kv_head_of(std::size_t query_head, std::size_t n_rep) {
    return query_head / n_rep;
}

/// Attention probabilities of one head.
///
/// Equation  softmax(scale q k^T), token i of q standing at position first_position + i
/// Shape     q: [tokens, head_dim]; k: [positions, head_dim]; result: [tokens, positions]
template <class M>
[[nodiscard]] constexpr M attention_probabilities(M const& q, M const& k, typename M::scalar const& scale,
                                                  std::size_t first_position) {
    return causal_softmax(scaled(product_transposed(q, k), scale), first_position);
}

/// The mixing of values: linear in v, whatever the probabilities are.
///
/// Shape     probabilities: [tokens, positions]; v: [positions, head_dim]
template <class M> [[nodiscard]] constexpr M attention_mix(M const& probabilities, M const& v) {
    return product(probabilities, v);
}

}  // namespace commutant
