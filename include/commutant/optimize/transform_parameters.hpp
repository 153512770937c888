// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <commutant/merge/condition.hpp>
#include <commutant/merge/plan.hpp>
#include <commutant/optimize/parameter_group.hpp>
#include <commutant/transforms/block_hadamard.hpp>
#include <commutant/transforms/channel_scale.hpp>
#include <commutant/transforms/dense.hpp>
#include <commutant/transforms/orthogonal.hpp>
#include <commutant/transforms/scaled_rotation.hpp>

// Unconstrained numbers for transforms that have constraints. Everything is generic in the matrix reading: a tape trains the
// parameters, and double precision then composes the transforms that are merged.

namespace commutant {

/// How an orthogonal matrix is trained.
enum class orthogonal_form {
    cayley,  ///< Q0 (I - A/2)^-1 (I + A/2), A the skew part of the latent matrix
    qr       ///< the orthogonal factor of the latent matrix
};

/// How T_v is trained.
enum class value_form {
    dense,       ///< every entry, with an explicit inverse
    svd,         ///< U diag(e^s) V^T: the condition number is that of the stretches
    orthogonal,  ///< a rotation
    low_rank     ///< Q0 (I + A B^T), A and B of few columns, with an explicit inverse
};

/// Which of FPTQuant's transforms are at work; the others are the identity.
struct transform_set {
    bool residual_stream = false;  ///< T_r
    bool query_key = false;        ///< T_k
    bool value_output = false;     ///< T_v
    bool up_down = false;          ///< T_u
    bool down_input = false;       ///< T_d, online
    bool token_scale = false;      ///< S_n, online

