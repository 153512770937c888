// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <cstddef>

#include "planting.hpp"

namespace cm = commutant;
using cm::families::qwen2;
using cm::families::qwen3;

// RMSNorm between projection and RoPE stops scaled rotations. What is left is one scale for each RoPE pair,
// in the gains of the two norms, which all heads share.

using scaled_rotation_alone = cm::plan<cm::at<cm::sites::query_key, cm::scaled_rotation>>;
static_assert(cm::preserves_function<qwen2, scaled_rotation_alone>);
static_assert(!cm::preserves_function<qwen3, scaled_rotation_alone>);

// Not even a rotation without a scale, though the norm keeps its length: the gain stands behind.
struct plain_rotation {
    template <class S> static constexpr cm::block2<S> block(S const& t) {
        S const share = S(1) / (S(1) + t * t);
        S const c = (S(1) - t * t) * share, s = S(2) * t * share;
        return {c, s, -s, c};
    }
};
using plain_rotation_alone = cm::plan<cm::at<cm::sites::query_key, plain_rotation>>;
static_assert(cm::preserves_function<qwen2, plain_rotation_alone>);
static_assert(!cm::preserves_function<qwen3, plain_rotation_alone>);

enum class scale_of { pair, neighbours, feature };

consteval bool is_unchanged_by_gains(scale_of choice) {
    return cm::is_unchanged_by<qwen3>([choice](auto& model, auto& source) {
        std::size_t const n = model.config.head_dim;
        auto const drawn = cm::parameter_matrix<cm::field_matrix>(source, 1, n, 1);
        cm::field_matrix s(1, n);
        for (std::size_t j = 0; j < n; ++j)
            s(0, j) = drawn(0, choice == scale_of::pair         ? j % (n / 2)
                               : choice == scale_of::neighbours ? j / 2
                                                                : j);
        auto& layer = model.layers[0];
        layer.k_norm = scale_columns(layer.k_norm, s);
        layer.q_norm = scale_columns(layer.q_norm, reciprocal(s));
    });
}
static_assert(qwen3::geometry.rope_pairing == cm::pairing::half_split);
static_assert(is_unchanged_by_gains(scale_of::pair));
static_assert(!is_unchanged_by_gains(scale_of::neighbours));
static_assert(!is_unchanged_by_gains(scale_of::feature));
