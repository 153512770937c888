// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>

#include "commutant/kernels/detail/int4_gemm_amx.hpp"
#include "commutant/kernels/detail/int4_gemm_avx2.hpp"
#include "commutant/kernels/detail/int4_gemm_avx512_vnni.hpp"
#include "commutant/kernels/detail/int4_gemm_avx512bw.hpp"
#include "commutant/kernels/detail/int4_gemm_avx_vnni.hpp"
#include "commutant/kernels/detail/int4_gemm_job.hpp"
#include "commutant/kernels/detail/int4_gemm_neon.hpp"
#include "commutant/kernels/detail/int4_gemm_scalar.hpp"
#include "commutant/kernels/executor.hpp"
#include "commutant/kernels/int4_weights.hpp"
#include "commutant/kernels/isa.hpp"

namespace commutant::kernels {

/// Rows of activation codes.
///
/// Equation  x[m, k] = scale[m] * (code[m, k] - zero_point[m])
/// Shape     codes: [n_rows, in_features], rows row_stride apart; scales: [1] or [n_rows]; zero_points: empty
///           (0), [1] or [n_rows]
/// Layout    one code per byte, or, if codes is empty, packed: two's complement nibbles, elements (2 i, 2 i +
///           1) of a row in byte i, the first one low
/// Units     row_stride counts elements (even if packed; 0: in_features, rounded up to even if packed); codes
///           in [-128, 127]; zero points in [-128, 127]
struct int4_activations {
    std::span<std::int8_t const> codes{};
    std::span<std::uint8_t const> packed{};
    std::size_t n_rows = 0;
    std::size_t row_stride = 0;
    int num_bits = 8;  ///< 4 promises that all codes are in [-8, 15]: some bodies are then faster
    std::span<float const> scales{};
    std::span<std::int32_t const> zero_points{};
};

/// What is added to the product.
///
/// Shape     bias: [out_features] or empty; bias_scales: empty (1), [1] or [n_rows]; residual: [n_rows,
///           out_features], rows residual_stride apart (0: out_features), or empty
struct int4_gemm_epilogue {
    std::span<float const> bias{};
    std::span<float const> bias_scales{};
    std::span<float const> residual{};
    std::size_t residual_stride = 0;
};

/// Bytes that int4_gemm asks of its workspace for up to n_rows rows on up to n_workers workers.
[[nodiscard]] constexpr std::size_t int4_gemm_workspace_bytes(std::size_t n_rows,
                                                              int4_weights_view const& weights,
                                                              std::size_t n_workers = 1) noexcept;

namespace detail {

/// Where things are in the workspace.
struct int4_gemm_workspace {
    std::size_t copies = 0;
    std::size_t corrections = 0;
    std::size_t scratch = 0;
    std::size_t scratch_each = 0;
    std::size_t end = 0;

