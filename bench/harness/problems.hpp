// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "harness/buffer.hpp"
#include "harness/contest.hpp"

namespace commutant::bench {

/// Weights of a product, made once for all activations that meet them.
struct gemm_weights {
    std::size_t n, k;
    std::size_t group_size = 0;  ///< weights that share a scale; 0: one scale per output channel
    std::size_t rotated_bytes =
        0;                      ///< 0: the same weights each call; otherwise copies that fill so many bytes
    buffer<std::int8_t> codes;  ///< [n, k], -8 .. 7
    buffer<float> scales;       ///< [n] or [n, k / group_size]

    /// This library's form and its copies. The first build makes it: all builds read the same memory, since what one gets
    /// from the system may be nearer or farther than what another one gets.
    mutable std::shared_ptr<void> packed = nullptr;

    [[nodiscard]] float scale(std::size_t row, std::size_t column) const {
        return group_size == 0 ? scales[row] : scales[row * (k / group_size) + column / group_size];
    }
    [[nodiscard]] float value(std::size_t row, std::size_t column) const {
        return scale(row, column) * static_cast<float>(codes[row * k + column]);
    }
    /// Copies of weights of so many bytes that are needed to rotate through rotated_bytes.
    [[nodiscard]] std::size_t copies(std::size_t weight_bytes) const {
        return rotated_bytes == 0 ? 1 : rotated_bytes / weight_bytes + 1;
    }
};

/// A product that every contestant of a contest computes, each from its own form of the same numbers.
///
/// Equation  out[m, n] = sum over k of activation_scale (a[m, k] - zero_point) weight[n, k]
struct gemm_problem {
    std::shared_ptr<gemm_weights const> weights;
    std::size_t m, n, k;
    int activation_bits = 8;          ///< 4 or 8
    buffer<std::int8_t> activations;  ///< [m, k], codes of activation_bits
    float activation_scale = 0;
    std::int32_t zero_point = 0;
    int n_threads = 1;

    [[nodiscard]] double operations() const {
        return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
    }
    [[nodiscard]] float activation(std::size_t i) const {
        return activation_scale * static_cast<float>(activations[i] - zero_point);
    }
};

struct gemm_shape {
    std::size_t m, n, k;
};

/// Random codes and scales.
[[nodiscard]] std::shared_ptr<gemm_weights const> make_gemm_weights(gemm_shape shape, std::size_t group_size,
                                                                    std::size_t rotated_bytes,
                                                                    float magnitude = 0.015F);
[[nodiscard]] std::shared_ptr<gemm_problem const> make_gemm_problem(
    std::shared_ptr<gemm_weights const> weights, std::size_t m, int activation_bits, int n_threads);

/// One that computes the product: what is timed, and where the result is.
struct prepared_gemm {
    runner run;
    std::shared_ptr<buffer<float>> out;  ///< [m, n]
    std::size_t weight_bytes = 0;        ///< of one copy
    /// Of a neighbour in floating point: y = x W^T on the caller's rows, x: [m, k], y: [m, n].
    std::function<void(float const* x, float* y)> apply = nullptr;
    std::function<std::byte const*()> next_weights =
        nullptr;  ///< takes a turn of the copies that run goes through
};

/// Largest deviation from the sum above in exact arithmetic, at some hundred places, relative to the largest result there.
[[nodiscard]] double gemm_error(gemm_problem const& problem, buffer<float> const& out);

/// Entered in a contest under a name; nothing where run is empty.
void enter(std::vector<contestant>& in, std::string name, std::shared_ptr<gemm_problem const> const& problem,
           prepared_gemm made, double tolerance);

}  // namespace commutant::bench
