// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/detail/hadamard_avx512.hpp>
#include <commutant/kernels/detail/hadamard_core_terms.hpp>
#include <commutant/kernels/detail/hadamard_plan.hpp>
#include <commutant/kernels/detail/hadamard_scalar.hpp>
#include <commutant/kernels/detail/quantize_avx512.hpp>
#include <commutant/kernels/isa.hpp>

#if defined(COMMUTANT_KERNELS_X86)

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace commutant::kernels::detail {

/// The eight signed sums of four rows, numbered as hadamard_plan says.
template <class T>
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE void four_row_sums_avx512(T const* x, std::size_t stride,
                                                                     typename zmm_of<T>::reg* sums) noexcept {
    using z = zmm_of<T>;
    typename z::reg const x0 = z::load(x), x1 = z::load(x + stride);
    typename z::reg const x2 = z::load(x + 2 * stride), x3 = z::load(x + 3 * stride);
    typename z::reg const a0 = z::add(x0, x1), a1 = z::sub(x0, x1);
    typename z::reg const b0 = z::add(x2, x3), b1 = z::sub(x2, x3);
    sums[0] = z::add(a0, b0);
    sums[1] = z::add(a1, b0);
    sums[2] = z::sub(a0, b0);
    sums[3] = z::sub(a1, b0);
    sums[4] = z::add(a0, b1);
    sums[5] = z::add(a1, b1);
    sums[6] = z::sub(a0, b1);
    sums[7] = z::sub(a1, b1);
}

/// y +- one sum of group Group, for the outputs from First on.
template <class T, class Terms, std::size_t First, std::size_t Group, std::size_t... C>
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE void add_terms_avx512(typename zmm_of<T>::reg* y,
                                                                 typename zmm_of<T>::reg const* sums,
                                                                 std::index_sequence<C...>) noexcept {
    using z = zmm_of<T>;
    if constexpr (Group == 0)
        ((y[C] = Terms::is_minus(First + C, 0) ? z::flipped(sums[Terms::sum(First + C, 0)], ~0U)
                                               : sums[Terms::sum(First + C, 0)]),
         ...);
    else
        ((y[C] = Terms::is_minus(First + C, Group) ? z::sub(y[C], sums[Terms::sum(First + C, Group)])
                                                   : z::add(y[C], sums[Terms::sum(First + C, Group)])),
         ...);
}

/// One group for one batch of outputs: the first batch forms the sums and keeps them, later ones load them.
template <class T, class Terms, std::size_t First, std::size_t Count, bool Form, bool Keep, std::size_t Group>
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE void add_group_avx512(T const* x, std::size_t stride, T* table,
                                                                 typename zmm_of<T>::reg* y) noexcept {
    using z = zmm_of<T>;
    typename z::reg sums[8];
    T* const kept = table + Group * 8 * z::lanes;
    if constexpr (Form) {
        four_row_sums_avx512<T>(x + 4 * Group * stride, stride, sums);
        if constexpr (Keep) {
#pragma GCC unroll 8
            for (std::size_t m = 0; m < 8; ++m) z::store(kept + m * z::lanes, sums[m]);
        }
    } else {
#pragma GCC unroll 8
        for (std::size_t m = 0; m < 8; ++m) sums[m] = z::load(kept + m * z::lanes);
    }
    add_terms_avx512<T, Terms, First, Group>(y, sums, std::make_index_sequence<Count>{});
}

template <class T, class Terms, std::size_t First, std::size_t Count, bool Form, bool Keep, bool Scale,
          std::size_t... Group>
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE void core_batch_avx512(T* x, std::size_t stride, T* table,
                                                                  typename zmm_of<T>::reg factor,
                                                                  std::index_sequence<Group...>) noexcept {
    using z = zmm_of<T>;
    typename z::reg y[Count];
    (add_group_avx512<T, Terms, First, Count, Form, Keep, Group>(x, stride, table, y), ...);
#pragma GCC unroll 16
    for (std::size_t i = 0; i < Count; ++i) {
        std::size_t const c = Count - 1 - i;
        if constexpr (Scale) y[c] = z::mul(y[c], factor);
        z::store(x + (First + c) * stride, y[c]);
    }
}

/// A core known to the compiler, one register of columns at a time, in place. Outputs are written last row first: rows
/// may be a multiple of the cache's way apart, and those read last are still there.
///
/// Shape     x: [Core, width]; table: [2 * Core] registers
template <class T, std::size_t Core, hadamard_side Side, bool Scale>
COMMUTANT_TARGET_AVX512BW inline void fixed_core_avx512(T* x, std::size_t width, T* table,
                                                        T factor) noexcept {
    using z = zmm_of<T>;
    using terms = core_terms<Core, Side>;
    constexpr std::size_t batch = terms::batch(16);
    constexpr std::size_t last = Core % batch == 0 ? batch : Core % batch;
    using groups = std::make_index_sequence<terms::n_groups>;
    typename z::reg const f = z::all(factor);
    for (std::size_t j = 0; j < width; j += z::lanes) {
        core_batch_avx512<T, terms, Core - last, last, true, (Core > batch), Scale>(x + j, width, table, f,
                                                                                    groups{});
        if constexpr (Core > 3 * batch)
            core_batch_avx512<T, terms, 2 * batch, batch, false, true, Scale>(x + j, width, table, f,
                                                                              groups{});
        if constexpr (Core > 2 * batch)
            core_batch_avx512<T, terms, batch, batch, false, true, Scale>(x + j, width, table, f, groups{});
        if constexpr (Core > batch)
            core_batch_avx512<T, terms, 0, batch, false, true, Scale>(x + j, width, table, f, groups{});
    }
}

/// Signed sums of a whole group in Columns registers of columns.
///
/// Layout    sum m of register j is at table[(m * Columns + j) * lanes]
template <class T, int Columns>
COMMUTANT_TARGET_AVX512BW inline void group_sums_avx512(T const* x, std::size_t stride, std::size_t rows,
                                                        T* table) noexcept {
    using z = zmm_of<T>;
    std::size_t const half = (rows + 1) / 2;
    std::size_t const n_a = std::size_t{1} << (half - 1);
    std::size_t const n_b = std::size_t{1} << (rows - half - 1);
    for (int j = 0; j < Columns; ++j) {
        T const* const from = x + static_cast<std::size_t>(j) * z::lanes;
        T* const to = table + static_cast<std::size_t>(j) * z::lanes;
        typename z::reg a[4];
        typename z::reg b[4];
        for (int side = 0; side < 2; ++side) {
            typename z::reg* const sums = side == 0 ? a : b;
            T const* const row = side == 0 ? from : from + half * stride;
            std::size_t const n = side == 0 ? half : rows - half;
            sums[0] = z::load(row);
            if (n > 1) {
                typename z::reg const second = z::load(row + stride);
                sums[1] = z::sub(sums[0], second);
                sums[0] = z::add(sums[0], second);
            }
            if (n > 2) {
                typename z::reg const third = z::load(row + 2 * stride);
                sums[2] = z::sub(sums[0], third);
                sums[3] = z::sub(sums[1], third);
                sums[0] = z::add(sums[0], third);
                sums[1] = z::add(sums[1], third);
            }
        }
        for (std::size_t i = 0; i < n_b; ++i)
            for (std::size_t k = 0; k < n_a; ++k) {
                z::store(to + (2 * i * n_a + k) * Columns * z::lanes, z::add(a[k], b[i]));
                z::store(to + ((2 * i + 1) * n_a + k) * Columns * z::lanes, z::sub(a[k], b[i]));
            }
    }
}

/// Outputs c .. c + Rows: the groups first .. last, added to what the target holds unless first is 0.
template <class T, int Columns, int Rows>
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE void add_any_groups_avx512(hadamard_plan const& plan,
                                                                      std::size_t c, std::size_t first,
                                                                      std::size_t last, T const* table,
                                                                      T* target, T factor) noexcept {
    using z = zmm_of<T>;
    constexpr T signs[2] = {T{1}, T{-1}};
    std::size_t const width = plan.butterflies();
    std::size_t const group_table = plan.sums_per_group() * Columns * z::lanes;
    typename z::reg y[Rows][Columns];
    std::uint16_t const* terms[Rows];
    std::size_t g = first;
#pragma GCC unroll 4
    for (std::size_t k = 0; k < Rows; ++k) {
        terms[k] = plan.terms(c + k);
        T const* const sums = table + terms[k][0] / 2 * Columns * z::lanes;
        T const* const before = target + (c + k) * width;
#pragma GCC unroll 4
        for (std::size_t j = 0; j < Columns; ++j)
            y[k][j] = first == 0 ? z::mul(z::load(sums + j * z::lanes), z::all(signs[terms[k][0] % 2]))
                                 : z::load(before + j * z::lanes);
    }
    if (first == 0) ++g;
    for (; g < last; ++g) {
        T const* const group = table + (g - first) * group_table;
#pragma GCC unroll 4
        for (std::size_t k = 0; k < Rows; ++k) {
            T const* const sums = group + terms[k][g] / 2 * Columns * z::lanes;
            typename z::reg const s = z::all(signs[terms[k][g] % 2]);
#pragma GCC unroll 4
            for (std::size_t j = 0; j < Columns; ++j)
                y[k][j] = z::fma(z::load(sums + j * z::lanes), s, y[k][j]);
        }
    }
    typename z::reg const f = z::all(last == plan.n_groups() ? factor : T{1});
#pragma GCC unroll 4
    for (std::size_t k = 0; k < Rows; ++k) {
#pragma GCC unroll 4
        for (std::size_t j = 0; j < Columns; ++j)
            z::store(target + (c + k) * width + j * z::lanes, z::mul(y[k][j], f));
    }
}

/// Any core: as many groups at a time as have their sums in the table, outputs added up in the target, four at a time.
template <class T, int Columns>
COMMUTANT_TARGET_AVX512BW inline void any_core_columns_avx512(hadamard_plan const& plan, T const* x,
                                                              std::size_t stride, T* target, T* table,
                                                              T factor) noexcept {
    using z = zmm_of<T>;
    std::size_t const group_table = plan.sums_per_group() * Columns * z::lanes;
    std::size_t const at_once = std::max<std::size_t>(1, hadamard_plan::table_size / group_table);
    for (std::size_t first = 0; first < plan.n_groups(); first += at_once) {
        std::size_t const last = std::min(plan.n_groups(), first + at_once);
        for (std::size_t g = first; g < last; ++g)
            group_sums_avx512<T, Columns>(x + g * plan.group_size() * stride, stride, plan.group_rows(g),
                                          table + (g - first) * group_table);
        for (std::size_t c = 0; c < plan.core(); c += 4)
            add_any_groups_avx512<T, Columns, 4>(plan, c, first, last, table, target, factor);
    }
}

template <class T>
COMMUTANT_TARGET_AVX512BW inline void any_core_avx512(hadamard_plan const& plan, T const* x,
                                                      std::size_t stride, T* target, T* table,
                                                      T factor) noexcept {
    constexpr std::size_t lanes = zmm_of<T>::lanes;
    std::size_t j = 0;
    for (; j + 4 * lanes <= plan.butterflies(); j += 4 * lanes)
        any_core_columns_avx512<T, 4>(plan, x + j, stride, target + j, table, factor);
    if (j + 2 * lanes <= plan.butterflies()) {
        any_core_columns_avx512<T, 2>(plan, x + j, stride, target + j, table, factor);
        j += 2 * lanes;
    }
    if (j < plan.butterflies()) any_core_columns_avx512<T, 1>(plan, x + j, stride, target + j, table, factor);
}

template <class T, std::size_t Core>
COMMUTANT_TARGET_AVX512BW inline void fixed_core_avx512(hadamard_plan const& plan, T* x, T* table,
                                                        T factor) noexcept {
    std::size_t const width = plan.butterflies();
    if (plan.side() == hadamard_side::plain) {
        if (factor == T{1})
            fixed_core_avx512<T, Core, hadamard_side::plain, false>(x, width, table, factor);
        else
            fixed_core_avx512<T, Core, hadamard_side::plain, true>(x, width, table, factor);
    } else {
        if (factor == T{1})
            fixed_core_avx512<T, Core, hadamard_side::transposed, false>(x, width, table, factor);
        else
            fixed_core_avx512<T, Core, hadamard_side::transposed, true>(x, width, table, factor);
    }
}

/// A core that has_written_out_core.
template <class T>
COMMUTANT_TARGET_AVX512BW inline void apply_fixed_core_avx512(hadamard_plan const& plan, T* x, T* table,
                                                              T factor) noexcept {
    if constexpr (sizeof(T) == 4) {
        switch (plan.core()) {
            case 12:
                fixed_core_avx512<T, 12>(plan, x, table, factor);
                break;
            case 20:
                fixed_core_avx512<T, 20>(plan, x, table, factor);
                break;
            case 28:
                fixed_core_avx512<T, 28>(plan, x, table, factor);
                break;
            default:
                break;
        }
    }
}

/// One block from source to target: butterflies, then the core.
template <class T>
COMMUTANT_TARGET_AVX512BW inline void core_block_avx512(hadamard_plan const& plan, T const* source, T* target,
                                                        zmm_butterfly_ends<T> const& ends,
                                                        T* scratch) noexcept {
    std::size_t const width = plan.butterflies();
    if (sizeof(T) == 4 && has_written_out_core(plan.core())) {
        butterflies_avx512<T>(source, target, plan.size(), width,
                              {ends.flips, ends.element, T{1}, ends.lines_ahead});
        apply_fixed_core_avx512<T>(plan, target, scratch, ends.factor);
        return;
    }
    std::size_t const stride = width + hadamard_plan::row_gap;
    for (std::size_t c = 0; c < plan.core(); ++c)
        butterflies_avx512<T>(source + c * width, scratch + c * stride, width, width,
                              {ends.flips, ends.element + c * width, T{1}, ends.lines_ahead});
    any_core_avx512(plan, scratch, stride, target, scratch + plan.core() * stride, ends.factor);
}

template <class T>
COMMUTANT_TARGET_AVX512BW inline void hadamard_avx512(hadamard_plan const& plan,
                                                      hadamard_job<T> const& job) noexcept {
    constexpr std::size_t lanes = zmm_of<T>::lanes;
    std::size_t const width = plan.butterflies();
    T* const scratch = cache_line_from(job.scratch);
    int const lines_ahead = job.n_rows * job.row_size * sizeof(T) > near_cache_size ? 16 : 0;
    for (std::size_t r = 0; r < job.n_rows; ++r) {
        T const* const source = job.source + r * job.source_stride;
        T* const target = job.target + r * job.target_stride;
        T const row_factor = job.factor_of(r);
        T const factor = job.sink.is_active() ? T{1} : row_factor;
        if (plan.core() == 1) {
            if (width < lanes)
                short_runs_avx512(source, target, job.row_size, width, job.flips, factor);
            else
                butterflies_avx512<T>(source, target, job.row_size, width,
                                      {job.flips, 0, factor, lines_ahead});
        } else if (width < lanes) {
            short_runs_avx512(source, target, job.row_size, width, job.flips, T{1});
            for (std::size_t at = 0; at < job.row_size; at += plan.size())
                apply_core_columns(plan, target + at, 0, width, job.scratch);
            if (factor != T{1})
                for (std::size_t i = 0; i < job.row_size; ++i) target[i] *= factor;
        } else {
            for (std::size_t at = 0; at < job.row_size; at += plan.size())
                core_block_avx512<T>(plan, source + at, target + at, {job.flips, at, factor, lines_ahead},
                                     scratch);
        }
        if constexpr (sizeof(T) == 4) {
            if (job.sink.is_active()) write_row_avx512(job.sink, r, target, job.row_size, row_factor);
        }
    }
}

}  // namespace commutant::kernels::detail

#endif
