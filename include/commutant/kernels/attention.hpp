// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>

#include <commutant/kernels/detail/attention_blocks.hpp>
#include <commutant/kernels/executor.hpp>
#include <commutant/kernels/int4_kv_cache.hpp>

namespace commutant::kernels {

/// Floats of workspace that attention needs for each worker, for any call with so many tokens and positions or fewer.
///
/// positions  at the last token: first_position + tokens
[[nodiscard]] inline std::size_t attention_workspace(kv_cache_format const& f, std::size_t n_heads,
                                                     std::size_t tokens, std::size_t positions) noexcept {
    std::size_t most = 0;
    for (std::size_t const n : {detail::short_context, detail::long_context, positions})
        most = std::max(most, detail::attention_plan(f, n_heads, tokens, std::min(n, positions)).total);
    return most;
}

/// Causal attention of some tokens over a cache that already holds them.
///
/// Equation  for token i and query head h, kv head g = h / n_rep:
///           softmax(scale q_ih k_g^T over positions 0 .. first_position + i) v_g
/// Shape     queries (after RoPE), output: [tokens, n_heads * head_dim]; workspace: attention_workspace floats for each
///           of run.n_workers() workers
/// Alias     output may be queries itself
/// Note      scale > 0; n_heads a multiple of n_kv_heads; first_position + tokens at most cache.length. Queries and
///           weights stay float32. Sums run in the order of features and of positions, so the bits depend neither on the
///           number of workers nor on how many tokens come at a time. Not finite values in a float32 cache may spread
///           to tokens in front of them
inline void attention(std::span<float const> queries, std::size_t n_heads, kv_cache_view const& cache,
                      std::size_t first_position, float scale, std::span<float> output,
                      std::span<float> workspace, executor run = {}) noexcept {
    kv_cache_format const& f = cache.format;
    std::size_t const row_size = n_heads * f.head_dim;
    if (row_size == 0 || queries.size() < row_size) return;
    std::size_t const tokens = queries.size() / row_size;
    detail::attention_plan const plan(f, n_heads, tokens, first_position + tokens);
    // Blocks of late tokens take longest and come first.
    run.parallel_for(plan.n_blocks * f.n_kv_heads, [&](std::size_t i, std::size_t worker) {
        std::size_t const first = (plan.n_blocks - 1 - i / f.n_kv_heads) * plan.block_tokens;
        detail::attention_task const task{plan,
                                          cache,
                                          i % f.n_kv_heads,
                                          first,
                                          std::min(plan.block_tokens, tokens - first),
                                          first_position + first,
                                          scale,
                                          queries.data(),
                                          output.data(),
                                          row_size,
                                          detail::line_start(workspace.data() + worker * plan.total)};
        task.run();
    });
}

/// Scores of queries with one kv head, not masked: for attention whose probabilities are treated on their way.
///
/// Equation  scores[row][t] = scale q_row k_t
/// Shape     queries: [rows, head_dim]; scores: [rows, positions], positions at most cache.length
inline void attention_scores(std::span<float const> queries, kv_cache_view const& cache, std::size_t kv_head,
                             float scale, std::size_t positions, std::span<float> scores) noexcept {
    constexpr std::size_t lanes = detail::lanes_per_block;
    kv_cache_format const& f = cache.format;
    std::size_t const rows = f.head_dim == 0 ? 0 : queries.size() / f.head_dim;
    bool const own = f.has_token_grids();
    float const factor = own || f.storage() == kv_storage::float32 ? scale : scale * cache.key_grid.scale;
    float const* const scales = own ? detail::token_grids_of(cache).key_scales : nullptr;
    detail::offset_block const offsets = detail::offsets_of(cache, cache.key_grid);
    std::array<float, detail::direct_rows * lanes> out;
    for (std::size_t t = 0; t < positions; t += lanes) {
        detail::operand const keys = detail::key_operand(cache, kv_head, t, offsets);
        std::size_t const n = std::min(lanes, positions - t);
        for (std::size_t row = 0; row < rows; row += detail::direct_rows) {
            std::size_t const m = std::min(detail::direct_rows, rows - row);
            detail::product const p{
                queries.data() + row * f.head_dim, f.head_dim, m, f.head_dim, 1, out.data(), lanes, false};
            detail::multiply(&p, &keys);
            for (std::size_t r = 0; r < m; ++r)
                for (std::size_t l = 0; l < n; ++l)
                    scores[(row + r) * positions + t + l] =
                        out[r * lanes + l] * (own ? factor * scales[t + l] : factor);
        }
    }
}

/// Values of one kv head mixed by given probabilities.
///
/// Equation  mixed[row] = sum over t of probabilities[row][t] v_t
/// Shape     probabilities: [rows, positions], positions at most cache.length; mixed: [rows, head_dim]
inline void attention_mix(std::span<float const> probabilities, kv_cache_view const& cache,
                          std::size_t kv_head, std::size_t positions, std::span<float> mixed) noexcept {
    constexpr std::size_t lanes = detail::lanes_per_block, rows_at_once = 4, terms_at_once = 128;
    kv_cache_format const& f = cache.format;
    std::size_t const rows = f.head_dim == 0 ? 0 : mixed.size() / f.head_dim;
    bool const own = f.has_token_grids();
    float const factor = own || f.storage() == kv_storage::float32 ? 1.0F : cache.value_grid.scale;
    float const* const scales = own ? detail::token_grids_of(cache).value_scales : nullptr;
    detail::offset_block const offsets = detail::offsets_of(cache, cache.value_grid);
    std::array<float, rows_at_once * terms_at_once> scaled;
    std::array<float, rows_at_once * lanes> out;
    for (std::size_t row = 0; row < rows; row += rows_at_once)
        for (std::size_t d = 0; d < f.head_dim; d += lanes) {
            std::size_t const m = std::min(rows_at_once, rows - row), n = std::min(lanes, f.head_dim - d);
            out.fill(0);
            for (std::size_t t = 0; t < positions; t += terms_at_once) {
                std::size_t const terms = std::min(terms_at_once, positions - t);
                for (std::size_t r = 0; r < m; ++r)
                    for (std::size_t i = 0; i < terms; ++i)
                        scaled[r * terms_at_once + i] =
                            probabilities[(row + r) * positions + t + i] * (own ? scales[t + i] : 1.0F);
                detail::operand values = detail::value_operand(cache, kv_head, t, offsets);
                values.words += 4 * d;
                detail::product const p{scaled.data(), terms_at_once, m, terms, 1, out.data(), lanes, true};
                detail::multiply(&p, &values);
            }
            for (std::size_t r = 0; r < m; ++r)
                for (std::size_t l = 0; l < n; ++l)
                    mixed[(row + r) * f.head_dim + d + l] = out[r * lanes + l] * factor;
        }
}

}  // namespace commutant::kernels
