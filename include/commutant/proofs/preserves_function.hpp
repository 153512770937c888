// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <commutant/core/prime_field.hpp>
#include <commutant/merge/plan.hpp>
#include <commutant/model/forward.hpp>
#include <commutant/model/random_decoder.hpp>
#include <commutant/proofs/family.hpp>

namespace commutant {

/// Matrices of exact proofs.
using field_matrix = matrix<prime_field>;

namespace detail {
/// RoPE's angles as rational points of the circle: cos = (1 - t^2) / (1 + t^2), sin = 2 t / (1 + t^2).
[[nodiscard]] constexpr rotation_table<field_matrix> random_angles(std::size_t positions, std::size_t n_pairs,
                                                                   parameter_source<prime_field>& source) {
    rotation_table<field_matrix> r{field_matrix(positions, n_pairs), field_matrix(positions, n_pairs)};
    for (std::size_t k = 0; k < r.cosine.size(); ++k) {
        prime_field const t = source.near(0), share = reciprocal(t * t + 1);
        r.cosine.data()[k] = (prime_field(1) - t * t) * share;
        r.sine.data()[k] = prime_field(2) * t * share;
    }
    return r;
}
}  // namespace detail

/// Runs a whole decoder before and after a change to it, in GF(2^61 - 1), and compares every logit.
///
/// Weights, biases, gains, angles, eps and the attention scale are random field elements; softmax and SiLU are
/// uninterpreted. The unchanged model reads its three tokens at once; the changed one reads two, then one over the KV
/// cache it has filled: so the comparison covers order and content of the cache too.
/// change    (decoder, parameter_source<prime_field>&) -> void: what is claimed to preserve the function
template <class Family, class DownInput = block_hadamard_map, class Change>
[[nodiscard]] constexpr bool is_unchanged_by(Change change, std::uint64_t seed = 0x5eed) {
    constexpr model_config c = Family::geometry;
    random_source random(seed);
    parameter_source<prime_field> source(random);
    decoder<field_matrix> const drawn = random_decoder<field_matrix>(c, source);
    decoder<field_matrix, linear<field_matrix>, DownInput> changed{
        drawn.config, drawn.embedding, drawn.layers, drawn.final_norm, drawn.lm_head, {}};
    auto const angles = detail::random_angles(3, c.rotary_dim / 2, source);
    decoder_constants<prime_field> const constants{source.near(1), source.near(0)};
    constexpr std::array<int, 3> tokens{0, 2, 1};

    no_tap tap;
    kv_cache<field_matrix> before(c), after(c);
    field_matrix const expected = logits(drawn, constants, angles, std::span<int const>(tokens), before, tap);
    change(changed, source);
    field_matrix const first =
        logits(changed, constants, angles, std::span<int const>(tokens).first(2), after, tap);
    field_matrix const last =
        logits(changed, constants, angles, std::span<int const>(tokens).last(1), after, tap);
    return append_rows(first, last) == expected;
}

namespace detail {
template <class Family, class Plan> consteval bool plan_preserves_function() {
    return is_unchanged_by<Family, down_input_of<Plan, field_matrix>>(
        [](auto& model, parameter_source<prime_field>& source) {
            fold_plan(random_transforms<Plan, field_matrix>(Family::geometry, source, 2), model);
        });
}
}  // namespace detail

/// Whether a decoder of the family computes the same function after the plan's transforms have been merged into it:
/// the outcome of running the merge and the decoder in exact arithmetic while compiling.
///
/// Model     families::llama with any of the six transforms of FPTQuant.
/// Non-model families::qwen3 with a scaled rotation at query_key: its norm stands between projection and RoPE.
template <class Family, class Plan>
concept preserves_function = detail::plan_preserves_function<Family, Plan>();

}  // namespace commutant
