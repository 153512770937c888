// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/detail/hadamard_core_terms.hpp>
#include <commutant/kernels/detail/hadamard_plan.hpp>
#include <commutant/kernels/detail/hadamard_portable.hpp>
#include <commutant/kernels/detail/hadamard_scalar.hpp>
#include <commutant/kernels/detail/quantize_xsimd.hpp>
#include <commutant/kernels/isa.hpp>

#if defined(COMMUTANT_KERNELS_PORTABLE_VECTORS)

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace commutant::kernels::detail {

/// The eight signed sums of four rows, numbered as hadamard_plan says.
template <class T>
COMMUTANT_INLINE void four_row_sums_portable(T const* x, std::size_t stride,
                                             typename v16_of<T>::reg* sums) noexcept {
    using z = v16_of<T>;
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
COMMUTANT_INLINE void add_terms_portable(typename v16_of<T>::reg* y, typename v16_of<T>::reg const* sums,
                                         std::index_sequence<C...>) noexcept {
    using z = v16_of<T>;
    if constexpr (Group == 0)
        ((y[C] = Terms::is_minus(First + C, 0) ? z::mul(sums[Terms::sum(First + C, 0)], z::all(T{-1}))
                                               : sums[Terms::sum(First + C, 0)]),
         ...);
    else
        ((y[C] = Terms::is_minus(First + C, Group) ? z::sub(y[C], sums[Terms::sum(First + C, Group)])
                                                   : z::add(y[C], sums[Terms::sum(First + C, Group)])),
         ...);
}

/// One group for one batch of outputs: the first batch forms the sums and keeps them, later ones load them.
template <class T, class Terms, std::size_t First, std::size_t Count, bool Keep, std::size_t Group>
COMMUTANT_INLINE void add_group_portable(T const* x, std::size_t stride, T* table,
                                         typename v16_of<T>::reg* y) noexcept {
    using z = v16_of<T>;
    typename z::reg sums[8];
    T* const kept = table + Group * 8 * z::lanes;
    if constexpr (First == 0) {
        four_row_sums_portable<T>(x + 4 * Group * stride, stride, sums);
        if constexpr (Keep) {
#pragma GCC unroll 8
            for (std::size_t m = 0; m < 8; ++m) z::store(kept + m * z::lanes, sums[m]);
        }
    } else {
#pragma GCC unroll 8
        for (std::size_t m = 0; m < 8; ++m) sums[m] = z::load(kept + m * z::lanes);
    }
    add_terms_portable<T, Terms, First, Group>(y, sums, std::make_index_sequence<Count>{});
}

template <class T, class Terms, std::size_t First, std::size_t Count, bool Keep, bool Scale,
          std::size_t... Group>
COMMUTANT_INLINE void core_batch_portable(T const* x, std::size_t stride, T* target, std::size_t width,
                                          T* table, typename v16_of<T>::reg factor,
                                          std::index_sequence<Group...>) noexcept {
    using z = v16_of<T>;
    typename z::reg y[Count];
    (add_group_portable<T, Terms, First, Count, Keep, Group>(x, stride, table, y), ...);
#pragma GCC unroll 16
    for (std::size_t c = 0; c < Count; ++c) {
        if constexpr (Scale) y[c] = z::mul(y[c], factor);
        z::store(target + (First + c) * width, y[c]);
    }
}

/// A core known to the compiler, one register of columns at a time.
///
/// Shape     x: [Core, width] with rows stride apart; target: [Core, width]; table: [2 * Core] registers
template <class T, std::size_t Core, hadamard_side Side, bool Scale>
inline void fixed_core_portable(T const* x, std::size_t stride, T* target, std::size_t width, T* table,
                                T factor) noexcept {
    using z = v16_of<T>;
    using terms = core_terms<Core, Side>;
    constexpr std::size_t batch = terms::batch(8);
    constexpr std::size_t last = Core % batch == 0 ? batch : Core % batch;
    using groups = std::make_index_sequence<terms::n_groups>;
    typename z::reg const f = z::all(factor);
    for (std::size_t j = 0; j < width; j += z::lanes) {
        core_batch_portable<T, terms, 0, batch, (Core > batch), Scale>(x + j, stride, target + j, width,
                                                                       table, f, groups{});
        if constexpr (Core > 2 * batch)
            core_batch_portable<T, terms, batch, batch, true, Scale>(x + j, stride, target + j, width, table,
                                                                     f, groups{});
        if constexpr (Core > 3 * batch)
            core_batch_portable<T, terms, 2 * batch, batch, true, Scale>(x + j, stride, target + j, width,
                                                                         table, f, groups{});
        if constexpr (Core > batch)
            core_batch_portable<T, terms, Core - last, last, true, Scale>(x + j, stride, target + j, width,
                                                                          table, f, groups{});
    }
}

/// A row to multiply, see core_half.
template <class T>
COMMUTANT_INLINE typename v16_of<T>::reg core_row_portable(T const* x, core_half<T> const& half) noexcept {
    using z = v16_of<T>;
    return half.is_one_of_two() ? z::fma(z::load(x + half.second), z::all(half.sign), z::load(x))
                                : z::load(x);
}

/// Signed sums of a whole group in Columns registers of columns.
///
/// Layout    sum m of register j is at table[(m * Columns + j) * lanes]
template <class T, int Columns>
inline void group_sums_portable(T const* x, std::size_t stride, core_half<T> const& half, std::size_t rows,
                                T* table) noexcept {
    using z = v16_of<T>;
    std::size_t const first = (rows + 1) / 2;
    std::size_t const n_a = std::size_t{1} << (first - 1);
    std::size_t const n_b = std::size_t{1} << (rows - first - 1);
    for (int j = 0; j < Columns; ++j) {
        T const* const from = x + static_cast<std::size_t>(j) * z::lanes;
        T* const to = table + static_cast<std::size_t>(j) * z::lanes;
        typename z::reg a[4];
        typename z::reg b[4];
        for (int side = 0; side < 2; ++side) {
            typename z::reg* const sums = side == 0 ? a : b;
            T const* const row = side == 0 ? from : from + first * stride;
            std::size_t const n = side == 0 ? first : rows - first;
            sums[0] = core_row_portable(row, half);
            if (n > 1) {
                typename z::reg const second = core_row_portable(row + stride, half);
                sums[1] = z::sub(sums[0], second);
                sums[0] = z::add(sums[0], second);
            }
            if (n > 2) {
                typename z::reg const third = core_row_portable(row + 2 * stride, half);
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

/// All outputs of half of a core: the groups from first on that are in the table, added to what the target holds unless
/// first is 0.
template <class T, int Columns>
inline void core_outputs_portable(hadamard_plan const& plan, core_half<T> const& half, std::size_t first,
                                  T const* x, std::size_t stride, T const* table, T* target,
                                  T factor) noexcept {
    using z = v16_of<T>;
    std::size_t const count = plan.groups_end(first) - first;
    typename z::reg const f = z::all(first + count == plan.n_groups() ? factor : T{1});
    T const signs[2] = {T{1}, T{-1}};
    std::uint16_t const* terms = plan.terms(first);
    for (std::size_t c = 0; c < plan.core_rows(); ++c, terms += count) {
        T* const to = target + (half.first_output + c) * plan.butterflies();
        T const* const before = first != 0 ? to : x + c * stride + half.twice;
        bool const has_before = first != 0 || half.is_one_of_two();
        typename z::reg y[Columns];
#pragma GCC unroll 4
        for (std::size_t j = 0; j < Columns; ++j)
            y[j] = has_before ? z::mul(z::load(before + j * z::lanes), z::all(first != 0 ? T{1} : T{-2}))
                              : z::all(-T{0});  // adding it changes nothing, not even the sign of zero
        for (std::size_t g = 0; g < count; ++g) {
            T const* const sums = table + terms[g] / 2 * Columns * z::lanes;
            typename z::reg const s = z::all(signs[terms[g] % 2]);
#pragma GCC unroll 4
            for (std::size_t j = 0; j < Columns; ++j) y[j] = z::fma(z::load(sums + j * z::lanes), s, y[j]);
        }
#pragma GCC unroll 4
        for (std::size_t j = 0; j < Columns; ++j) z::store(to + j * z::lanes, z::mul(y[j], f));
    }
}

/// Any core: as many groups at a time as have their sums in the table, outputs added up in the target.
template <class T, int Columns>
inline void any_core_columns_portable(hadamard_plan const& plan, T const* x, std::size_t stride, T* target,
                                      T* table, T factor) noexcept {
    std::size_t const group_table = plan.sums_per_group() * Columns * v16_of<T>::lanes;
    for (std::size_t h = 0; h < plan.n_halves(); ++h) {
        core_half<T> const half(plan, h, stride);
        for (std::size_t first = 0; first < plan.n_groups(); first += plan.groups_at_once()) {
            for (std::size_t g = first; g < plan.groups_end(first); ++g)
                group_sums_portable<T, Columns>(x + g * plan.group_size() * stride, stride, half,
                                                plan.group_rows(g), table + (g - first) * group_table);
            core_outputs_portable<T, Columns>(plan, half, first, x, stride, table, target, factor);
        }
    }
}

template <class T>
inline void any_core_portable(hadamard_plan const& plan, T const* x, std::size_t stride, T* target, T* table,
                              T factor) noexcept {
    constexpr std::size_t lanes = v16_of<T>::lanes;
    std::size_t j = 0;
    for (; j + 4 * lanes <= plan.butterflies(); j += 4 * lanes)
        any_core_columns_portable<T, 4>(plan, x + j, stride, target + j, table, factor);
    if (j + 2 * lanes <= plan.butterflies()) {
        any_core_columns_portable<T, 2>(plan, x + j, stride, target + j, table, factor);
        j += 2 * lanes;
    }
    if (j < plan.butterflies())
        any_core_columns_portable<T, 1>(plan, x + j, stride, target + j, table, factor);
}

template <class T, std::size_t Core>
inline void fixed_core_portable(hadamard_plan const& plan, T const* x, std::size_t stride, T* target,
                                T* table, T factor) noexcept {
    std::size_t const width = plan.butterflies();
    if (plan.side() == hadamard_side::plain) {
        if (factor == T{1})
            fixed_core_portable<T, Core, hadamard_side::plain, false>(x, stride, target, width, table,
                                                                      factor);
        else
            fixed_core_portable<T, Core, hadamard_side::plain, true>(x, stride, target, width, table, factor);
    } else {
        if (factor == T{1})
            fixed_core_portable<T, Core, hadamard_side::transposed, false>(x, stride, target, width, table,
                                                                           factor);
        else
            fixed_core_portable<T, Core, hadamard_side::transposed, true>(x, stride, target, width, table,
                                                                          factor);
    }
}

/// Rows stride apart to the rows of target, times the core and a factor.
template <class T>
inline void core_portable(hadamard_plan const& plan, T const* x, std::size_t stride, T* target, T* table,
                          T factor) noexcept {
    if constexpr (sizeof(T) == 4) {
        switch (plan.core()) {
            case 12:
                return fixed_core_portable<T, 12>(plan, x, stride, target, table, factor);
            case 20:
                return fixed_core_portable<T, 20>(plan, x, stride, target, table, factor);
            case 28:
                return fixed_core_portable<T, 28>(plan, x, stride, target, table, factor);
            default:
                break;
        }
    }
    any_core_portable(plan, x, stride, target, table, factor);
}

template <class T>
inline void hadamard_portable(hadamard_plan const& plan, hadamard_job<T> const& job) noexcept {
    constexpr std::size_t lanes = v16_of<T>::lanes;
    std::size_t const width = plan.butterflies();
    std::size_t const stride = width + hadamard_plan::row_gap;
    T* const scratch = cache_line_from(job.scratch);
    T* const table = scratch + plan.core() * stride;
    for (std::size_t r = 0; r < job.n_rows; ++r) {
        T const* const source = job.source + r * job.source_stride;
        T* const target = job.target + r * job.target_stride;
        T const row_factor = job.factor_of(r);
        T const factor = job.sink.is_active() ? T{1} : row_factor;
        if (plan.core() == 1) {
            if (width < lanes)
                short_runs_portable(source, target, job.row_size, width, job.flips, factor);
            else
                butterflies_portable<T>(source, target, job.row_size, width, {job.flips, 0, factor});
        } else if (width < lanes) {
            short_runs_portable(source, target, job.row_size, width, job.flips, T{1});
            for (std::size_t at = 0; at < job.row_size; at += plan.size())
                apply_core_columns(plan, target + at, 0, width, job.scratch);
            if (factor != T{1})
                for (std::size_t i = 0; i < job.row_size; ++i) target[i] *= factor;
        } else {
            for (std::size_t at = 0; at < job.row_size; at += plan.size()) {
                for (std::size_t c = 0; c < plan.core(); ++c)
                    butterflies_portable<T>(source + at + c * width, scratch + c * stride, width, width,
                                            {job.flips, at + c * width, T{1}});
                core_portable(plan, scratch, stride, target + at, table, factor);
            }
        }
        if constexpr (sizeof(T) == 4) {
            if (job.sink.is_active()) write_row_xsimd(job.sink, r, target, job.row_size, row_factor);
        }
    }
}

}  // namespace commutant::kernels::detail

#endif
