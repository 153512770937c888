// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/kernel_build.hpp"

namespace commutant::bench {

// The parts of a kernel_build, compiled once for each build.
[[nodiscard]] prepared_gemm build_gemm(gemm_problem const& problem);
[[nodiscard]] transfer build_transfer(transfer_kind kind, std::size_t n_rows, std::size_t row_size);
[[nodiscard]] prepared_block build_block(block_problem const& problem);

}  // namespace commutant::bench
