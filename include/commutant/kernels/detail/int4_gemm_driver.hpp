// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "commutant/kernels/detail/int4_gemm_job.hpp"
#include "commutant/kernels/int4_pack.hpp"

namespace commutant::kernels::detail {

/// Where a tile's weights come from.
enum class int4_source : unsigned char {
    lines,           ///< packed lines, split into nibbles in registers
    lines_to_panel,  ///< the same; the nibbles are stored in the panel too
    panel            ///< the panel
};

/// One tile: some rows times some column tiles of 16, over some inputs.
///
/// Equation  per channel  c[r, n] = (first ? corrections[r] : c[r, n]) + sum_k a[r, k] (w[n, k] + 8);
///           per group    c[r, n] = fma(corrections[r, g] + sum_{k in g} a[r, k] (w[n, k] + 8), scales[g, n],
///           c[r, n]) for g = 0, 1, ..., where c starts from what the caller left there
struct int4_tile {
    std::int8_t const* a;
    std::size_t a_stride;
    std::uint8_t const* w;  ///< lines
    std::size_t w_stride;   ///< bytes between the lines of neighbouring column tiles
    std::size_t n_steps;    ///< of 8 inputs, in one group
    std::size_t n_groups;   ///< 1 per channel
    std::int32_t const* corrections;
    std::size_t correction_stride;
    float const* scales;
    std::size_t scale_stride;
    std::uint8_t* panel;  ///< unpacked weights: [n_steps * 2][column tiles][64]
    std::int32_t* c;      ///< rows of panel_columns; floats per group
    bool first;
    bool narrow;                ///< activations are in [-8, 15]
    std::uint8_t const* ahead;  ///< memory that will be wanted later
    std::size_t ahead_stride;   ///< bytes of it to ask for per step, of a panel per half step
};

using int4_tile_function = void(int4_tile const&) noexcept;

/// Packed codes of a row, and zeros up to whole 64.
inline void int4_unpack_row(std::uint8_t const* packed, std::size_t k, std::int8_t* codes) noexcept {
    unpack_int4({packed, (k + 1) / 2}, std::span(codes, k));
    std::memset(codes + k, 0, (k + 63) / 64 * 64 - k);
}

/// Walks over a part of a product with the tiles of one instruction set.
///
/// Kit       max_streamed_rows, streamed_rows(n_rows), streamed_tiles(grouped, rows): tiles that unpack in
///           registers, for few rows; panel_rows(rows_left): tiles that read an unpacked panel, most of
///           main_rows; panel_tiles(grouped), block_inputs, block_rows; unpacks_in_tiles: whether the first
///           tile of a panel unpacks it, of unpacking_rows(rows_left), otherwise unpack does; rows_in_place(n):
///           rows of n that tiles may read where they are, without going beyond the last one; unpack_row, row_sums,
///           finish; tile(source, grouped, rows, tiles)
template <class Kit> struct int4_gemm_driver {
    using job_t = int4_gemm_job;

    static void run(job_t const& job, int4_gemm_part const& part) noexcept {
        if (part.what == int4_gemm_part::stage::preparation) {
            prepare(job, part);
        } else if (part.end_row - part.begin_row <= Kit::max_streamed_rows) {
            stream(job, part);
        } else {
            multiply_panels(job, part);
        }
    }

    /// First row that is read from its copy. Rows may be read where they are where tiles, which read whole steps,
    /// do not go beyond their ends.
    [[nodiscard]] static std::size_t first_copy(job_t const& job) noexcept {
        bool const cut_short = job.weights.in_features % int4_weights_view::step_inputs != 0;
        return job.codes == nullptr || cut_short ? 0 : Kit::rows_in_place(job.n_rows);
    }

    static void prepare(job_t const& job, int4_gemm_part const& part) noexcept {
        std::size_t const k = job.weights.in_features, stride = job.copy_stride();
        std::size_t const copied_from = first_copy(job);
        std::size_t const from = std::clamp(copied_from, part.begin_row, part.end_row);
        auto const copy_of = [&](std::size_t m) { return job.copies + (m - copied_from) * stride; };
        for (std::size_t m = from; m < part.end_row; ++m) {
            if (job.codes != nullptr) {
                std::memcpy(copy_of(m), job.codes + m * job.row_stride, k);
                std::memset(copy_of(m) + k, 0, (k + 63) / 64 * 64 - k);
            } else {
                Kit::unpack_row(job.packed + m * job.row_stride / 2, k, copy_of(m));
            }
        }
        if (part.begin_row < from)
            row_sums(job, job.codes + part.begin_row * job.row_stride, job.row_stride, part.begin_row, from);
        if (from < part.end_row) row_sums(job, copy_of(from), stride, from, part.end_row);
    }
    static void row_sums(job_t const& job, std::int8_t const* rows, std::size_t stride, std::size_t begin,
                         std::size_t end) noexcept {
        int4_weights_view const& w = job.weights;
        Kit::row_sums(rows, stride, end - begin, w.in_features, w.group_size,
                      job.corrections + begin * w.n_groups());
    }

    /// Fills in what a tile needs to know about rows m, m + 1, ... and inputs from step on.
    static void set_rows(int4_tile& tile, job_t const& job, std::size_t copied_from, std::size_t m,
                         std::size_t step) noexcept {
        bool const copied = m >= copied_from;
        tile.a =
            (copied ? job.copies + (m - copied_from) * job.copy_stride() : job.codes + m * job.row_stride) +
            step * 8;
        tile.a_stride = copied ? job.copy_stride() : job.row_stride;
        tile.correction_stride = job.weights.n_groups();
        tile.corrections = job.corrections + m * tile.correction_stride + step * 8 / job.weights.group_size;
    }

    static void clear(std::int32_t* sums, std::size_t rows) noexcept {
        std::memset(sums, 0, rows * job_t::panel_columns * sizeof(float));
    }

    /// Few rows: every line goes from memory to registers once.
    static void stream(job_t const& job, int4_gemm_part const& part) noexcept {
        int4_weights_view const& w = job.weights;
        std::size_t const copied_from = first_copy(job);
        std::size_t const n_rows = part.end_row - part.begin_row;
        std::size_t const tile_rows = Kit::streamed_rows(n_rows),
                          most = Kit::streamed_tiles(!w.per_channel, tile_rows);
        std::size_t const n_row_tiles = (n_rows + tile_rows - 1) / tile_rows;
        bool const grouped = !w.per_channel;
        int4_tile tile{};
        tile.w_stride = w.n_steps() * w.line_bytes;
        tile.narrow = job.narrow;
        tile.n_groups = w.n_groups();
        tile.n_steps = w.n_steps() / tile.n_groups;
        tile.scale_stride = w.n_columns_padded();
        tile.c = reinterpret_cast<std::int32_t*>(part.scratch + int4_gemm_panel_bytes(w));
        tile.first = true;
        std::size_t tiles = 0;
        for (std::size_t t = part.begin_tile; t < part.end_tile; t += tiles) {
            tiles = std::min(most, part.end_tile - t);
            if (tiles == 3) tiles = 2;
            tile.w = w.lines + t * tile.w_stride;
            tile.scales = w.scales + t * w.tile_columns;
            auto* const function = Kit::tile(int4_source::lines, grouped, tile_rows, tiles);
            // The next columns' lines, spread over the row tiles of these.
            tile.ahead = w.lines + (t + tiles) * tile.w_stride;
            tile.ahead_stride = tiles * w.line_bytes / n_row_tiles;
            for (std::size_t m = part.begin_row; m < part.end_row; m += tile_rows) {
                set_rows(tile, job, copied_from, m, 0);
                if (grouped) clear(tile.c, tile_rows);
                function(tile);
                tile.ahead += tile.ahead_stride * w.n_steps();
                Kit::finish(job, tile.c, m, std::min(tile_rows, part.end_row - m), t, tiles);
            }
        }
    }

    /// Many rows: weights are unpacked once for a block of rows.
    static void multiply_panels(job_t const& job, int4_gemm_part const& part) noexcept {
        int4_weights_view const& w = job.weights;
        std::size_t const copied_from = first_copy(job);
        bool const grouped = !w.per_channel;
        std::size_t const group_steps = w.per_channel ? w.n_steps() : w.group_size / 8;
        std::size_t const block_steps = int4_gemm_block_inputs(w, Kit::block_inputs) / 8;
        bool const one_block = block_steps >= w.n_steps();
        auto* const panel = reinterpret_cast<std::uint8_t*>(part.scratch);
        auto* const sums = reinterpret_cast<std::int32_t*>(part.scratch + int4_gemm_panel_bytes(w));
        int4_tile tile{};
        tile.narrow = job.narrow;
        tile.panel = panel;
        tile.scale_stride = w.n_columns_padded();
        tile.w_stride = w.n_steps() * w.line_bytes;

        for (std::size_t top = part.begin_row; top < part.end_row; top += Kit::block_rows) {
            std::size_t const bottom = std::min(part.end_row, top + Kit::block_rows);
            std::size_t tiles = 0;
            for (std::size_t t = part.begin_tile; t < part.end_tile; t += tiles) {
                tiles = std::min(Kit::panel_tiles(grouped), part.end_tile - t);
                if (tiles == 3) tiles = 2;
                for (std::size_t step = 0; step < w.n_steps(); step += block_steps) {
                    std::size_t const n_steps = std::min(block_steps, w.n_steps() - step);
                    tile.w = w.lines + t * tile.w_stride + step * w.line_bytes;
                    if constexpr (!Kit::unpacks_in_tiles)
                        Kit::unpack(tile.w, tile.w_stride, tiles, n_steps, panel);
                    tile.n_groups = grouped ? n_steps / group_steps : 1;
                    tile.n_steps = grouped ? group_steps : n_steps;
                    tile.scales = w.scales + t * w.tile_columns +
                                  step / group_steps * (grouped ? tile.scale_stride : 0);
                    tile.first = step == 0;
                    bool const last = step + n_steps == w.n_steps();
                    // The next panel's lines, spread over this one's tiles.
                    std::size_t const ahead = tiles * n_steps * w.line_bytes;
                    tile.ahead_stride =
                        ahead / (2 * n_steps * ((bottom - top + Kit::main_rows - 1) / Kit::main_rows)) + 1;
                    tile.ahead =
                        last ? w.lines + (t + tiles) * tile.w_stride : tile.w + n_steps * w.line_bytes;
                    std::size_t rows = 0;
                    for (std::size_t m = top; m < bottom; m += rows) {
                        bool const unpacks = Kit::unpacks_in_tiles && m == top;
                        if constexpr (Kit::unpacks_in_tiles) {
                            rows = unpacks ? Kit::unpacking_rows(bottom - m) : Kit::panel_rows(bottom - m);
                        } else {
                            rows = Kit::panel_rows(bottom - m);
                        }
                        set_rows(tile, job, copied_from, m, step);
                        tile.c = one_block ? sums : sums + (m - top) * job_t::panel_columns;
                        if (grouped && step == 0) clear(tile.c, rows);
                        Kit::tile(unpacks ? int4_source::lines_to_panel : int4_source::panel, grouped, rows,
                                  tiles)(tile);
                        tile.ahead += tile.ahead_stride * n_steps * 2;
                        if (last) Kit::finish(job, tile.c, m, std::min(rows, bottom - m), t, tiles);
                    }
                }
            }
        }
    }
};

}  // namespace commutant::kernels::detail
