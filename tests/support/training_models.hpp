// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include <commutant/model/random_decoder.hpp>
#include <commutant/optimize/tape_qr.hpp>
#include <commutant/recipes/starting_parameters.hpp>
#include <commutant/recipes/token_sequences.hpp>
#include <commutant/recipes/trained_merge.hpp>

#include "gradient_check.hpp"

// Small decoders and transforms with parameters, for tests of what trains.

namespace commutant::testing {

/// Two of every index; partial rotary, every bias; a large eps.
inline model_config small_config() {
    model_config c;
    c.n_layers = 2, c.model_dim = 8, c.ffn_dim = 12, c.n_heads = 4, c.n_kv_heads = 2, c.head_dim = 6;
    c.rotary_dim = 4, c.vocab_size = 7, c.max_positions = 8, c.rms_norm_eps = 1e-2;
    c.qkv_bias = c.o_bias = c.mlp_bias = true;
    return c;
}

inline std::vector<int> const small_tokens{1, 5, 3, 3, 6};
inline token_sequences const small_windows{small_tokens, {1, 2, 4, 6, 0, 3, 5}};

inline decoder<running> small_decoder(model_config const& c) {
    random_source random(11);
    parameter_source<double> source(random);
    return random_decoder<running>(c, source);
}

/// Every form of every transform, all together, alone, and without those that fold gains.
inline std::vector<transform_forms> all_forms() {
    transform_set const all{true, true, true, true, true, true};
    transform_set no_stream = all;
    no_stream.residual_stream = no_stream.token_scale = false;
    return {{.chosen = all},
            {.chosen = all, .rotations = orthogonal_form::qr, .values = value_form::svd},
            {.chosen = {.residual_stream = true, .value_output = true, .down_input = true},
             .values = value_form::orthogonal,
             .residual_stream_start = rotation_start::identity,
             .value_output_start = rotation_start::identity},
            {.chosen = no_stream},
            {.chosen = {.value_output = true}, .values = value_form::low_rank, .value_rank = 2},
            {.chosen = {.up_down = true, .token_scale = true}}};
}

inline transform_parameters<running> small_parameters(model_config const& c, transform_forms const& forms) {
    random_source random(21);
    return starting_parameters<running>(c, forms, random);
}

/// Every trained number moved by up to a tenth.
inline void move_randomly(transform_parameters<running>& p) {
    random_source source(22);
    visit_trained(p, [&](auto, auto const&, running& x) {
        x.values += 0.2 * random_values(source, x.rows(), x.cols()).values;
    });
}

inline transform_parameters<running> moved_parameters(model_config const& c, transform_forms const& forms) {
    auto p = small_parameters(c, forms);
    move_randomly(p);
    return p;
}

/// The trained matrices, and back.
inline std::vector<running> values_of(transform_parameters<running> const& p) {
    std::vector<running> values;
    visit_trained(p, [&](auto, auto const&, running const& x) { values.push_back(x); });
    return values;
}
template <class M>
transform_parameters<M> with_values(transform_parameters<running> const& p, std::vector<M> const& values) {
    auto r = mapped<M>(p, [](running const& x) { return M(x); });
    std::size_t next = 0;
    visit_trained(r, [&](auto, auto const&, M& x) { x = values[next++]; });
    return r;
}

}  // namespace commutant::testing
