// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

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

/// Largest relative deviation that a type's rounding explains.
[[nodiscard]] constexpr double tolerance_of(number_type t) { return t == number_type::bf16 ? 1e-2 : 1e-4; }

/// Which neighbours this build has and which limits they were given, for the report.
[[nodiscard]] std::vector<std::string> neighbours_here();

}  // namespace commutant::bench
