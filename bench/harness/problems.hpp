// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "harness/buffer.hpp"
#include "harness/contest.hpp"

namespace commutant::bench {

/// A product that every contestant of a contest computes, each from its own form of the same numbers.
///
/// Equation  out[m, n] = sum over k of activation_scale (a[m, k] - zero_point) weight_scale[n, k / group_size] w[n, k]
struct gemm_problem {
    std::size_t m, n, k;
    std::size_t group_size = 0;  ///< weights that share a scale; 0: one scale per output channel
    int activation_bits = 8;     ///< 4 or 8
    std::size_t rotated_bytes =
        0;  ///< 0: the same weights each call; otherwise copies that fill so many bytes
    int n_threads = 1;

    buffer<std::int8_t> weights;      ///< [n, k], codes -8 .. 7
    buffer<float> weight_scales;      ///< [n] or [n, k / group_size]
    buffer<std::int8_t> activations;  ///< [m, k], codes of activation_bits
    float activation_scale = 0;
    std::int32_t zero_point = 0;

    [[nodiscard]] double operations() const {
        return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
    }
    [[nodiscard]] float weight_scale(std::size_t row, std::size_t column) const {
        return group_size == 0 ? weight_scales[row]
                               : weight_scales[row * (k / group_size) + column / group_size];
    }
    /// Copies of weights of so many bytes that are needed to rotate through rotated_bytes.
    [[nodiscard]] std::size_t copies(std::size_t weight_bytes) const {
        return rotated_bytes == 0 ? 1 : rotated_bytes / weight_bytes + 1;
    }
};

struct gemm_shape {
    std::size_t m, n, k;
};

/// Random codes and scales.
[[nodiscard]] std::shared_ptr<gemm_problem const> make_gemm_problem(gemm_shape shape, std::size_t group_size,
                                                                    int activation_bits,
                                                                    std::size_t rotated_bytes, int n_threads);

/// One that computes the product: what is timed, and where the result is.
struct prepared_gemm {
    runner run;
    std::shared_ptr<buffer<float>> out;  ///< [m, n]
    std::size_t weight_bytes = 0;        ///< of one copy
};

/// Largest deviation from the sum above in exact arithmetic, at some hundred places, relative to the largest result there.
[[nodiscard]] double gemm_error(gemm_problem const& problem, buffer<float> const& out);

/// Entered in a contest under a name; nothing where run is empty.
void enter(std::vector<contestant>& in, std::string name, std::shared_ptr<gemm_problem const> const& problem,
           prepared_gemm made, double tolerance);

}  // namespace commutant::bench
