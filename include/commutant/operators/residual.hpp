// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include <commutant/operators/rms_norm.hpp>

namespace commutant {

/// The residual stream of a pre-norm decoder as checkpoints mean it: blocks read a normalised copy.
template <class M> class plain_residual {
public:
    using scalar = typename M::scalar;

    constexpr plain_residual(M embedded, scalar const& eps) : x_(std::move(embedded)), eps_(eps) {}

    /// What a sub-block, or the head, reads.  gain: [1, model_dim], or empty if folded
    [[nodiscard]] constexpr M read(M const& gain) const { return rms_norm(x_, gain, eps_); }
    /// What the last linear of a sub-block is given in place of y.
    [[nodiscard]] constexpr M branch_input(M y) const { return y; }
    /// That linear's bias, one row or one row for each token.
    [[nodiscard]] constexpr M branch_bias(M const& bias) const { return bias; }
    /// Adds a sub-block's result.
    constexpr void add(M const& branch) { x_ = std::move(x_) + branch; }

private:
    M x_;
    scalar eps_;
};

/// Which eps the residual scaling adds after its first step.
enum class eps_rule {
    exact,  ///< eps S^2: equal to the plain residual
    plain   ///< eps: what other code does; off by 1 - (1 + eps / ms)^-1/2 at the embedding
};

/// One step of the residual scaling: x <- z / r, s <- s / r, z = x + branch, r = (ms(z) + eps s^2)^1/2.
///
/// Shape     x, branch: [tokens, model_dim]; s: [tokens, 1]
template <class M>
constexpr void add_and_rescale(M& x, M& s, M const& branch, typename M::scalar const& eps, eps_rule rule) {
    M const z = x + branch;
    M const power = mean_square_rows(z);
    M shifted_power{};
    if (rule == eps_rule::exact)
        shifted_power = power + scaled(elementwise_product(s, s), eps);
    else
        shifted_power = shifted(power, eps);
    M const inverse_r = rsqrt(shifted_power);
    x = scale_rows(z, inverse_r);
    s = elementwise_product(s, inverse_r);
}

/// The residual stream with per-token scaling (S_n): the norm has moved from the readers onto the stream.
///
/// Equation  S = (ms(X) + eps)^-1/2, X~ = S X; then for each sub-block F:
///           Z = X~ + S F(X~), r = (ms(Z) + eps S^2)^1/2, X~ = Z / r, S = S / r
/// Shape     X~: [tokens, model_dim]; S: [tokens, 1]
/// Note      gains must be folded first. S multiplies the inputs and the biases of o_proj and down_proj, so the large
///           activations in front of them shrink; nothing crosses the KV cache.
/// Paper     FPTQuant, arXiv:2506.04985; the term eps S^2 makes it exact
template <class M> class scaled_residual {
public:
    using scalar = typename M::scalar;

    constexpr scaled_residual(M embedded, scalar const& eps, eps_rule rule = eps_rule::exact)
        : x_(std::move(embedded)), s_(rsqrt(shifted(mean_square_rows(x_), eps))), eps_(eps), rule_(rule) {
        x_ = scale_rows(x_, s_);
    }

    [[nodiscard]] constexpr M read(M const& gain) const {
        detail::require(gain.rows() == 0,
                        "scaled_residual: fold the norm gains into the linears behind them first");
        return x_;
    }
    [[nodiscard]] constexpr M branch_input(M const& y) const { return scale_rows(y, s_); }
    [[nodiscard]] constexpr M branch_bias(M const& bias) const {
        if (bias.rows() == 0) return bias;
        return product(s_, bias);
    }
    constexpr void add(M const& branch) { add_and_rescale(x_, s_, branch, eps_, rule_); }

private:
    M x_;
    M s_;
    scalar eps_;
    eps_rule rule_;
};

}  // namespace commutant
