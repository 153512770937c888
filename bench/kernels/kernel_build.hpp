// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "harness/block.hpp"
#include "harness/problems.hpp"

namespace commutant::bench {

/// Kernels that read an array and write another one, or the same one.
enum class transfer_kind {
    hadamard,               ///< float, in place, over sqrt(row_size)
    hadamard_rescale_pack,  ///< the same with row scales, quantised and packed: float to nibbles
    quantize_pack,          ///< float to nibbles, static grid
    pack,                   ///< int8 to nibbles
    unpack,                 ///< nibbles to int8
    dequantize,             ///< nibbles to float, a scale per row
    residual_scale          ///< S_n: add, rescale, quantise, pack: float, in place, and nibbles
};

/// The grid that quantising transfers use.
inline constexpr float transfer_scale = 0.25F;
inline constexpr int transfer_zero_point = 1;

/// The kernel on n_rows rows of row_size values; source and target are those of one call.
using transfer = std::function<void(void* source, void* target)>;

/// This library's kernels as one set of compiler options built them.
///
/// The program loads several builds and enters all of them, so that what the options change is measured side by side.
struct kernel_build {
    prepared_gemm (*gemm)(gemm_problem const& problem);
    /// Empty where the library has no such kernel.
    transfer (*make_transfer)(transfer_kind kind, std::size_t n_rows, std::size_t row_size);
    prepared_block (*block)(block_problem const& problem);
};

struct named_build {
    std::string name;  ///< "commutant" is this processor's options; others say theirs: "commutant x86-64"
    kernel_build const* build;
};

/// Builds that lie beside the program; a missing one is left out.
[[nodiscard]] std::vector<named_build> load_kernel_builds();

}  // namespace commutant::bench

/// What a build exports.
extern "C" [[gnu::visibility("default")]] commutant::bench::kernel_build const* commutant_bench_kernels();
