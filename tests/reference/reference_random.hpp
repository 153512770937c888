// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "reference_model.hpp"

#include <cstdint>

namespace reference {

/// What a random model has beyond its projections and norms.
struct random_parts {
    bool attention_biases = true;  ///< q, k, v and o
    bool ffn_biases = true;        ///< gate, up and down
    bool qk_norms = false;
    bool tied_head = false;
};

/// A decoder of standard normal embeddings, projections of variance 1 / in_features, biases of deviation 0.3
/// and gains uniform in [0.5, 1.5]. The same seed gives the same weights with every compiler.
weights random_weights(const config& c, std::uint64_t seed, const random_parts& parts = {});

/// The decoder of the conformance cases: two layers, model_dim 16, ffn_dim 24 (3 blocks of 8), head_dim 6, 4
/// query and 2 kv heads, vocabulary 11, half-split RoPE.
config conformance_config();

}  // namespace reference
