// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <stdexcept>
#include <vector>

#include <commutant/optimize/transform_parameters.hpp>
#include <commutant/recipes/calibration.hpp>

namespace commutant {

/// S_n in front of o_proj and of down_proj of one layer, in the geometric mean over tokens.
struct mean_token_scale {
    double attention = 1, ffn = 1;
};

/// A tap that follows the residual stream, X, from what the sub-blocks add to it, and changes nothing.
///
/// Equation  S_n = (ms(X_n) + eps)^(-1/2): what the recursion of the residual scaling comes to
template <class M> class token_scale_tap {
public:
    explicit token_scale_tap(decoder<M> const& m) : decoder_(&m), sums_(m.layers.size(), {0, 0}) {}

    void begin(std::vector<int> const& window) { stream_ = gather_rows(decoder_->embedding, window); }
    [[nodiscard]] M operator()(location where, std::size_t layer, M x) {
        if (where == location::attention_input) sums_[layer].attention += logarithms();
        if (where == location::ffn_input) sums_[layer].ffn += logarithms();
        if (where == location::o_output || where == location::down_output) stream_ = stream_ + x;
        return x;
    }
    [[nodiscard]] std::vector<mean_token_scale> means(std::size_t n_tokens) const {
        auto r = sums_;
        for (auto& s : r) {
            s.attention = std::exp(s.attention / static_cast<double>(n_tokens));
            s.ffn = std::exp(s.ffn / static_cast<double>(n_tokens));
        }
        return r;
    }

private:
    /// Sum of log S over the tokens behind BOS.
    [[nodiscard]] double logarithms() const {
        M const power = mean_square_rows(stream_);
        double sum = 0;
        for (std::size_t i = 1; i < power.rows(); ++i)
            sum -= std::log(static_cast<double>(power(i, 0)) + decoder_->config.rms_norm_eps) / 2;
        return sum;
    }

    decoder<M> const* decoder_;
    M stream_{};
    std::vector<mean_token_scale> sums_;
};

/// Errors    std::invalid_argument if no window has a token behind BOS, or for a token outside the vocabulary
template <class M>
[[nodiscard]] std::vector<mean_token_scale> mean_token_scales(decoder<M> const& m,
                                                              token_sequences const& windows) {
    std::size_t const n = n_predictions(windows);
    if (n == 0)
        throw std::invalid_argument(
            "mean_token_scales: the windows hold no token behind BOS, expected calibration text");
    token_scale_tap<M> tap(m);
    auto const run = windows_runner(m, windows);
    for (auto const& window : windows) {
        tap.begin(window);
        static_cast<void>(run.logits(window, tap));
    }
    return tap.means(n);
}

/// The stand-in for S_n that merges: the constant of a layer in place of each token's own, as a factor of T_v and of T_u.
///
/// Note      static grids of a tensor, and a weight's scales, take a constant factor over exactly: what S_n does beyond that is
///           to tell tokens apart, and a constant cannot
/// Errors    std::invalid_argument if T_v cannot be stretched (orthogonal, low_rank), or T_v or T_u is not at work
template <class M>
void scale_by_constants(transform_parameters<M>& p, std::vector<mean_token_scale> const& scales) {
    using scalar = typename M::scalar;
    if (!p.chosen.value_output || !p.chosen.up_down)
        throw std::invalid_argument("scale_by_constants: expected T_v and T_u, which take the constants");
    for (std::size_t i = 0; i < p.layers.size(); ++i) {
        for (auto& v : p.layers[i].value_output) {
            if (v.form == value_form::dense)
                v.matrix = scaled(v.matrix, static_cast<scalar>(scales[i].attention));
            else if (v.form == value_form::svd)
                v.log_stretch = shifted(v.log_stretch, static_cast<scalar>(std::log(scales[i].attention)));
            else
                throw std::invalid_argument(
                    "scale_by_constants: T_v is a rotation or near one, expected the form dense or svd");
        }
        p.layers[i].log_up = shifted(p.layers[i].log_up, static_cast<scalar>(std::log(scales[i].ffn)));
    }
}

}  // namespace commutant
