// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/core/matrix.hpp>

namespace commutant {

/// The product of a gated MLP: linear in up, whatever the gate's activation is.
///
/// Shape     activated_gate, up: [tokens, ffn_dim]
template <class M> [[nodiscard]] constexpr M gate_product(M const& activated_gate, M const& up) {
    return elementwise_product(activated_gate, up);
}

}  // namespace commutant
