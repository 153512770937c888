// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>

#include <commutant/recipes/calibration.hpp>
#include <commutant/recipes/hadamard.hpp>
#include <commutant/recipes/starting_parameters.hpp>

// Transforms in closed form, from second moments of the activations and of the weights that meet them. None of the other
// transforms changes these moments, except for an orthogonal T_v itself: they are those of the original model.

namespace commutant {

/// Which transforms start from moments.
struct moment_start {
    bool value_output = false;  ///< T_v
    bool up_down = false;       ///< T_u
    double damping = 0.01;      ///< share of the mean that is added to each moment
};

/// Sums of squares of what o_proj and down_proj of one layer are given.
struct layer_moments {
    std::vector<Eigen::MatrixXd> mixed_values{};  ///< one [head_dim, head_dim] for each kv head
    Eigen::ArrayXd inner{};                       ///< [ffn_dim]
};

/// A tap that adds up moments and changes nothing. Row 0 of a window is left out, as calibration_tap does.
class moment_tap {
public:
    explicit moment_tap(model_config const& c) : config_(&c), layers_(c.n_layers) {
        auto const d = static_cast<Eigen::Index>(c.head_dim);
        for (auto& l : layers_) {
            l.mixed_values.assign(c.n_kv_heads, Eigen::MatrixXd::Zero(d, d));
            l.inner.setZero(static_cast<Eigen::Index>(c.ffn_dim));
        }
    }

    template <class M> [[nodiscard]] M operator()(location where, std::size_t layer, M x) {
        if (where != location::attention_output && where != location::down_input) return x;
        layer_moments& l = layers_[layer];
        auto const rows = x.values.bottomRows(x.values.rows() - 1);
        if (where == location::down_input) {
            l.inner += rows.template cast<double>().colwise().squaredNorm().transpose().array();
            return x;
        }
        auto const d = static_cast<Eigen::Index>(config_->head_dim);
        for (std::size_t head = 0; head < config_->n_heads; ++head) {
            Eigen::MatrixXd const of_head =
                rows.middleCols(static_cast<Eigen::Index>(head) * d, d).template cast<double>();
            l.mixed_values[kv_head_of(head, config_->n_rep())].noalias() += of_head.transpose() * of_head;
        }
        return x;
    }

