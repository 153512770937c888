// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "reference_random.hpp"

#include <cmath>
#include <numbers>
#include <random>

namespace reference {
namespace {

// The standard fixes the bits of mt19937_64 but not those of its distributions, hence these two.
class random_source {
public:
    explicit random_source(std::uint64_t seed) : bits_(seed) {}

    // In (0, 1).
    double uniform() { return (static_cast<double>(bits_() >> 11) + 0.5) * 0x1p-53; }

    // Box and Muller.
    double normal() {
        const double radius = std::sqrt(-2.0 * std::log(uniform()));
        return radius * std::cos(2.0 * std::numbers::pi * uniform());
    }

    std::vector<double> normals(std::size_t count, double deviation) {
        std::vector<double> values(count);
        for (double& v : values) {
            v = deviation * normal();
        }
        return values;
    }

    std::vector<double> gains(std::size_t count) {
        std::vector<double> values(count);
        for (double& v : values) {
            v = 0.5 + uniform();
        }
        return values;
    }

private:
    std::mt19937_64 bits_;
};

}  // namespace

weights random_weights(const config& c, std::uint64_t seed, const random_parts& parts) {
    random_source random(seed);
    const auto projection = [&](std::size_t out, std::size_t in) {
        return random.normals(out * in, 1.0 / std::sqrt(static_cast<double>(in)));
    };
    const auto bias = [&](bool wanted, std::size_t out) { return random.normals(wanted ? out : 0, 0.3); };
    const std::size_t q = c.n_heads * c.head_dim;
    const std::size_t kv = c.n_kv_heads * c.head_dim;

    weights w;
    w.embedding = random.normals(c.vocab_size * c.model_dim, 1.0);
    for (std::size_t n = 0; n < c.n_layers; ++n) {
        layer l;
        l.attention_norm = random.gains(c.model_dim);
        l.q_proj = projection(q, c.model_dim);
        l.k_proj = projection(kv, c.model_dim);
        l.v_proj = projection(kv, c.model_dim);
        l.o_proj = projection(c.model_dim, q);
        l.q_bias = bias(parts.attention_biases, q);
        l.k_bias = bias(parts.attention_biases, kv);
        l.v_bias = bias(parts.attention_biases, kv);
        l.o_bias = bias(parts.attention_biases, c.model_dim);
        l.q_norm = random.gains(parts.qk_norms ? c.head_dim : 0);
        l.k_norm = random.gains(parts.qk_norms ? c.head_dim : 0);
        l.ffn_norm = random.gains(c.model_dim);
        l.gate_proj = projection(c.ffn_dim, c.model_dim);
        l.up_proj = projection(c.ffn_dim, c.model_dim);
        l.down_proj = projection(c.model_dim, c.ffn_dim);
        l.gate_bias = bias(parts.ffn_biases, c.ffn_dim);
        l.up_bias = bias(parts.ffn_biases, c.ffn_dim);
        l.down_bias = bias(parts.ffn_biases, c.model_dim);
        w.layers.push_back(std::move(l));
    }
    w.final_norm = random.gains(c.model_dim);
    if (!parts.tied_head) {
        w.lm_head = projection(c.vocab_size, c.model_dim);
    }
    return w;
}

config conformance_config() {
    config c;
    c.n_layers = 2;
    c.model_dim = 16;
    c.ffn_dim = 24;
    c.n_heads = 4;
    c.n_kv_heads = 2;
    c.head_dim = 6;
    c.rotary_dim = 6;
    c.vocab_size = 11;
    c.seq_len = 32;
    return c;
}

}  // namespace reference
