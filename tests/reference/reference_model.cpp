// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "reference_model.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>
#include <string>

namespace reference {
namespace {

// Four running sums: a single one would wait for the adder's latency at every step, and nothing else here is
// slow.
double dot(const double* a, const double* b, std::size_t n) {
    double sum[4] = {0, 0, 0, 0};
    std::size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        for (std::size_t j = 0; j < 4; ++j) {
            sum[j] += a[i + j] * b[i + j];
        }
    }
    for (; i < n; ++i) {
        sum[0] += a[i] * b[i];
    }
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

double mean_square(std::span<const double> x) {
    return dot(x.data(), x.data(), x.size()) / static_cast<double>(x.size());
}

void require_size(const std::vector<double>& values, std::size_t expected, bool optional,
                  const std::string& name) {
    if (values.size() == expected || (optional && values.empty())) {
        return;
    }
    throw std::invalid_argument("reference: " + name + " has " + std::to_string(values.size()) +
                                " values, expected " + std::to_string(expected) +
                                (optional ? " or none" : ""));
}

void require_shapes(const config& c, const weights& w) {
    if (c.n_kv_heads == 0 || c.n_heads % c.n_kv_heads != 0) {
        throw std::invalid_argument("reference: " + std::to_string(c.n_heads) +
                                    " query heads, expected a multiple of " + std::to_string(c.n_kv_heads) +
                                    " kv heads");
    }
    if (c.rotary_dim % 2 != 0 || c.rotary_dim > c.head_dim) {
        throw std::invalid_argument(
            "reference: rotary_dim is " + std::to_string(c.rotary_dim) +
            ", expected an even number up to head_dim = " + std::to_string(c.head_dim));
    }
    if (w.layers.size() != c.n_layers) {
        throw std::invalid_argument("reference: weights have " + std::to_string(w.layers.size()) +
                                    " layers, expected " + std::to_string(c.n_layers));
    }
    const std::size_t d = c.model_dim;
    const std::size_t q = c.n_heads * c.head_dim;
    const std::size_t kv = c.n_kv_heads * c.head_dim;
    const std::size_t f = c.ffn_dim;
    require_size(w.embedding, c.vocab_size * d, false, "embedding");
    require_size(w.final_norm, d, false, "final_norm");
    require_size(w.lm_head, c.vocab_size * d, true, "lm_head");
    for (std::size_t n = 0; n < c.n_layers; ++n) {
        const layer& l = w.layers[n];
        const std::string at = "layer " + std::to_string(n) + " ";
        require_size(l.attention_norm, d, false, at + "attention_norm");
        require_size(l.q_proj, q * d, false, at + "q_proj");
        require_size(l.k_proj, kv * d, false, at + "k_proj");
        require_size(l.v_proj, kv * d, false, at + "v_proj");
        require_size(l.o_proj, d * q, false, at + "o_proj");
        require_size(l.q_bias, q, true, at + "q_bias");
        require_size(l.k_bias, kv, true, at + "k_bias");
        require_size(l.v_bias, kv, true, at + "v_bias");
        require_size(l.o_bias, d, true, at + "o_bias");
        require_size(l.q_norm, c.head_dim, true, at + "q_norm");
        require_size(l.k_norm, c.head_dim, true, at + "k_norm");
        require_size(l.ffn_norm, d, false, at + "ffn_norm");
        require_size(l.gate_proj, f * d, false, at + "gate_proj");
        require_size(l.up_proj, f * d, false, at + "up_proj");
        require_size(l.down_proj, d * f, false, at + "down_proj");
        require_size(l.gate_bias, f, true, at + "gate_bias");
        require_size(l.up_bias, f, true, at + "up_bias");
        require_size(l.down_bias, d, true, at + "down_bias");
    }
}

void require_unit_gain(const std::vector<double>& gain, const std::string& name) {
    for (const double g : gain) {
        if (g != 1.0) {
            throw std::invalid_argument("reference: " + name + " has a gain of " + std::to_string(g) +
                                        ", expected 1 under a scaled residual: fold the gains first");
        }
    }
}

rows rms_norm_rows(const rows& x, const std::vector<double>& gain, double eps) {
    rows y;
    for (const auto& row : x) {
        y.push_back(rms_norm(row, gain, eps));
    }
    return y;
}

rows linear_rows(const rows& x, const std::vector<double>& weight, const std::vector<double>& bias) {
    rows y;
    for (const auto& row : x) {
        y.push_back(linear(row, weight, bias));
    }
    return y;
}

void add(rows& x, const rows& y) {
    for (std::size_t t = 0; t < x.size(); ++t) {
        for (std::size_t i = 0; i < x[t].size(); ++i) {
            x[t][i] += y[t][i];
        }
    }
}

// The residual stream as X~ = S X, S one number per token, S^-2 = ms(X) + eps. Then X~ is already normalised,
// and each sub-block F reads it as it is.
struct scaled_stream {
    rows x;                 // X~: [n_tokens][model_dim]
    std::vector<double> s;  // S:  [n_tokens]

