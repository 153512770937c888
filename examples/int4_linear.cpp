// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// One linear layer in integers, on an engine's own buffers: weights packed once, activations quantised on a static
// grid, multiplied on all processors, compared with the same layer in floating point.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <thread>
#include <vector>

#include <commutant/core/random.hpp>
#include <commutant/kernels/executor.hpp>
#include <commutant/kernels/int4_gemm.hpp>
#include <commutant/kernels/quantize.hpp>

namespace ck = commutant::kernels;

int main() {
    constexpr std::size_t tokens = 5, inputs = 200, outputs = 48;
    commutant::random_source random(1);
    std::vector<std::int8_t> codes(outputs * inputs);  // [out_features, in_features], in [-8, 7]
    for (auto& c : codes) c = static_cast<std::int8_t>(static_cast<int>(random.next_below(16)) - 8);
    std::vector<float> const scales(outputs, 0.01F), bias(outputs, 0.5F);
    std::vector<float> x(tokens * inputs);
    for (auto& v : x) v = static_cast<float>(random.next_unit() - 0.4);

    // Once, when the model is loaded.
    ck::int4_weights const weights(codes, outputs, inputs, scales);
    ck::thread_pool pool(std::max(1U, std::thread::hardware_concurrency()));
    std::vector<std::byte> workspace(ck::int4_gemm_workspace_bytes(tokens, weights, pool.n_workers()));

    // For every batch of tokens; nothing below allocates.
    ck::code_grid const grid{.scale = 1.0F / 15, .zero_point = -2, .num_bits = 4};
    std::vector<std::int8_t> x_codes(x.size());
    std::vector<float> y(tokens * outputs);
    ck::quantize(x, ck::static_codes{grid, x_codes});
    ck::int4_activations const activations{.codes = x_codes,
                                           .n_rows = tokens,
                                           .num_bits = grid.num_bits,
                                           .scales = {&grid.scale, 1},
                                           .zero_points = {&grid.zero_point, 1}};
    ck::int4_gemm(activations, weights, {.bias = bias}, y, 0, workspace, pool);

    double largest = 0, difference = 0;
    for (std::size_t t = 0; t < tokens; ++t)
        for (std::size_t n = 0; n < outputs; ++n) {
            double sum = static_cast<double>(bias[n]);
            for (std::size_t k = 0; k < inputs; ++k)
                sum += static_cast<double>(grid.scale) * (x_codes[t * inputs + k] - grid.zero_point) *
                       static_cast<double>(scales[n]) * codes[n * inputs + k];
            largest = std::max(largest, std::abs(sum));
            difference = std::max(difference, std::abs(static_cast<double>(y[t * outputs + n]) - sum));
        }
    std::printf("%zu weights in %zu bytes; relative difference from double precision %.1e\n", codes.size(),
                weights.bytes(), difference / largest);
    return difference < 1e-6 * largest ? 0 : 1;
}
