// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numbers>

#include <commutant/kernels/detail/attention_bodies.hpp>
#include <commutant/kernels/detail/softmax_bodies.hpp>
#include <commutant/kernels/detail/softmax_scale.hpp>
#include <commutant/kernels/int4_kv_cache.hpp>

namespace commutant::kernels::detail {

/// Up to so many rows read packed words as they are; more share a tile of floats.
inline constexpr std::size_t direct_rows = 16;
/// Lane blocks of keys, and terms of values, in a tile; longer sums load and store their parts less often.
inline constexpr std::size_t key_tile_blocks = 4;
inline constexpr std::size_t value_tile_terms = 192;
/// Rows on the causal diagonal that go together.
inline constexpr std::size_t diagonal_rows = 12;

/// Contexts up to which a task takes three times, or twice, as many rows as beyond.
inline constexpr std::size_t short_context = 1024, long_context = 2048;

/// One offset for every lane and term.
using offset_block = std::array<float, lanes_per_block>;

[[nodiscard]] inline offset_block offsets_of(kv_cache_view const& c, kv_grid const& g) noexcept {
    offset_block b;
    b.fill(operand_offset(c.format.storage(), g.zero_point));
    return b;
}

/// Keys of one head from a position on, a multiple of 16: lanes are positions, terms are features.
[[nodiscard]] inline operand key_operand(kv_cache_view const& c, std::size_t kv_head, std::size_t position,
                                         offset_block const& offsets) noexcept {
    kv_storage const s = c.format.storage();
    std::size_t const stride = words_for(c.format.head_dim, s) * lanes_per_block;
    bool const own = c.format.has_token_grids();
    return {s,
            false,
            key_words(c, kv_head) + 4 * (position / lanes_per_block) * stride,
            stride,
            lanes_per_block,
            own ? token_grids_of(c).key_offsets + position : offsets.data(),
            own ? lanes_per_block : 0};
}

/// Values of one head from a position on, a multiple of 8: lanes are features, terms are positions.
[[nodiscard]] inline operand value_operand(kv_cache_view const& c, std::size_t kv_head, std::size_t position,
                                           offset_block const& offsets) noexcept {
    kv_storage const s = c.format.storage();
    std::size_t const width = round_up(c.format.head_dim, lanes_per_block);
    bool const own = c.format.has_token_grids();
    return {s,
            own,
            value_words(c, kv_head) + 4 * (position / codes_per_word(s)) * width,
            lanes_per_block,
            width,
            own ? token_grids_of(c).value_offsets + position : offsets.data(),
            own ? std::size_t{1} : std::size_t{0}};
}

/// A tile that expand wrote.
[[nodiscard]] inline operand tile_operand(float const* tile, std::size_t terms) noexcept {
    return {kv_storage::float32,
            false,
            reinterpret_cast<std::byte const*>(tile),
            terms * lanes_per_block,
            lanes_per_block,
            nullptr,
            0};
}

/// How the queries of one call are cut into tasks; a task is one kv head and some tokens with all their query heads.
struct attention_plan {
    std::size_t n_rep, head_dim, width, positions;
    std::size_t block_tokens;
    std::size_t n_blocks;
    std::size_t rows;    ///< of the largest task
    std::size_t stride;  ///< of a row of scores
    bool direct;

    // Parts of a worker's memory, in floats.
    std::size_t queries_at = 0, scores_at = 0, sums_at = 0, mixed_at = 0, tile_at = 0, total = 0;

    attention_plan(kv_cache_format const& f, std::size_t n_heads, std::size_t tokens,
                   std::size_t n_positions) noexcept
        : n_rep(n_heads / f.n_kv_heads),
          head_dim(f.head_dim),
          width(round_up(f.head_dim, lanes_per_block)),
          positions(n_positions) {
        // Enough rows to pay for the tile, few enough for their scores to stay in the second-level cache.
        std::size_t const wanted = positions <= short_context ? 144 : positions <= long_context ? 96 : 48;
        block_tokens = std::max<std::size_t>(wanted / n_rep, 1);
        block_tokens = std::min(block_tokens >= 3 ? block_tokens / 3 * 3 : block_tokens,
                                std::max<std::size_t>(tokens, 1));
        n_blocks = (tokens + block_tokens - 1) / block_tokens;
        rows = block_tokens * n_rep;
        direct = tokens * n_rep <= direct_rows;
        // 16 more than needed: rows that are a power of two apart would share cache sets.
        stride = round_up(positions, lanes_per_block * key_tile_blocks) + lanes_per_block;
        std::size_t const tile =
            std::max(key_tile_blocks * head_dim * lanes_per_block, value_tile_terms * width);
        scores_at = round_up(rows * head_dim, lanes_per_block);
        sums_at = scores_at + rows * stride;
        mixed_at = sums_at + round_up(rows, lanes_per_block);
        tile_at = mixed_at + rows * width;
        // The first part begins at a cache line, so up to 15 floats stay unused.
        total = tile_at + (direct || f.storage() == kv_storage::float32 ? 0 : tile) + lanes_per_block;
    }
};

/// One task: queries in, mixed values out.
struct attention_task {
    attention_plan const& plan;
    kv_cache_view const& cache;
    std::size_t kv_head;
    std::size_t first_token, n_tokens;
    std::size_t first_position;  ///< of first_token
    float scale;
    float const* queries;  ///< row 0 of the call, as are outputs
    float* output;
    std::size_t row_size;  ///< n_heads * head_dim
    float* memory;

    [[nodiscard]] std::size_t rows() const noexcept { return n_tokens * plan.n_rep; }
    /// Positions that a row may see; rows go token by token.
    [[nodiscard]] std::size_t seen_by(std::size_t row) const noexcept {
        return first_position + row / plan.n_rep + 1;
    }
    [[nodiscard]] float* part(std::size_t at) const noexcept { return memory + at; }

