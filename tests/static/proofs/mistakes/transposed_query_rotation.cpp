// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <cstddef>

#include "planting.hpp"

namespace cm = commutant;

// Keys are multiplied by s R(phi). Their partner on the queries is (1/s) R(phi): the inverse scale, the same
// rotation.

enum class query_takes { inverse_transpose, inverse, transpose, same, nothing };

template <class Family> consteval bool is_unchanged_when(query_takes choice) {
    return cm::is_unchanged_by<Family>([choice](auto& model, auto& source) {
        cm::model_config const& c = model.config;
        auto& layer = model.layers[0];
        auto const t = mistakes::one_for_each_kv_head<cm::scaled_rotation>(c, source);
        cm::merge_output_side(
            layer.k_proj, c.head_dim, [&](std::size_t g) -> auto const& { return t[g]; });
        auto const merge_queries = [&](auto partner_of) {
            cm::merge_output_side(layer.q_proj, c.head_dim,
                                  [&](std::size_t h) { return partner_of(t[cm::kv_head_of(h, c.n_rep())]); });
        };
        switch (choice) {
            case query_takes::inverse_transpose:  // (1/s) R(phi)
                return merge_queries([](auto const& a) { return cm::inverse_transpose(a); });
            case query_takes::inverse:  // (1/s) R(-phi)
                return merge_queries([](auto const& a) { return inverse(a); });
            case query_takes::transpose:  // s R(-phi)
                return merge_queries([](auto const& a) { return transpose(a); });
            case query_takes::same:  // s R(phi)
                return merge_queries([](auto const& a) { return a; });
            case query_takes::nothing:
                return;
        }
    });
}

using cm::families::mistral;
using cm::families::qwen2;

// RoPE on neighbouring features; like Mistral's, on all of them: what fails is the rotation, not the matrix
// on the features without position.
struct interleaved {
    static constexpr cm::model_config geometry = [] {
        cm::model_config c = mistral::geometry;
        c.rope_pairing = cm::pairing::interleaved;
        return c;
    }();
};

static_assert(is_unchanged_when<mistral>(query_takes::inverse_transpose));
static_assert(!is_unchanged_when<mistral>(query_takes::inverse));
static_assert(!is_unchanged_when<mistral>(query_takes::transpose));
static_assert(!is_unchanged_when<mistral>(query_takes::same));
static_assert(!is_unchanged_when<mistral>(query_takes::nothing));

static_assert(is_unchanged_when<interleaved>(query_takes::inverse_transpose));
static_assert(!is_unchanged_when<interleaved>(query_takes::inverse));

// With biases.
static_assert(is_unchanged_when<qwen2>(query_takes::inverse_transpose));
static_assert(!is_unchanged_when<qwen2>(query_takes::inverse));
