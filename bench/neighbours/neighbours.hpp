// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "harness/block.hpp"
#include "harness/problems.hpp"

namespace commutant::bench {

/// Products by others, from the same numbers: floating point, or the weights' codes as bytes.
///
/// Weights are brought into each library's own order before timing. A contestant that a library cannot run well here, or
/// that is not installed, is empty.
enum class number_type { fp32, bf16, int8 };

[[nodiscard]] constexpr std::string_view to_string(number_type t) {
    return t == number_type::fp32 ? "fp32" : t == number_type::bf16 ? "bf16" : "int8";
}

/// The faster of oneDNN's matmul and inner_product; with int8 of u8 x s8 and s8 x s8 too.
[[nodiscard]] prepared_gemm onednn_gemm(number_type type, gemm_problem const& problem);
[[nodiscard]] prepared_gemm openblas_gemm(gemm_problem const& problem);
[[nodiscard]] prepared_gemm eigen_gemm(gemm_problem const& problem);

/// A block on oneDNN's products, everything else as in this library's block: attention over a float cache, RoPE, SwiGLU.
[[nodiscard]] prepared_block onednn_block(number_type type, block_problem const& problem);
/// The static grids of the block with S_n and T_d, from a run in floats, and what it is in fake quantisation on them: what the
/// int4 block computes in integers. False where there is no neighbour to run it on.
[[nodiscard]] bool observe_block(block_problem& problem, std::vector<float>& reference);

/// Largest relative deviation that a type's rounding explains.
[[nodiscard]] constexpr double tolerance_of(number_type t) { return t == number_type::bf16 ? 1e-2 : 1e-4; }

/// Which neighbours this build has and which limits they were given, for the report.
[[nodiscard]] std::vector<std::string> neighbours_here();

}  // namespace commutant::bench