    scaled_stream(rows embedded, double eps) : x(std::move(embedded)) {
        for (auto& row : x) {
            s.push_back(1.0 / std::sqrt(mean_square(row) + eps));
            for (double& v : row) {
                v *= s.back();
            }
        }
    }

    // Z = X~ + S F;  r^2 = ms(Z) + eps S^2;  X~ <- Z / r;  S <- S / r.
    void add_and_rescale(const rows& f, double eps, residual_mode mode) {
        for (std::size_t t = 0; t < x.size(); ++t) {
            for (std::size_t i = 0; i < x[t].size(); ++i) {
                x[t][i] += s[t] * f[t][i];
            }
            const double eps_here = mode == residual_mode::scaled ? eps * s[t] * s[t] : eps;
            const double r = std::sqrt(mean_square(x[t]) + eps_here);
            for (double& v : x[t]) {
                v /= r;
            }
            s[t] /= r;
        }
    }
};

rows final_states_scaled(const config& c, const weights& w, rows embedded, residual_mode mode) {
    scaled_stream stream(std::move(embedded), c.rms_norm_eps);
    for (std::size_t n = 0; n < c.n_layers; ++n) {
        const layer& l = w.layers[n];
        require_unit_gain(l.attention_norm, "layer " + std::to_string(n) + " attention_norm");
        require_unit_gain(l.ffn_norm, "layer " + std::to_string(n) + " ffn_norm");
        stream.add_and_rescale(attention_block(c, l, stream.x), c.rms_norm_eps, mode);
        stream.add_and_rescale(ffn_block(l, stream.x), c.rms_norm_eps, mode);
    }
    require_unit_gain(w.final_norm, "final_norm");
    return stream.x;
}

rows final_states_pre_norm(const config& c, const weights& w, rows x) {
    for (const layer& l : w.layers) {
        add(x, attention_block(c, l, rms_norm_rows(x, l.attention_norm, c.rms_norm_eps)));
        add(x, ffn_block(l, rms_norm_rows(x, l.ffn_norm, c.rms_norm_eps)));
    }
    return rms_norm_rows(x, w.final_norm, c.rms_norm_eps);
}

// W diag(gain): column i of the reader behind the norm takes gain i.
void scale_columns(std::vector<double>& weight, const std::vector<double>& gain) {
    for (std::size_t i = 0; i < weight.size(); ++i) {
        weight[i] *= gain[i % gain.size()];
    }
}

// Pair index at which a wave of original_max_positions turns `rotations` times; solves theta^(-2i/r) N = 2 pi
// rotations.
double yarn_correction_pair(const config& c, double rotations) {
    return static_cast<double>(c.rotary_dim) *
           std::log(c.scaling.original_max_positions / (rotations * 2.0 * std::numbers::pi)) /
           (2.0 * std::log(c.rope_theta));
}

// Between the two correction pairs, blend from the plain frequency (fast pairs) to the stretched one (slow
// pairs).
void apply_yarn(const config& c, std::vector<double>& frequencies) {
    double low = yarn_correction_pair(c, c.scaling.beta_fast);
    double high = yarn_correction_pair(c, c.scaling.beta_slow);
    if (c.scaling.truncate) {
        low = std::floor(low);
        high = std::ceil(high);
    }
    low = std::max(low, 0.0);
    high = std::min(high, static_cast<double>(c.rotary_dim) - 1.0);
    if (low == high) {
        high += 0.001;
    }
    for (std::size_t i = 0; i < frequencies.size(); ++i) {
        const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
        frequencies[i] = frequencies[i] / c.scaling.factor * ramp + frequencies[i] * (1.0 - ramp);
    }
}

void apply_llama3(const rope_scaling& s, std::vector<double>& frequencies) {
    for (double& frequency : frequencies) {
        const double wavelength = 2.0 * std::numbers::pi / frequency;  // positions per turn
        if (wavelength < s.original_max_positions / s.high_freq_factor) {
            continue;
        }
        if (wavelength > s.original_max_positions / s.low_freq_factor) {
            frequency /= s.factor;
            continue;
        }
        const double smooth = (s.original_max_positions / wavelength - s.low_freq_factor) /
                              (s.high_freq_factor - s.low_freq_factor);
        frequency = (1.0 - smooth) * frequency / s.factor + smooth * frequency;
    }
}

double yarn_mscale(double factor, double mscale) {
    return factor <= 1.0 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

}  // namespace

std::vector<double> rms_norm(std::span<const double> x, std::span<const double> gain, double eps) {
    const double inverse_rms = 1.0 / std::sqrt(mean_square(x) + eps);
    std::vector<double> y(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
        y[i] = x[i] * inverse_rms * (gain.empty() ? 1.0 : gain[i]);
    }
    return y;
}

std::vector<double> linear(std::span<const double> x, std::span<const double> weight,
                           std::span<const double> bias) {
    std::vector<double> y(weight.size() / x.size());
    for (std::size_t o = 0; o < y.size(); ++o) {
        y[o] = dot(x.data(), weight.data() + o * x.size(), x.size()) + (bias.empty() ? 0.0 : bias[o]);
    }
    return y;
}

std::vector<double> rope_frequencies(const config& c) {
    std::vector<double> frequencies(c.rotary_dim / 2);
    for (std::size_t i = 0; i < frequencies.size(); ++i) {
        frequencies[i] =
            std::pow(c.rope_theta, -2.0 * static_cast<double>(i) / static_cast<double>(c.rotary_dim));
    }
    switch (c.scaling.kind) {
        case rope_kind::plain:
            break;
        case rope_kind::linear:
            for (double& frequency : frequencies) {
                frequency /= c.scaling.factor;
            }
            break;
        case rope_kind::llama3:
            apply_llama3(c.scaling, frequencies);
            break;
        case rope_kind::yarn:
            apply_yarn(c, frequencies);
            break;
    }
    return frequencies;
}

double rope_attention_factor(const config& c) {
    const rope_scaling& s = c.scaling;
    if (s.kind != rope_kind::yarn) {
        return 1.0;
    }
    if (s.attention_factor) {
        return *s.attention_factor;
    }
    if (s.mscale != 0.0 && s.mscale_all_dim != 0.0) {
        return yarn_mscale(s.factor, s.mscale) / yarn_mscale(s.factor, s.mscale_all_dim);
    }
    return yarn_mscale(s.factor, 1.0);
}

void rope_in_place(const config& c, std::span<const double> frequencies, std::size_t position,
                   std::span<double> head) {
    const double scale = rope_attention_factor(c);
    const std::size_t half = c.rotary_dim / 2;
    for (std::size_t i = 0; i < half; ++i) {
        const double angle = static_cast<double>(position) * frequencies[i];
        const double cosine = scale * std::cos(angle);
        const double sine = scale * std::sin(angle);
        const bool adjacent = c.pairing == rope_pairing::interleaved;
        double& a = head[adjacent ? 2 * i : i];
        double& b = head[adjacent ? 2 * i + 1 : i + half];
        const double turned_a = a * cosine - b * sine;
        const double turned_b = a * sine + b * cosine;
        a = turned_a;
        b = turned_b;
    }
}

rows attention(const config& c, const rows& q, const rows& k, const rows& v) {
    const std::size_t n_rep = c.n_heads / c.n_kv_heads;
    const double scale = 1.0 / std::sqrt(static_cast<double>(c.head_dim));
    rows out(q.size(), std::vector<double>(c.n_heads * c.head_dim, 0.0));
    for (std::size_t t = 0; t < q.size(); ++t) {
        for (std::size_t h = 0; h < c.n_heads; ++h) {
            const double* query = q[t].data() + h * c.head_dim;
            const std::size_t kv_offset = h / n_rep * c.head_dim;

            std::vector<double> probability(t + 1);  // over the tokens up to and including t
            for (std::size_t u = 0; u <= t; ++u) {
                probability[u] = scale * dot(query, k[u].data() + kv_offset, c.head_dim);
            }
            const double largest = *std::max_element(probability.begin(), probability.end());
            double sum = 0.0;
            for (double& p : probability) {
                p = std::exp(p - largest);
                sum += p;
            }
            double* result = out[t].data() + h * c.head_dim;
            for (std::size_t u = 0; u <= t; ++u) {
                for (std::size_t i = 0; i < c.head_dim; ++i) {
                    result[i] += probability[u] / sum * v[u][kv_offset + i];
                }
            }
        }
    }
    return out;
}

std::vector<double> swiglu(std::span<const double> gate, std::span<const double> up) {
    std::vector<double> y(gate.size());
    for (std::size_t i = 0; i < gate.size(); ++i) {
        y[i] = gate[i] / (1.0 + std::exp(-gate[i])) * up[i];
    }
    return y;
}

rows attention_block(const config& c, const layer& w, const rows& x) {
    rows q = linear_rows(x, w.q_proj, w.q_bias);
    rows k = linear_rows(x, w.k_proj, w.k_bias);
    const rows v = linear_rows(x, w.v_proj, w.v_bias);
    const std::vector<double> frequencies = rope_frequencies(c);

    // Each head on its own: norm (if the model has one), then RoPE.
    const auto finish_heads = [&](rows& projected, const std::vector<double>& gain) {
        for (std::size_t t = 0; t < projected.size(); ++t) {
            for (std::size_t begin = 0; begin < projected[t].size(); begin += c.head_dim) {
                const std::span<double> head(projected[t].data() + begin, c.head_dim);
                if (!gain.empty()) {
                    const std::vector<double> normed = rms_norm(head, gain, c.rms_norm_eps);
                    std::copy(normed.begin(), normed.end(), head.begin());
                }
                rope_in_place(c, frequencies, t, head);
            }
        }
    };
    finish_heads(q, w.q_norm);
    finish_heads(k, w.k_norm);
    return linear_rows(attention(c, q, k, v), w.o_proj, w.o_bias);
}

rows ffn_block(const layer& w, const rows& x) {
    rows y;
    for (const auto& row : x) {
        const std::vector<double> gate = linear(row, w.gate_proj, w.gate_bias);
        const std::vector<double> up = linear(row, w.up_proj, w.up_bias);
        y.push_back(linear(swiglu(gate, up), w.down_proj, w.down_bias));
    }
    return y;
}

rows logits(const config& c, const weights& w, std::span<const int> tokens, residual_mode residual) {
    require_shapes(c, w);
    rows x;
    for (const int token : tokens) {
        if (token < 0 || static_cast<std::size_t>(token) >= c.vocab_size) {
            throw std::invalid_argument("reference: token " + std::to_string(token) + " at position " +
                                        std::to_string(x.size()) + ", expected 0 to " +
                                        std::to_string(c.vocab_size - 1));
        }
        const double* row = w.embedding.data() + static_cast<std::size_t>(token) * c.model_dim;
        x.emplace_back(row, row + c.model_dim);
    }
    x = residual == residual_mode::pre_norm ? final_states_pre_norm(c, w, std::move(x))
                                            : final_states_scaled(c, w, std::move(x), residual);
    return linear_rows(x, w.lm_head.empty() ? w.embedding : w.lm_head, {});
}

weights with_folded_gains(const config& c, weights w) {
    require_shapes(c, w);
    if (w.lm_head.empty()) {
        w.lm_head = w.embedding;
    }
    scale_columns(w.lm_head, w.final_norm);
    w.final_norm.assign(c.model_dim, 1.0);
    for (layer& l : w.layers) {
        for (auto* reader : {&l.q_proj, &l.k_proj, &l.v_proj}) {
            scale_columns(*reader, l.attention_norm);
        }
        for (auto* reader : {&l.gate_proj, &l.up_proj}) {
            scale_columns(*reader, l.ffn_norm);
        }
        l.attention_norm.assign(c.model_dim, 1.0);
        l.ffn_norm.assign(c.model_dim, 1.0);
    }
    return w;
}

double negative_log_likelihood(const config& c, const weights& w, std::span<const int> tokens) {
    if (tokens.size() < 2) {
        return 0.0;
    }
    const rows z = logits(c, w, tokens.first(tokens.size() - 1));
    double sum = 0.0;
    for (std::size_t t = 0; t < z.size(); ++t) {
        const double largest = *std::max_element(z[t].begin(), z[t].end());
        double mass = 0.0;
        for (const double logit : z[t]) {
            mass += std::exp(logit - largest);
        }
        const int next = tokens[t + 1];
        if (next < 0 || static_cast<std::size_t>(next) >= c.vocab_size) {
            throw std::invalid_argument("reference: token " + std::to_string(next) + " at position " +
                                        std::to_string(t + 1) + ", expected 0 to " +
                                        std::to_string(c.vocab_size - 1));
        }
        sum += largest + std::log(mass) - z[t][static_cast<std::size_t>(next)];
    }
    return sum;
}

}  // namespace reference
