// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <vector>

#include <commutant/model/config.hpp>
#include <commutant/operators/rope.hpp>

namespace commutant {

/// Angle per position of every RoPE pair, after the family's scaling.
///
/// Shape     result: [rotary_dim / 2]
/// Units     radians per position
/// Source    transformers, modeling_rope_utils.py; llama3: Llama 3.1; yarn: arXiv:2309.00071
[[nodiscard]] inline std::vector<double> rope_frequencies(model_config const& c) {
    std::size_t const n = c.rotary_dim / 2;
    double const width = static_cast<double>(c.rotary_dim);
    rope_scaling const& s = c.scaling;
    std::vector<double> w(n);
    for (std::size_t i = 0; i < n; ++i) w[i] = std::pow(c.rope_theta, -2.0 * static_cast<double>(i) / width);
    if (s.method == rope_scaling::kind::linear) {
        for (double& f : w) f /= s.factor;
    } else if (s.method == rope_scaling::kind::llama3) {
        double const longest = s.original_max_positions / s.low_freq_factor;
        double const shortest = s.original_max_positions / s.high_freq_factor;
        for (double& f : w) {
            double const wavelength = 2 * std::numbers::pi / f;
            double const smooth = (s.original_max_positions / wavelength - s.low_freq_factor) /
                                  (s.high_freq_factor - s.low_freq_factor);
            if (wavelength > longest)
                f /= s.factor;
            else if (wavelength >= shortest)
                f = (1 - smooth) * f / s.factor + smooth * f;
        }
    } else if (s.method == rope_scaling::kind::yarn) {
        auto const dimension_of = [&](double rotations) {
            return width * std::log(s.original_max_positions / (rotations * 2 * std::numbers::pi)) /
                   (2 * std::log(c.rope_theta));
        };
        double low = dimension_of(s.beta_fast), high = dimension_of(s.beta_slow);
        if (s.truncate) low = std::floor(low), high = std::ceil(high);
        low = std::max(low, 0.0), high = std::min(high, width - 1);
        if (low == high) high += 0.001;
        for (std::size_t i = 0; i < n; ++i) {
            double const ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
            w[i] = w[i] / s.factor * ramp + w[i] * (1 - ramp);
        }
    }
    return w;
}

/// The factor on cosines and sines, 1 but for YaRN.
[[nodiscard]] inline double rope_attention_factor(model_config const& c) {
    rope_scaling const& s = c.scaling;
    if (s.method != rope_scaling::kind::yarn) return 1;
    if (s.attention_factor) return *s.attention_factor;
    auto const magnitude = [&](double m) { return s.factor <= 1 ? 1.0 : 0.1 * m * std::log(s.factor) + 1; };
    if (s.mscale && s.mscale_all_dim && *s.mscale != 0 && *s.mscale_all_dim != 0)
        return magnitude(*s.mscale) / magnitude(*s.mscale_all_dim);
    return magnitude(1);
}

/// RoPE's table for positions 0 .. n_positions - 1, computed in double precision and rounded once.
template <class M>
[[nodiscard]] rotation_table<M> rope_table(model_config const& c, std::size_t n_positions) {
    std::vector<double> const w = rope_frequencies(c);
    double const factor = rope_attention_factor(c);
    rotation_table<M> t{M(n_positions, w.size()), M(n_positions, w.size())};
    for (std::size_t m = 0; m < n_positions; ++m) {
        for (std::size_t i = 0; i < w.size(); ++i) {
            double const angle = static_cast<double>(m) * w[i];
            t.cosine(m, i) = static_cast<typename M::scalar>(factor * std::cos(angle));
            t.sine(m, i) = static_cast<typename M::scalar>(factor * std::sin(angle));
        }
    }
    return t;
}

}  // namespace commutant
