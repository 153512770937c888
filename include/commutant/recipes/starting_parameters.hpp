// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <stdexcept>
#include <string>

#include <commutant/optimize/transform_parameters.hpp>
#include <commutant/recipes/hadamard.hpp>

namespace commutant {

/// Where rotations start.
enum class rotation_start { identity, hadamard };

/// What is trained, in which form, from where.
struct transform_forms {
    transform_set chosen{};
    orthogonal_form rotations = orthogonal_form::cayley;
    value_form values = value_form::dense;
    std::size_t value_rank = 0;  ///< of value_form::low_rank; 0: an eighth of head_dim
    rotation_start residual_stream_start = rotation_start::hadamard;
    rotation_start value_output_start = rotation_start::hadamard;
    std::size_t down_block = 0;  ///< width of T_d's blocks; 0: the largest power of two that divides ffn_dim
};

/// Factors whose product is zero, from where both can be trained: A is zero, B random with columns of about unit length.
///
/// Shape     result: [2 dim, rank], A above B
/// Errors    std::domain_error if the rank is above dim
template <class M> [[nodiscard]] M low_rank_start(std::size_t dim, std::size_t rank, random_source& random) {
    if (rank > dim)
        throw std::domain_error("low_rank_start: rank " + std::to_string(rank) + ", expected at most " +
                                std::to_string(dim));
    using scalar = typename M::scalar;
    std::size_t const n = rank != 0 ? rank : (dim + 7) / 8;
    parameter_source<scalar> source(random);
    M const b = scaled(parameter_matrix<M>(source, dim, n, 0),
                       static_cast<scalar>(std::sqrt(12 / static_cast<double>(dim))));
    return append_rows(M(dim, n), b);
}

/// FPTQuant's transforms (arXiv:2506.04985), but for S_n, whose place is decided by measurement.
[[nodiscard]] inline transform_forms fptquant_forms() {
    return {.chosen = {.residual_stream = true,
                       .query_key = true,
                       .value_output = true,
                       .up_down = true,
                       .down_input = true},
            .values = value_form::dense};
}

/// The transforms of SpinQuant (arXiv:2405.16406): rotations on the residual stream and on each head's values, and a
/// Hadamard in front of down_proj.
[[nodiscard]] inline transform_forms spinquant_forms() {
    return {.chosen = {.residual_stream = true, .value_output = true, .down_input = true},
            .values = value_form::orthogonal};
}

/// Parameters to start from: randomised Hadamard matrices or the identity for rotations, the identity for scales; transforms
/// that are not chosen are the identity. T_k is left out where queries and keys are normed.
///
/// Errors    std::domain_error if down_block or value_rank does not fit
template <class M>
[[nodiscard]] transform_parameters<M> starting_parameters(model_config const& c, transform_forms const& forms,
                                                          random_source& random) {
    transform_parameters<M> p;
    p.chosen = forms.chosen;
    if (c.qk_norm) p.chosen.query_key = false;
    auto const rotation = [&](std::size_t dim, bool chosen, rotation_start from) {
        orthogonal_parameters<M> q{forms.rotations, identity_matrix<M>(dim), {}};
        if (!chosen) return q;
        if (from == rotation_start::hadamard) {
            auto const cover = detail::cover_with_hadamard(dim, "");
            q.start = randomised_hadamard<M>(cover.order, cover.n_blocks, random).q;
        }
        q.train_from_start();
        return q;
    };
    p.residual_stream = rotation(c.model_dim, p.chosen.residual_stream, forms.residual_stream_start);
    auto const of_value = [&] {
        value_parameters<M> v;
        v.left = rotation(c.head_dim, p.chosen.value_output, forms.value_output_start);
        if (!p.chosen.value_output || forms.values == value_form::orthogonal) return v;
        v.form = forms.values;
        if (forms.values == value_form::dense) {
            v.matrix = v.left.start;
            v.left = {};
        } else if (forms.values == value_form::low_rank) {
            v.left.latent = M();  // stays where it starts
            v.factors = low_rank_start<M>(c.head_dim, forms.value_rank, random);
        } else {
            v.right = rotation(c.head_dim, true, rotation_start::identity);
            v.log_stretch = M(1, c.head_dim);
        }
        return v;
    };
    for (std::size_t i = 0; i < c.n_layers; ++i) {
        layer_parameters<M> l;
        for (std::size_t g = 0; g < c.n_kv_heads; ++g) {
            key_parameters<M> k{M(1, c.rotary_dim / 2), M(1, c.rotary_dim / 2), {}};
            if (c.rotary_dim < c.head_dim) k.rest = identity_matrix<M>(c.head_dim - c.rotary_dim);
            l.query_key.push_back(std::move(k));
            l.value_output.push_back(of_value());
        }
        l.log_up = M(1, c.ffn_dim);
        p.layers.push_back(std::move(l));
    }
    p.down_input = block_hadamard_map(c.ffn_dim, p.chosen.down_input ? forms.down_block : 1);
    return p;
}

}  // namespace commutant