    friend constexpr bool operator==(transform_set const&, transform_set const&) noexcept = default;
};

/// An orthogonal matrix.
///
/// Shape     start, latent: [dim, dim]; latent empty: the start itself
template <class M> struct orthogonal_parameters {
    orthogonal_form form = orthogonal_form::cayley;
    M start{};  ///< Q0, constant
    M latent{};

    /// Trained from Q0 on.
    void train_from_start() {
        latent = form == orthogonal_form::cayley ? M(start.rows(), start.cols()) : start;
    }
    [[nodiscard]] M value() const {
        using scalar = typename M::scalar;
        if (latent.rows() == 0) return start;
        if (form == orthogonal_form::qr) return orthogonal_factor(latent);
        // cayley() takes the difference across the diagonal: the skew part of the latent matrix, halved, is a quarter.
        return product(start, cayley(scaled(latent, scalar(0.25))));
    }
};

/// I + A B^T of two matrices that stand one above the other.
///
/// Shape     factors: [2 dim, rank]; result: [dim, dim]
template <class M> [[nodiscard]] M identity_plus_product(M const& factors) {
    std::size_t const dim = factors.rows() / 2;
    return identity_matrix<M>(dim) +
           product_transposed(row_block(factors, 0, dim), row_block(factors, dim, dim));
}

/// T_v of one kv head.
///
/// Shape     matrix: [head_dim, head_dim], dense only; log_stretch: [1, head_dim], svd only; factors: [2 head_dim, rank],
///           A above B, low_rank only
template <class M> struct value_parameters {
    value_form form = value_form::orthogonal;
    orthogonal_parameters<M> left{};   ///< orthogonal, svd; low_rank, where it is constant
    orthogonal_parameters<M> right{};  ///< svd
    M log_stretch{};
    M matrix{};
    M factors{};

    [[nodiscard]] dense_map<M> value() const {
        using scalar = typename M::scalar;
        if (form == value_form::dense) return dense_map<M>::from_matrix(matrix);
        M const u = left.value();
        if (form == value_form::low_rank)
            return dense_map<M>::from_matrix(product(u, identity_plus_product(factors)));
        if (form == value_form::orthogonal) return {u, transpose(u)};
        M const v = right.value();
        return {product_transposed(scale_columns(u, elementwise_exp(log_stretch)), v),
                product_transposed(scale_columns(v, elementwise_exp(scaled(log_stretch, scalar(-1)))), u)};
    }
};

/// T_k of one kv head.
///
/// Shape     log_scale, angle: [1, rotary_dim / 2]; rest: on the features without position, or empty
template <class M> struct key_parameters {
    M log_scale{}, angle{};
    M rest{};

    [[nodiscard]] pairwise<scaled_rotation, M> value(model_config const& c) const {
        M const scale = elementwise_exp(log_scale);
        std::array<M, 2> const p{elementwise_product(scale, elementwise_cos(angle)),
                                 elementwise_product(scale, elementwise_sin(angle))};
        auto t = pairwise<scaled_rotation, M>::from_parameters(p, c.rope_pairing, c.head_dim);
        if (rest.rows() != 0) t.rest = dense_map<M>::from_matrix(rest);
        return t;
    }
};

/// Parameters of one block.  log_up: [1, ffn_dim], T_u
template <class M> struct layer_parameters {
    std::vector<key_parameters<M>> query_key{};       ///< one for each kv head
    std::vector<value_parameters<M>> value_output{};  ///< the same
    M log_up{};
};

/// Parameters of FPTQuant's transforms, or of some of them.
template <class M> struct transform_parameters {
    transform_set chosen{};
    orthogonal_parameters<M> residual_stream{};
    std::vector<layer_parameters<M>> layers{};
    block_hadamard_map down_input{};
};

/// Calls f(group, name, M&) for every matrix that is trained.
///
/// Parameters  transform_parameters<M>, const or not
template <class Parameters, class F> void visit_trained(Parameters& p, F f) {
    auto const visit = [&](parameter_group group, std::string const& name, auto& x) {
        if (x.rows() != 0) f(group, name, x);
    };
    if (p.chosen.residual_stream)
        visit(parameter_group::residual_stream, "residual_stream", p.residual_stream.latent);
    for (std::size_t i = 0; i < p.layers.size(); ++i) {
        std::string const layer = "layers." + std::to_string(i) + ".";
        for (std::size_t g = 0; p.chosen.query_key && g < p.layers[i].query_key.size(); ++g) {
            auto& k = p.layers[i].query_key[g];
            std::string const head = layer + "query_key." + std::to_string(g) + ".";
            visit(parameter_group::query_key, head + "log_scale", k.log_scale);
            visit(parameter_group::query_key, head + "angle", k.angle);
            visit(parameter_group::query_key, head + "rest", k.rest);
        }
        for (std::size_t g = 0; p.chosen.value_output && g < p.layers[i].value_output.size(); ++g) {
            auto& v = p.layers[i].value_output[g];
            std::string const head = layer + "value_output." + std::to_string(g) + ".";
            visit(parameter_group::value_output, head + "matrix", v.matrix);
            visit(parameter_group::value_output, head + "left", v.left.latent);
            visit(parameter_group::value_output, head + "right", v.right.latent);
            visit(parameter_group::value_output, head + "log_stretch", v.log_stretch);
            visit(parameter_group::value_output, head + "factors", v.factors);
        }
        if (p.chosen.up_down) visit(parameter_group::up_down, layer + "up_down", p.layers[i].log_up);
    }
}

/// Calls f(name, M&) for every matrix that training takes as given: where rotations start.
///
/// Parameters  transform_parameters<M>, const or not
template <class Parameters, class F> void visit_starts(Parameters& p, F f) {
    auto const visit = [&](std::string const& name, auto& x) {
        if (x.rows() != 0) f(name + ".start", x);
    };
    if (p.chosen.residual_stream) visit("residual_stream", p.residual_stream.start);
    for (std::size_t i = 0; p.chosen.value_output && i < p.layers.size(); ++i)
        for (std::size_t g = 0; g < p.layers[i].value_output.size(); ++g) {
            auto& v = p.layers[i].value_output[g];
            std::string const head =
                "layers." + std::to_string(i) + ".value_output." + std::to_string(g) + ".";
            visit(head + "left", v.left.start);
            visit(head + "right", v.right.start);
        }
}

/// Whether a trained matrix, by its name, keeps T_v's condition number within a limit.
template <class T>
[[nodiscard]] bool is_well_conditioned(std::string const& name, eigen_matrix<T> const& x, double limit) {
    auto const is = [&](std::string_view end) { return name.size() > end.size() && name.ends_with(end); };
    if (is(".matrix")) return condition_number(x) <= limit;
    if (is(".factors")) return condition_number(identity_plus_product(x)) <= limit;
    if (is(".log_stretch"))
        return std::exp(static_cast<double>(x.values.maxCoeff() - x.values.minCoeff())) <= limit;
    return true;
}

/// The same parameters in another reading.  f: (From const&) -> To, for every matrix, trained or not
template <class To, class From, class F>
[[nodiscard]] transform_parameters<To> mapped(transform_parameters<From> const& p, F f) {
    auto const orthogonal = [&](orthogonal_parameters<From> const& q) {
        return orthogonal_parameters<To>{q.form, f(q.start), f(q.latent)};
    };
    transform_parameters<To> r{p.chosen, orthogonal(p.residual_stream), {}, p.down_input};
    for (auto const& from : p.layers) {
        layer_parameters<To> to;
        for (auto const& k : from.query_key) to.query_key.push_back({f(k.log_scale), f(k.angle), f(k.rest)});
        for (auto const& v : from.value_output)
            to.value_output.push_back({v.form, orthogonal(v.left), orthogonal(v.right), f(v.log_stretch),
                                       f(v.matrix), f(v.factors)});
        to.log_up = f(from.log_up);
        r.layers.push_back(std::move(to));
    }
    return r;
}

/// The transforms that the parameters stand for, as a plan has them.
///
/// Plan      FPTQuant's, or a part of it; what it lacks must be the identity
template <class Plan, class M>
[[nodiscard]] plan_transforms<Plan, M> transforms_of(transform_parameters<M> const& p,
                                                     model_config const& c) {
    plan_transforms<Plan, M> t;
    for (auto const& from : p.layers) {
        layer_transforms<Plan, M> to;
        if constexpr (Plan::template has<sites::query_key>)
            for (auto const& k : from.query_key) to.query_key.push_back(k.value(c));
        if constexpr (Plan::template has<sites::value_output>)
            for (auto const& v : from.value_output) to.value_output.push_back(v.value());
        if constexpr (Plan::template has<sites::up_down>)
            to.up_down = diagonal<channel_scale, M>::from_parameters(elementwise_exp(from.log_up));
        t.layers.push_back(std::move(to));
    }
    if constexpr (Plan::template has<sites::residual_stream>) t.residual_stream = {p.residual_stream.value()};
    if constexpr (Plan::template has<sites::down_input>) t.down_input = p.down_input;
    return t;
}

}  // namespace commutant
