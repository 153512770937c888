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
#include <cstring>
#include <utility>

namespace commutant::kernels::detail {

/// The eight signed sums of the four rows of a group, numbered as hadamard_plan says; groups are asked for in order.
template <class T, std::size_t Group>
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE void four_row_sums_avx512(T const*& row, std::ptrdiff_t apart,
                                                                     typename zmm_of<T>::reg* sums) noexcept {
    using z = zmm_of<T>;
    constexpr std::size_t first = 4 * Group;
    typename z::reg const x0 = z::load(zmm_row<T const>(row, first, apart));
    typename z::reg const x1 = z::load(zmm_row<T const>(row, first + 1, apart));
    typename z::reg const x2 = z::load(zmm_row<T const>(row, first + 2, apart));
    typename z::reg const x3 = z::load(zmm_row<T const>(row, first + 3, apart));
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

/// y +- one sum of group Group, for the outputs from First on: sums on the adders, differences on the multipliers.
template <class T, class Terms, std::size_t First, std::size_t Group, std::size_t... C>
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE void add_terms_avx512(typename zmm_of<T>::reg* y,
                                                                 typename zmm_of<T>::reg const* sums,
                                                                 typename zmm_of<T>::reg one,
                                                                 std::index_sequence<C...>) noexcept {
    using z = zmm_of<T>;
    if constexpr (Group == 0)
        ((y[C] = Terms::is_minus(First + C, 0) ? z::flipped(sums[Terms::sum(First + C, 0)], ~0U)
                                               : sums[Terms::sum(First + C, 0)]),
         ...);
    else
        ((y[C] = Terms::is_minus(First + C, Group) ? z::fnma(one, sums[Terms::sum(First + C, Group)], y[C])
                                                   : z::add(y[C], sums[Terms::sum(First + C, Group)])),
         ...);
}

/// One group for one batch of outputs: the first batch forms the sums and keeps them, later ones load them.
template <class T, class Terms, std::size_t First, std::size_t Count, bool Form, bool Keep, std::size_t Group>
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE void add_group_avx512(T const*& row, std::ptrdiff_t apart,
                                                                 T* table, typename zmm_of<T>::reg one,
                                                                 typename zmm_of<T>::reg* y) noexcept {
    using z = zmm_of<T>;
    typename z::reg sums[8];
    T* const kept = table + Group * 8 * z::lanes;
    if constexpr (Form) {
        four_row_sums_avx512<T, Group>(row, apart, sums);
        if constexpr (Keep) {
#pragma GCC unroll 8
            for (std::size_t m = 0; m < 8; ++m) z::store(kept + m * z::lanes, sums[m]);
        }
    } else {
#pragma GCC unroll 8
        for (std::size_t m = 0; m < 8; ++m) sums[m] = z::load(kept + m * z::lanes);
    }
    add_terms_avx512<T, Terms, First, Group>(y, sums, one, std::make_index_sequence<Count>{});
}

template <class T, class Terms, std::size_t First, std::size_t Count, bool Form, bool Keep, bool Scale,
          std::size_t... Group>
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE void core_batch_avx512(T* x, std::size_t stride, T* table,
                                                                  typename zmm_of<T>::reg one,
                                                                  typename zmm_of<T>::reg factor,
                                                                  std::index_sequence<Group...>) noexcept {
    using z = zmm_of<T>;
    auto const apart = static_cast<std::ptrdiff_t>(stride);
    typename z::reg y[Count];
    T const* row = x;
    (add_group_avx512<T, Terms, First, Count, Form, Keep, Group>(row, apart, table, one, y), ...);
    T* last = x + (First + Count - 1) * stride;
#pragma GCC unroll 16
    for (std::size_t i = 0; i < Count; ++i) {
        std::size_t const c = Count - 1 - i;
        if constexpr (Scale) y[c] = z::mul(y[c], factor);
        z::store(zmm_row<T>(last, i, -apart), y[c]);
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
    zmm_constants<T> const k = make_zmm_constants<T>(factor);
    for (std::size_t j = 0; j < width; j += z::lanes) {
        core_batch_avx512<T, terms, Core - last, last, true, (Core > batch), Scale>(
            x + j, width, table, k.one, k.factor, groups{});
        if constexpr (Core > 3 * batch)
            core_batch_avx512<T, terms, 2 * batch, batch, false, true, Scale>(x + j, width, table, k.one,
                                                                              k.factor, groups{});
        if constexpr (Core > 2 * batch)
            core_batch_avx512<T, terms, batch, batch, false, true, Scale>(x + j, width, table, k.one,
                                                                          k.factor, groups{});
        if constexpr (Core > batch)
            core_batch_avx512<T, terms, 0, batch, false, true, Scale>(x + j, width, table, k.one, k.factor,
                                                                      groups{});
    }
}

/// A row to multiply, see core_half.
template <class T>
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE typename zmm_of<T>::reg core_row_avx512(
    T const* x, core_half<T> const& half) noexcept {
    using z = zmm_of<T>;
    return half.is_one_of_two() ? z::fma(z::load(x + half.second), z::all(half.sign), z::load(x))
                                : z::load(x);
}

/// The signed sums of some rows of a group: at most three.
template <class T, std::size_t Rows>
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE void part_sums_avx512(T const* x, std::size_t stride,
                                                                 core_half<T> const& half,
                                                                 typename zmm_of<T>::reg* sums) noexcept {
    using z = zmm_of<T>;
    sums[0] = core_row_avx512(x, half);
#pragma GCC unroll 2
    for (std::size_t i = 1; i < Rows; ++i) {
        typename z::reg const next = core_row_avx512(x + i * stride, half);
        std::size_t const known = std::size_t{1} << (i - 1);
#pragma GCC unroll 2
        for (std::size_t m = 0; m < known; ++m) {
            sums[known + m] = z::sub(sums[m], next);
            sums[m] = z::add(sums[m], next);
        }
    }
}

/// Signed sums of a whole group in Columns registers of columns, each with both signs: a term is the number of one.
///
/// Layout    sum m of register j is at table[(2 m * Columns + j) * lanes], and at (2 m + 1) with the other sign
template <class T, std::size_t Columns, std::size_t Rows>
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE void group_sums_avx512(T const* x, std::size_t stride,
                                                                  core_half<T> const& half,
                                                                  T* table) noexcept {
    using z = zmm_of<T>;
    constexpr std::size_t first = (Rows + 1) / 2;
    constexpr std::size_t n_a = std::size_t{1} << (first - 1);
    constexpr std::size_t n_b = std::size_t{1} << (Rows - first - 1);
    constexpr std::size_t size = Columns * z::lanes;  // of a sum
    for (std::size_t j = 0; j < size; j += z::lanes) {
        typename z::reg a[n_a];
        typename z::reg b[n_b];
        part_sums_avx512<T, first>(x + j, stride, half, a);
        part_sums_avx512<T, Rows - first>(x + j + first * stride, stride, half, b);
#pragma GCC unroll 4
        for (std::size_t i = 0; i < n_b; ++i) {
#pragma GCC unroll 4
            for (std::size_t k = 0; k < n_a; ++k) {
                T* const to = table + j + (4 * i * n_a + 2 * k) * size;
                typename z::reg const sum = z::add(a[k], b[i]), difference = z::sub(a[k], b[i]);
                z::store(to, sum);
                z::store(to + size, z::flipped(sum, ~0U));
                z::store(to + 2 * n_a * size, difference);
                z::store(to + (2 * n_a + 1) * size, z::flipped(difference, ~0U));
            }
        }
    }
}

template <class T, std::size_t Columns>
COMMUTANT_TARGET_AVX512BW inline void group_sums_avx512(T const* x, std::size_t stride,
                                                        core_half<T> const& half, std::size_t rows,
                                                        T* table) noexcept {
    switch (rows) {
        case 2:
            return group_sums_avx512<T, Columns, 2>(x, stride, half, table);
        case 3:
            return group_sums_avx512<T, Columns, 3>(x, stride, half, table);
        case 4:
            return group_sums_avx512<T, Columns, 4>(x, stride, half, table);
        case 5:
            return group_sums_avx512<T, Columns, 5>(x, stride, half, table);
        default:
            return group_sums_avx512<T, Columns, 6>(x, stride, half, table);
    }
}

/// y + the sum that is so many bytes into the table.
template <class T, std::size_t Columns>
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE void add_any_term_avx512(typename zmm_of<T>::reg* y,
                                                                    T const* table,
                                                                    std::size_t offset) noexcept {
    using z = zmm_of<T>;
    auto const* const sum = reinterpret_cast<T const*>(reinterpret_cast<std::byte const*>(table) + offset);
#pragma GCC unroll 2
    for (std::size_t j = 0; j < Columns; ++j) y[j] = z::add(y[j], z::load(sum + j * z::lanes));
}

/// y + the sums that count terms stand for. Four terms are read at once: loads are what limits this.
template <class T, std::size_t Columns>
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE void add_any_terms_avx512(typename zmm_of<T>::reg* y,
                                                                     std::uint16_t const* terms,
                                                                     std::size_t count,
                                                                     T const* table) noexcept {
    constexpr int log2_size = Columns == 1 ? 6 : 7;  // of a sum in bytes
    constexpr std::uint64_t mask = std::uint64_t{0xffff} << log2_size;
    std::size_t g = 0;
    for (; g + 4 <= count; g += 4) {
        std::uint64_t four = 0;
        std::memcpy(&four, terms + g, sizeof four);
        add_any_term_avx512<T, Columns>(y, table, four << log2_size & mask);
        add_any_term_avx512<T, Columns>(y, table, four >> (16 - log2_size) & mask);
        add_any_term_avx512<T, Columns>(y, table, four >> (32 - log2_size) & mask);
        add_any_term_avx512<T, Columns>(y, table, four >> (48 - log2_size) & mask);
    }
    for (; g < count; ++g) add_any_term_avx512<T, Columns>(y, table, std::size_t{terms[g]} << log2_size);
}

/// What outputs begin with: so many times a row for each.
template <class T> struct core_beginning {
    T const* rows;
    std::size_t stride;
    T times;
};

/// All outputs of half of a core: the groups that are in the table from first on, and a beginning if there is one. Not
/// inlined, or the loop would not have the registers for its addresses.
///
/// Shape     target: output 0 of the half; rows lie plan.butterflies() apart
template <class T, std::size_t Columns, bool Begun>
[[gnu::noinline]] COMMUTANT_TARGET_AVX512BW inline void core_outputs_avx512(hadamard_plan const& plan,
                                                                            std::size_t first,
                                                                            core_beginning<T> begin,
                                                                            T const* table, T* target,
                                                                            T factor) noexcept {
    using z = zmm_of<T>;
    std::size_t const width = plan.butterflies(), n = plan.core_rows();
    std::size_t const count = plan.groups_end(first) - first;
    std::uint16_t const* terms = plan.terms(first);
    for (std::size_t c = 0; c < n; ++c, terms += count, target += width, begin.rows += begin.stride) {
        typename z::reg y[Columns];
#pragma GCC unroll 2
        for (std::size_t j = 0; j < Columns; ++j)
            y[j] = Begun ? z::mul(z::load(begin.rows + j * z::lanes), z::all(begin.times))
                         : z::all(-T{0});  // adding it changes nothing, not even the sign of zero
        add_any_terms_avx512<T, Columns>(y, terms, count, table);
#pragma GCC unroll 2
        for (std::size_t j = 0; j < Columns; ++j)
            z::store(target + j * z::lanes, z::mul(y[j], z::all(factor)));
    }
}

/// Columns registers of columns of any core: as many groups at a time as have their sums in the table, outputs added up
/// in the target.
template <class T, std::size_t Columns>
COMMUTANT_TARGET_AVX512BW inline void any_core_columns_avx512(hadamard_plan const& plan, T const* x,
                                                              std::size_t stride, T* target, T* table,
                                                              T factor) noexcept {
    std::size_t const group_table = 2 * plan.sums_per_group() * Columns * zmm_of<T>::lanes;
    for (std::size_t h = 0; h < plan.n_halves(); ++h) {
        core_half<T> const half(plan, h, stride);
        for (std::size_t first = 0; first < plan.n_groups(); first += plan.groups_at_once()) {
            for (std::size_t g = first; g < plan.groups_end(first); ++g)
                group_sums_avx512<T, Columns>(x + g * plan.group_size() * stride, stride, half,
                                              plan.group_rows(g), table + (g - first) * group_table);
            T* const outputs = target + half.first_output * plan.butterflies();
            T const last_factor = plan.groups_end(first) == plan.n_groups() ? factor : T{1};
            if (first != 0)
                core_outputs_avx512<T, Columns, true>(plan, first, {outputs, plan.butterflies(), T{1}}, table,
                                                      outputs, last_factor);
            else if (half.is_one_of_two())
                core_outputs_avx512<T, Columns, true>(plan, first, {x + half.twice, stride, T{-2}}, table,
                                                      outputs, last_factor);
            else
                core_outputs_avx512<T, Columns, false>(plan, first, {x, 0, T{1}}, table, outputs,
                                                       last_factor);
        }
    }
}

template <class T>
COMMUTANT_TARGET_AVX512BW inline void any_core_avx512(hadamard_plan const& plan, T const* x,
                                                      std::size_t stride, T* target, T* table,
                                                      T factor) noexcept {
    constexpr std::size_t lanes = zmm_of<T>::lanes;
    if (plan.butterflies() == lanes)
        return any_core_columns_avx512<T, 1>(plan, x, stride, target, table, factor);
    for (std::size_t j = 0; j < plan.butterflies(); j += 2 * lanes)
        any_core_columns_avx512<T, 2>(plan, x + j, stride, target + j, table, factor);
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
    butterflies_avx512<T>(source, scratch, plan.size(), width,
                          {ends.flips, ends.element, T{1}, ends.lines_ahead});
    any_core_avx512(plan, scratch, width, target, scratch + plan.size(), ends.factor);
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
