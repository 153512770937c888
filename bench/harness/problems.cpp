// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "harness/problems.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace commutant::bench {
namespace {

/// Numbers without a pattern; the multiplier is Knuth's for 64-bit linear congruences.
class noise {
public:
    explicit noise(std::uint64_t seed) : state_(seed * 2 + 1) {}
    [[nodiscard]] std::uint32_t next() {
        state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
        return static_cast<std::uint32_t>(state_ >> 33);
    }
    [[nodiscard]] int in(int lo, int hi) {
        return lo + static_cast<int>(next() % static_cast<unsigned>(hi - lo + 1));
    }

private:
    std::uint64_t state_;
};

}  // namespace

std::shared_ptr<gemm_weights const> make_gemm_weights(gemm_shape shape, std::size_t group_size,
                                                      std::size_t rotated_bytes, float magnitude) {
    auto w = std::make_shared<gemm_weights>();
    w->n = shape.n, w->k = shape.k;
    w->group_size = group_size;
    w->rotated_bytes = rotated_bytes;
    w->codes = buffer<std::int8_t>(shape.n * shape.k);
    w->scales = buffer<float>(group_size == 0 ? shape.n : shape.n * (shape.k / group_size));
    noise r(shape.n + shape.k);
    for (std::int8_t& c : w->codes) c = static_cast<std::int8_t>(r.in(-8, 7));
    for (float& s : w->scales) s = magnitude * (0.67F + 6.7e-4F * static_cast<float>(r.in(0, 1000)));
    return w;
}

std::shared_ptr<gemm_problem const> make_gemm_problem(std::shared_ptr<gemm_weights const> weights,
                                                      std::size_t m, int activation_bits, int n_threads) {
    auto p = std::make_shared<gemm_problem>();
    p->m = m, p->n = weights->n, p->k = weights->k;
    p->weights = std::move(weights);
    p->activation_bits = activation_bits;
    p->n_threads = n_threads;
    p->activations = buffer<std::int8_t>(m * p->k);
    int const reach = 1 << (activation_bits - 1);
    noise r(m);
    for (std::int8_t& a : p->activations) a = static_cast<std::int8_t>(r.in(-reach, reach - 1));
    p->activation_scale = 0.03F;
    p->zero_point = activation_bits == 4 ? -3 : 5;
    return p;
}

double gemm_error(gemm_problem const& p, buffer<float> const& out) {
    double worst = 0, largest = 0;
    std::size_t const n_places = std::min<std::size_t>(p.m * p.n, 300);
    for (std::size_t i = 0; i < n_places; ++i) {
        // The four corners and places in between.
        std::size_t const row = i < 4 ? (i / 2) * (p.m - 1) : (i * 7919) % p.m;
        std::size_t const column = i < 4 ? (i % 2) * (p.n - 1) : (i * 104729) % p.n;
        double expected = 0;
        for (std::size_t k = 0; k < p.k; ++k)
            expected += static_cast<double>(p.weights->scale(column, k)) *
                        ((p.activations[row * p.k + k] - p.zero_point) * p.weights->codes[column * p.k + k]);
        expected *= static_cast<double>(p.activation_scale);
        largest = std::max(largest, std::abs(expected));
        worst = std::max(worst, std::abs(expected - static_cast<double>(out[row * p.n + column])));
    }
    return worst / largest;
}

void enter(std::vector<contestant>& in, std::string name, std::shared_ptr<gemm_problem const> const& problem,
           prepared_gemm made, double tolerance) {
    if (!made.run) return;
    double const bytes = static_cast<double>(made.weight_bytes);
    in.push_back({std::move(name),
                  {problem->operations(), bytes, 0},
                  std::move(made.run),
                  [problem, out = made.out] { return gemm_error(*problem, *out); },
                  tolerance});
}

}  // namespace commutant::bench