    constexpr int4_gemm_workspace(std::size_t n_rows, int4_weights_view const& w,
                                  std::size_t n_workers) noexcept {
        std::size_t const rows = std::min(n_rows, int4_gemm_job::max_rows) + int4_gemm_job::spare_rows;
        corrections = rows * int4_gemm_job::copy_stride_of(w.in_features);
        scratch = corrections + (rows * w.n_groups() * sizeof(std::int32_t) + 63) / 64 * 64;
        scratch_each = int4_gemm_scratch_bytes(w, n_rows);
        end = scratch + n_workers * scratch_each;
    }
};

inline constexpr float int4_gemm_one = 1.0f;
inline constexpr std::int32_t int4_gemm_zero = 0;

/// Job of the rows from first_row on, at most max_rows.
[[nodiscard]] inline int4_gemm_job int4_gemm_job_of(int4_activations const& x, int4_weights_view const& w,
                                                    int4_gemm_epilogue const& e, std::span<float> y,
                                                    std::size_t y_stride, std::size_t first_row) noexcept {
    int4_gemm_job job;
    job.weights = w;
    job.n_rows = std::min(x.n_rows - first_row, int4_gemm_job::max_rows);
    bool const packed = x.codes.empty();
    job.row_stride = x.row_stride != 0 ? x.row_stride : packed ? (w.in_features + 1) / 2 * 2 : w.in_features;
    if (packed) {
        job.packed = x.packed.data() + first_row * job.row_stride / 2;
    } else {
        job.codes = x.codes.data() + first_row * job.row_stride;
    }
    job.narrow = packed || x.num_bits <= 4;
    job.scale_step = x.scales.size() > 1 ? 1 : 0;
    job.scales = x.scales.data() + first_row * job.scale_step;
    job.zero_point_step = x.zero_points.size() > 1 ? 1 : 0;
    job.zero_points =
        x.zero_points.empty() ? &int4_gemm_zero : x.zero_points.data() + first_row * job.zero_point_step;
    if (!e.bias.empty()) job.bias = e.bias.data();
    job.bias_scale_step = e.bias_scales.size() > 1 ? 1 : 0;
    job.bias_scales =
        e.bias_scales.empty() ? &int4_gemm_one : e.bias_scales.data() + first_row * job.bias_scale_step;
    job.residual_stride = e.residual_stride != 0 ? e.residual_stride : w.out_features;
    if (!e.residual.empty()) job.residual = e.residual.data() + first_row * job.residual_stride;
    job.y_stride = y_stride != 0 ? y_stride : w.out_features;
    job.y = y.data() + first_row * job.y_stride;
    return job;
}

/// Cuts a job into tasks. No value depends on where: sums of integers are exact, float expressions are per
/// element.
template <class Body>
void int4_gemm_run_job(Body const& body, int4_gemm_job const& job, int4_gemm_workspace const& layout,
                       std::byte* workspace, executor const& run) noexcept {
    using part = int4_gemm_part;
    auto const in_chunks = [](std::size_t n, std::size_t n_chunks, std::size_t unit) {
        return std::max(unit, ((n + n_chunks - 1) / n_chunks + unit - 1) / unit * unit);
    };
    std::byte* const scratch = workspace + layout.scratch;
    std::size_t const n_tiles = job.weights.n_column_tiles();
    std::size_t const n_workers = run.n_workers();
    if (n_workers == 1) {
        body(job, part{part::stage::preparation, 0, job.n_rows, 0, 0, scratch});
        body(job, part{part::stage::products, 0, job.n_rows, 0, n_tiles, scratch});
        return;
    }
    constexpr std::size_t worth_a_wake_up = std::size_t{1} << 17;
    if (job.n_rows * job.weights.in_features < worth_a_wake_up) {
        body(job, part{part::stage::preparation, 0, job.n_rows, 0, 0, scratch});
    } else {
        std::size_t const chunk = in_chunks(job.n_rows, n_workers, 1);
        run.parallel_for((job.n_rows + chunk - 1) / chunk, [&](std::size_t i, std::size_t worker) {
            body(job, part{part::stage::preparation, i * chunk, std::min(job.n_rows, (i + 1) * chunk), 0, 0,
                           scratch + worker * layout.scratch_each});
        });
    }
    // A few tasks per worker even out unequal cores; columns first, since a task unpacks the weights it
    // reads.
    constexpr std::size_t tasks_per_worker = 4, panel_tiles = int4_gemm_job::panel_columns / 16;
    std::size_t const wanted = n_workers * tasks_per_worker;
    std::size_t const unit = n_tiles >= wanted * panel_tiles ? panel_tiles : 1;
    std::size_t const tiles = in_chunks(n_tiles, wanted, unit);
    std::size_t const column_tasks = (n_tiles + tiles - 1) / tiles;
    std::size_t const rows =
        in_chunks(job.n_rows, (n_workers + column_tasks - 1) / column_tasks, int4_gemm_job::row_unit);
    std::size_t const row_tasks = (job.n_rows + rows - 1) / rows;
    run.parallel_for(column_tasks * row_tasks, [&](std::size_t i, std::size_t worker) {
        std::size_t const r = i % row_tasks * rows, c = i / row_tasks * tiles;
        body(job, part{part::stage::products, r, std::min(job.n_rows, r + rows), c,
                       std::min(n_tiles, c + tiles), scratch + worker * layout.scratch_each});
    });
}

/// int4_gemm with a body of the caller's choice.
template <class Body>
void int4_gemm_on(Body const& body, int4_activations const& x, int4_weights_view const& weights,
                  int4_gemm_epilogue const& epilogue, std::span<float> y, std::size_t y_stride,
                  std::span<std::byte> workspace, executor const& run) noexcept {
    assert(workspace.size() >= int4_gemm_workspace_bytes(x.n_rows, weights, run.n_workers()));
    assert(!x.scales.empty());
    int4_gemm_workspace const layout(x.n_rows, weights, run.n_workers());
    auto const address = reinterpret_cast<std::uintptr_t>(workspace.data());
    std::byte* const base = workspace.data() + (64 - address % 64) % 64;
    for (std::size_t row = 0; row < x.n_rows; row += int4_gemm_job::max_rows) {
        int4_gemm_job job = int4_gemm_job_of(x, weights, epilogue, y, y_stride, row);
        job.copies = reinterpret_cast<std::int8_t*>(base + layout.copies);
        job.corrections = reinterpret_cast<std::int32_t*>(base + layout.corrections);
        int4_gemm_run_job(body, job, layout, base, run);
    }
}

inline constexpr std::array int4_gemm_bodies {
#if defined(COMMUTANT_KERNELS_X86)
    body<int4_gemm_function>{isa::amx, &int4_amx::run},
        body<int4_gemm_function>{isa::avx512_vnni, &int4_avx512_vnni::run},
        body<int4_gemm_function>{isa::avx512bw, &int4_gemm_driver<int4_avx512bw>::run},
        body<int4_gemm_function>{isa::avx_vnni, &int4_gemm_driver<int4_avx_vnni>::run},
        body<int4_gemm_function>{isa::avx2, &int4_gemm_driver<int4_avx2>::run},
#elif defined(COMMUTANT_KERNELS_NEON)
    body<int4_gemm_function>{isa::neon_dotprod, &int4_gemm_driver<int4_neon_dotprod>::run},
        body<int4_gemm_function>{isa::neon, &int4_gemm_driver<int4_neon>::run},
#endif
        body<int4_gemm_function>{isa::scalar, &int4_gemm_scalar},
};

}  // namespace detail

constexpr std::size_t int4_gemm_workspace_bytes(std::size_t n_rows, int4_weights_view const& weights,
                                                std::size_t n_workers) noexcept {
    return detail::int4_gemm_workspace(n_rows, weights, n_workers).end + 63;
}

/// Product of activation codes and INT4 weights in integers, scaled to floats.
///
/// Equation  per channel  y[m, n] = a[m] s[n] sum_k (code[m, k] - z[m]) w[n, k] + b[m] bias[n] + residual[m,
///           n]; per group    y[m, n] = a[m] (sum_g s[g, n] sum_{k in g} code[m, k] w[n, k] - z[m] sum_g s[g,
///           n] sum_{k in g} w[n, k]) + b[m] bias[n] + residual[m, n], groups in order;
///           a: activation scales, z: zero points, b: bias_scales
/// Shape     x: [n_rows, in_features]; weights: [out_features, in_features]; y: [n_rows, out_features]
/// Layout    rows of y are y_stride apart (0: out_features); what lies between them is not touched
/// Alias     residual may be y; nothing else that is read may overlap what is written
/// Tail      any sizes
/// Note      sums of integers are exact, and a float is computed by one expression whatever the instruction
///           set, n_rows, the row's place or the number of workers: a row has the same bits in every call
/// Cost      2 n_rows out_features in_features operations; workspace: int4_gemm_workspace_bytes, any
///           alignment
inline void int4_gemm(int4_activations const& x, int4_weights_view const& weights,
                      int4_gemm_epilogue const& epilogue, std::span<float> y, std::size_t y_stride,
                      std::span<std::byte> workspace, executor const& run = {}) noexcept {
    detail::int4_gemm_on(
        [](detail::int4_gemm_job const& job, detail::int4_gemm_part const& part) noexcept {
            dispatched<detail::int4_gemm_bodies>{}.
            operator()<detail::int4_gemm_job const&, detail::int4_gemm_part const&>(job, part);
        },
        x, weights, epilogue, y, y_stride, workspace, run);
}

}  // namespace commutant::kernels
