// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "kernels/build_parts.hpp"

commutant::bench::kernel_build const* commutant_bench_kernels() {
    static constexpr commutant::bench::kernel_build build{
        commutant::bench::build_gemm, commutant::bench::build_transfer, commutant::bench::build_block};
    return &build;
}
