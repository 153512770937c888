// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include <commutant/model/config.hpp>
#include <commutant/model/forward.hpp>
#include <commutant/quant/grid.hpp>

#include "harness/problems.hpp"

namespace commutant::bench {

/// Geometry of one block of Llama-3-8B.
[[nodiscard]] model_config llama_3_8b_block();

/// One block with random weights, and what passes through it.
struct block_problem {
    model_config config;
    std::array<std::shared_ptr<gemm_weights const>, 7> linears;  ///< q, k, v, o, gate, up, down
    std::array<grid, n_locations> grids{};  ///< static, 4 bits, from the block's own activations
    std::size_t tokens = 0, n_sequences = 1;
    std::size_t context = 0;        ///< positions that the cache holds before
    std::size_t rotated_bytes = 0;  ///< 0: one block; otherwise copies of its weights that fill so many bytes
    int n_threads = 1;
    buffer<float> x;  ///< [tokens, model_dim]

    /// This library's form of the weights; see gemm_weights::packed.
    mutable std::shared_ptr<void> packed = nullptr;

    [[nodiscard]] double operations() const;
};

struct prepared_block {
    runner run;
    /// The residual stream after the block, [tokens, model_dim], of the last run.
    std::function<std::span<float const>()> result = nullptr;
    /// S_n, T_d and the roundings of the block alone; only this library's.
    runner extras = nullptr;
};

/// Random weights, their grids still missing.
[[nodiscard]] std::shared_ptr<block_problem> make_block_problem();
/// The same weights for another job.
[[nodiscard]] std::shared_ptr<block_problem> with_tokens(block_problem const& from, std::size_t tokens,
                                                         std::size_t n_sequences, std::size_t context,
                                                         std::size_t rotated_bytes, int n_threads);

}  // namespace commutant::bench