    void run() const noexcept {
        gather_queries();
        scores();
        weights();
        mix();
        write();
    }

    void gather_queries() const noexcept {
        std::size_t const n = plan.n_rep * plan.head_dim;
        for (std::size_t t = 0; t < n_tokens; ++t)
            std::memcpy(part(plan.queries_at) + t * n, queries + (first_token + t) * row_size + kv_head * n,
                        n * sizeof(float));
    }

    /// multiply for the rows from first_row on, in groups that leave out what lies above the diagonal.
    void multiply_keys(operand const& o, std::size_t position, std::size_t blocks) const noexcept {
        std::size_t const end = position + blocks * lanes_per_block;
        std::size_t row = position < first_position + 1 ? 0 : (position - first_position) * plan.n_rep;
        while (row < rows()) {
            bool const whole = plan.direct || seen_by(row) >= end;
            std::size_t const n = whole ? rows() - row : std::min(diagonal_rows, rows() - row);
            std::size_t const needed =
                (seen_by(row + n - 1) - position + lanes_per_block - 1) / lanes_per_block;
            product const p{part(plan.queries_at) + row * plan.head_dim,
                            plan.head_dim,
                            n,
                            plan.head_dim,
                            std::min(blocks, needed),
                            part(plan.scores_at) + row * plan.stride + position,
                            plan.stride,
                            false};
            multiply(&p, &o);
            row += n;
        }
    }

    void scores() const noexcept {
        offset_block const offsets = offsets_of(cache, cache.key_grid);
        std::size_t const n = (seen_by(rows() - 1) + lanes_per_block - 1) / lanes_per_block;
        bool const as_is = plan.direct || cache.format.storage() == kv_storage::float32;
        std::size_t const step = plan.direct ? n : key_tile_blocks;
        for (std::size_t b = 0; b < n; b += step) {
            std::size_t const blocks = std::min(step, n - b);
            operand o = key_operand(cache, kv_head, b * lanes_per_block, offsets);
            if (!as_is) {
                expand(&o, plan.head_dim, blocks, part(plan.tile_at));
                o = tile_operand(part(plan.tile_at), plan.head_dim);
            }
            multiply_keys(o, b * lanes_per_block, blocks);
        }
    }

    void weights() const noexcept {
        bool const own = cache.format.has_token_grids();
        float const* const key_scales = own ? token_grids_of(cache).key_scales : nullptr;
        float const* const value_scales = own ? token_grids_of(cache).value_scales : nullptr;
        bool const one_grid = !own && cache.format.storage() != kv_storage::float32;
        float const factor = scale * (one_grid ? cache.key_grid.scale : 1.0F) * std::numbers::log2e_v<float>;
        float const value_scale = one_grid ? cache.value_grid.scale : 1.0F;
        std::size_t const n = seen_by(rows() - 1);
        for (std::size_t row = 0; row < rows(); ++row) {
            float* const s = part(plan.scores_at) + row * plan.stride;
            std::size_t const seen = seen_by(row);
            part(plan.sums_at)[row] =
                value_scale / softmax_weights(s, seen, factor, key_scales, value_scales);
            std::fill(s + seen, s + n, 0.0F);
        }
    }

    void mix() const noexcept {
        offset_block const offsets = offsets_of(cache, cache.value_grid);
        std::size_t const n = seen_by(rows() - 1);
        bool const as_is = plan.direct || cache.format.storage() == kv_storage::float32;
        std::size_t const step = plan.direct ? n : value_tile_terms;
        std::size_t const blocks = plan.width / lanes_per_block;
        for (std::size_t t = 0; t < n; t += step) {
            std::size_t const terms = std::min(step, n - t);
            operand o = value_operand(cache, kv_head, t, offsets);
            if (!as_is) {
                expand(&o, terms, blocks, part(plan.tile_at));
                o = tile_operand(part(plan.tile_at), terms);
            }
            multiply_values(o, t, terms, blocks);
        }
    }

    void multiply_values(operand const& o, std::size_t position, std::size_t terms,
                         std::size_t blocks) const noexcept {
        std::size_t row = position < first_position + 1 ? 0 : (position - first_position) * plan.n_rep;
        while (row < rows()) {
            bool const whole = plan.direct || seen_by(row) >= position + terms;
            std::size_t const n = whole ? rows() - row : std::min(diagonal_rows, rows() - row);
            product const p{part(plan.scores_at) + row * plan.stride + position,
                            plan.stride,
                            n,
                            std::min(terms, seen_by(row + n - 1) - position),
                            blocks,
                            part(plan.mixed_at) + row * plan.width,
                            plan.width,
                            position != 0};
            multiply(&p, &o);
            row += n;
        }
    }

    void write() const noexcept {
        for (std::size_t row = 0; row < rows(); ++row) {
            float const factor = part(plan.sums_at)[row];
            float const* const from = part(plan.mixed_at) + row * plan.width;
            float* const to = output + (first_token + row / plan.n_rep) * row_size +
                              (kv_head * plan.n_rep + row % plan.n_rep) * plan.head_dim;
            scale_row(from, plan.head_dim, factor, to);
        }
    }
};

/// The first place of a cache line at or behind p.
[[nodiscard]] inline float* line_start(float* p) noexcept {
    constexpr std::size_t line = 64;
    auto const past = static_cast<std::size_t>(reinterpret_cast<std::uintptr_t>(p) % line);
    return past == 0 || past % sizeof(float) != 0 ? p : p + (line - past) / sizeof(float);
}

}  // namespace commutant::kernels::detail