    [[nodiscard]] std::vector<layer_moments> const& layers() const noexcept { return layers_; }

private:
    model_config const* config_;
    std::vector<layer_moments> layers_;
};

/// The transform that makes an activation and the weight behind it equally hard to round, and spreads both.
///
/// Equation  L L^T = H + g tr(H)/d I,  U Lam U^T = L^T (M + g tr(M)/d I) L,  T = c L U Lam^(-1/4) Had^T,
///           c = ((1+g) tr(M) / tr(Lam^(1/2)))^(1/2);  x T has equal second moments in every feature
/// Shape     weight_moment H, activation_moment M: [d, d], of rows; result: [d, d], x -> x T
/// Errors    std::domain_error if a moment vanishes or is not finite
/// Paper     WUSH; for one factor in front of o_proj it merges
[[nodiscard]] inline Eigen::MatrixXd balancing_transform(Eigen::MatrixXd const& weight_moment,
                                                         Eigen::MatrixXd const& activation_moment,
                                                         Eigen::MatrixXd const& hadamard, double damping) {
    auto const damped = [&](Eigen::MatrixXd const& m) -> Eigen::MatrixXd {
        double const mean = m.trace() / static_cast<double>(m.rows());
        if (!(mean > 0) || !std::isfinite(mean))
            throw std::domain_error("balancing_transform: a second moment has mean " + std::to_string(mean) +
                                    ", expected a positive one");
        return m + damping * mean * Eigen::MatrixXd::Identity(m.rows(), m.cols());
    };
    Eigen::MatrixXd const m = damped(activation_moment);
    Eigen::MatrixXd const l = damped(weight_moment).llt().matrixL();
    Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> const both(l.transpose() * m * l);
    Eigen::ArrayXd const lambda = both.eigenvalues().array();
    double const c = std::sqrt(m.trace() / lambda.sqrt().sum());
    Eigen::VectorXd const stretch = c * lambda.pow(-0.25);
    return l * both.eigenvectors() * stretch.asDiagonal() * hadamard.transpose();
}

/// The same for transforms that are diagonal.
///
/// Equation  s_j = c (h_j / m_j)^(1/4), damped; c keeps the activations' mean square
/// Shape     weight_moment, activation_moment, result: [n]
/// Errors    std::domain_error if a moment vanishes or is not finite
[[nodiscard]] inline Eigen::ArrayXd balancing_scales(Eigen::ArrayXd const& weight_moment,
                                                     Eigen::ArrayXd const& activation_moment,
                                                     double damping) {
    auto const damped = [&](Eigen::ArrayXd const& m) -> Eigen::ArrayXd {
        if (!(m.mean() > 0) || !std::isfinite(m.mean()))
            throw std::domain_error("balancing_scales: a second moment has mean " + std::to_string(m.mean()) +
                                    ", expected a positive one");
        return m + damping * m.mean();
    };
    Eigen::ArrayXd const m = damped(activation_moment);
    Eigen::ArrayXd const s = (damped(weight_moment) / m).pow(0.25);
    return s * std::sqrt(m.sum() / (m * s.square()).sum());
}

/// Second moments of a decoder's activations on calibration windows.
///
/// Errors    std::invalid_argument if no window has a token behind BOS, or for a token outside the vocabulary
template <class M>
[[nodiscard]] std::vector<layer_moments> activation_moments(decoder<M> const& m,
                                                            token_sequences const& windows,
                                                            progress_callback const& progress = {}) {
    if (longest_window(windows) < 2)
        throw std::invalid_argument(
            "activation_moments: the windows hold no token behind BOS, expected calibration text");
    moment_tap tap(m.config);
    auto const run = windows_runner(m, windows);
    std::size_t done = 0;
    for (auto const& window : windows) {
        static_cast<void>(run.logits(window, tap));
        if (progress) progress(++done, windows.size());
    }
    return tap.layers();
}

/// Puts T_v, T_u or both where moments say, in place of where they were.
///
/// m         the original decoder
/// Errors    std::invalid_argument if T_v is not dense; std::domain_error if a moment vanishes
template <class T>
void start_from_moments(decoder<eigen_matrix<T>> const& m, std::vector<layer_moments> const& moments,
                        moment_start const& wanted, transform_parameters<eigen_matrix<T>>& p) {
    model_config const& c = m.config;
    auto const d = static_cast<Eigen::Index>(c.head_dim);
    auto const cover = detail::cover_with_hadamard(c.head_dim, "");
    random_source random(1);
    Eigen::MatrixXd const hadamard =
        randomised_hadamard<eigen_matrix<double>>(cover.order, cover.n_blocks, random).q.values;
    for (std::size_t i = 0; i < c.n_layers; ++i) {
        auto& of_layer = p.layers[i];
        if (wanted.value_output && p.chosen.value_output) {
            Eigen::MatrixXd const o = m.layers[i].o_proj.weight.values.template cast<double>();
            std::vector<Eigen::MatrixXd> squares(c.n_kv_heads, Eigen::MatrixXd::Zero(d, d));
            for (std::size_t head = 0; head < c.n_heads; ++head) {
                auto const columns = o.middleCols(static_cast<Eigen::Index>(head) * d, d);
                squares[kv_head_of(head, c.n_rep())] += columns.transpose() * columns;
            }
            for (std::size_t g = 0; g < c.n_kv_heads; ++g) {
                auto& v = of_layer.value_output[g];
                if (v.form != value_form::dense)
                    throw std::invalid_argument(
                        "start_from_moments: T_v is not dense, expected the form that can start anywhere");
                v.matrix = Eigen::MatrixXd(balancing_transform(squares[g], moments[i].mixed_values[g],
                                                               hadamard, wanted.damping))
                               .template cast<T>();
            }
        }
        if (wanted.up_down && p.chosen.up_down) {
            Eigen::ArrayXd const squares =
                m.layers[i].down_proj.weight.values.template cast<double>().colwise().squaredNorm();
            of_layer.log_up = balancing_scales(squares, moments[i].inner, wanted.damping)
                                  .log()
                                  .matrix()
                                  .transpose()
                                  .template cast<T>();
        }
    }
}

}  // namespace commutant
