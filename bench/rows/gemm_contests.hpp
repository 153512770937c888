// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "harness/session.hpp"

namespace commutant::bench {

/// Which of those that can compute a product enter.
struct gemm_entries {
    std::vector<int> activation_bits{8, 4};
    bool onednn = true;
    bool other_floating_point = true;  ///< OpenBLAS, Eigen
    std::vector<std::string> peaks{"peak int8"};
    std::size_t rotated_bytes =
        0;              ///< weights come from DRAM: every contestant goes through so many bytes of copies
    bool read = false;  ///< of this library's weights: "peak read"
};

[[nodiscard]] std::string name_of(std::string const& row, gemm_shape shape);

/// Everybody's product of one shape.
[[nodiscard]] std::vector<contestant> gemm_contestants(session const& s, gemm_shape shape,
                                                       gemm_entries const& entries);

/// Ratios to the best fp32, bf16 and int8 neighbours as metrics "<row>.fp32" and so on, for each activation width.
void judge_against_neighbours(contest_result const& r, std::string const& row, measures& into);

/// The shapes of a Llama-3-8B block: N, K.
inline constexpr std::pair<std::size_t, std::size_t> llama_shapes[] = {
    {4096, 4096}, {1024, 4096}, {14336, 4096}, {4096, 14336}};

}  // namespace commutant::bench
