// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/detail/hadamard_avx512.hpp>
#include <commutant/kernels/detail/hadamard_core_terms.hpp>
#include <commutant/kernels/detail/hadamard_fold.hpp>
#include <commutant/kernels/detail/hadamard_plan.hpp>
#include <commutant/kernels/detail/hadamard_scalar.hpp>
#include <commutant/kernels/detail/quantize_avx512.hpp>
#include <commutant/kernels/isa.hpp>

#if defined(COMMUTANT_KERNELS_X86)

#include <cstddef>
#include <cstdint>
#include <utility>

namespace commutant::kernels::detail {

/// A row to fold, see core_half.
template <class T>
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE typename zmm_of<T>::reg core_row_avx512(
    T const* x, core_half<T> const& half) noexcept {
    using z = zmm_of<T>;
    return half.is_one_of_two() ? z::fma(z::load(x + half.second), z::all(half.sign), z::load(x))
                                : z::load(x);
}

/// Rows of a core: register j of row r is at x + r * row_apart + j * column_apart.
template <class T> struct zmm_rows {
    T const* x;
    std::size_t row_apart, column_apart;
};

/// One register of columns of a core: where its rows come from and go to.
template <class T> struct zmm_column {
    core_half<T> half;
    T const* x;
    std::size_t stride;  ///< of x
    T* target;
    std::size_t width;  ///< from row to row of target
    T factor;
};

/// Register j of half h of the outputs.
template <class T>
[[nodiscard]] inline zmm_column<T> column_of(hadamard_plan const& plan, std::size_t h,
                                             zmm_rows<T> const& rows, std::size_t j, T* target,
                                             T factor) noexcept {
    return {core_half<T>(plan, h, rows.row_apart),
            rows.x + j * rows.column_apart,
            rows.row_apart,
            target + j * zmm_of<T>::lanes,
            plan.butterflies(),
            factor};
}

/// An output of row r, times a factor; of one of two halves less twice the other's row.
template <class T>
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE void write_output_avx512(zmm_column<T> const& c, std::size_t r,
                                                                    typename zmm_of<T>::reg y,
                                                                    typename zmm_of<T>::reg factor) noexcept {
    using z = zmm_of<T>;
    if (c.half.is_one_of_two()) y = z::fma(z::all(T{-2}), z::load(c.x + r * c.stride + c.half.twice), y);
    z::store(c.target + (c.half.first_output + r) * c.width, z::mul(y, factor));
}

/// What sums of even and odd parts begin with, those of pair i with even[i % 2].
template <class T> struct zmm_fold_starts { typename zmm_of<T>::reg even[2], odd; };

/// Folds one register of columns, parts lie size apart; writes rows 0 and 1 of the outputs.
///
/// Note      what it works with is copied first: stores may be to anything, the plan included
template <class T, bool Skew>
COMMUTANT_TARGET_AVX512BW inline zmm_fold_starts<T> fold_column_avx512(hadamard_plan const& plan,
                                                                       zmm_column<T> const c,
                                                                       fold_parts_of<T> const to,
                                                                       std::size_t size) noexcept {
    using z = zmm_of<T>;
    std::size_t const n = plan.n_pairs(), n_again = n - plan.block();
    std::uint16_t const *const rows = plan.rows(), *const opposite_rows = plan.opposite_rows();
    auto const sign = static_cast<T>(plan.sign());
    typename z::reg const outer = core_row_avx512(c.x, c.half);
    typename z::reg const zero = core_row_avx512(c.x + c.stride, c.half);
    typename z::reg total = zero, turned = outer;
    T *even_to = to.even + n * size, *odd_to = to.odd + n * size;
    for (std::size_t i = n; i-- != 0;) {
        even_to -= size;
        odd_to -= size;
        typename z::reg const a = core_row_avx512(c.x + rows[i] * c.stride, c.half);
        typename z::reg const b = core_row_avx512(c.x + opposite_rows[i] * c.stride, c.half);
        typename z::reg even = z::add(a, b), odd = z::sub(a, b);
        total = z::add(total, even);
        if (!Skew && i % 2 != 0) even = z::flipped(even, ~0U), odd = z::sub(b, a);
        turned = z::add(turned, Skew ? odd : even);
        z::store(even_to, even);
        z::store(odd_to, odd);
        if (i < n_again) {
            z::store(even_to + n * size, even);
            z::store(odd_to + n * size, Skew ? odd : z::flipped(odd, ~0U));
        }
    }
    typename z::reg const factor = z::all(c.factor), nothing = z::all(T{});
    write_output_avx512(c, 0, z::fma(z::all(sign), total, outer), factor);
    write_output_avx512(c, 1, z::fma(z::all(Skew ? -sign : T{1}), turned, zero), factor);
    // No sum begins as -0: adding nothing, or a finite part times 0, changes none.
    if (Skew) return {{z::add(zero, nothing), z::add(zero, nothing)}, z::sub(nothing, outer)};
    return {{z::add(z::add(outer, zero), nothing), z::add(z::sub(outer, zero), nothing)}, nothing};
}

template <class T>
COMMUTANT_TARGET_AVX512BW inline zmm_fold_starts<T> fold_column_avx512(hadamard_plan const& plan,
                                                                       zmm_column<T> const& c,
                                                                       fold_parts_of<T> const& to,
                                                                       std::size_t size) noexcept {
    return plan.is_skew() ? fold_column_avx512<T, true>(plan, c, to, size)
                          : fold_column_avx512<T, false>(plan, c, to, size);
}

/// Outputs a and -a of every pair, from its parts and sums.
template <class T>
COMMUTANT_TARGET_AVX512BW inline void unfold_column_avx512(hadamard_plan const& plan, zmm_column<T> const c,
                                                           fold_parts_of<T> const from,
                                                           std::size_t size) noexcept {
    using z = zmm_of<T>;
    std::size_t const n = plan.n_pairs();
    std::uint16_t const *const rows = plan.rows(), *const opposite_rows = plan.opposite_rows();
    for (std::size_t parity = 0; parity < 2; ++parity) {
        fold_ends const ends = plan.ends(parity);
        T const* const of_a = ends.first_is_even ? from.even : from.odd;
        T const* const of_b = ends.second_is_even ? from.even : from.odd;
        typename z::reg const weight_a = z::all(static_cast<T>(ends.first_weight));
        typename z::reg const weight_b = z::all(static_cast<T>(ends.second_weight));
        typename z::reg const factor_a = z::all(static_cast<T>(ends.first_factor) * c.factor);
        typename z::reg const factor_b = z::all(static_cast<T>(ends.second_factor) * c.factor);
        for (std::size_t i = parity; i < n; i += 2) {
            typename z::reg const even = z::load(from.even_sums + i * size);
            typename z::reg const odd = z::load(from.odd_sums + i * size);
            write_output_avx512(c, rows[i], z::fma(weight_a, z::load(of_a + i * size), z::add(even, odd)),
                                factor_a);
            write_output_avx512(c, opposite_rows[i],
                                z::fma(weight_b, z::load(of_b + i * size), z::sub(even, odd)), factor_b);
        }
    }
}

/// Sums of Count outputs in Columns registers of columns, every part times 1, 0 or -1.
///
/// Shape     parts: [n_pairs] from the block's first on; entries: those of the first output; sums: [Count]
template <class T, std::size_t Columns, std::size_t Count>
COMMUTANT_TARGET_AVX512BW inline void some_sums_avx512(T const* parts, T const* entries, std::size_t n_pairs,
                                                       T const* starts, std::size_t parity,
                                                       T* sums) noexcept {
    using z = zmm_of<T>;
    typename z::reg y[Count][Columns];
#pragma GCC unroll 8
    for (std::size_t t = 0; t < Count; ++t)
#pragma GCC unroll 2
        for (std::size_t j = 0; j < Columns; ++j)
            y[t][j] = z::load(starts + (((t + parity) % 2) * Columns + j) * z::lanes);
    for (std::size_t s = 0; s < n_pairs; ++s, parts += Columns * z::lanes) {
        T const* const of_pair = entries - s;
        typename z::reg v[Columns];
#pragma GCC unroll 2
        for (std::size_t j = 0; j < Columns; ++j) v[j] = z::load_apart(parts + j * z::lanes);
#pragma GCC unroll 8
        for (std::size_t t = 0; t < Count; ++t) {
            typename z::reg const entry = z::all(of_pair[t]);
#pragma GCC unroll 2
            for (std::size_t j = 0; j < Columns; ++j) y[t][j] = z::fma(v[j], entry, y[t][j]);
        }
    }
#pragma GCC unroll 8
    for (std::size_t t = 0; t < Count; ++t)
#pragma GCC unroll 2
        for (std::size_t j = 0; j < Columns; ++j) z::store(sums + (t * Columns + j) * z::lanes, y[t][j]);
}

/// The sums of all pairs.
///
/// Shape     starts: [2, Columns] registers, what even and odd outputs begin with
template <class T, std::size_t Columns>
COMMUTANT_TARGET_AVX512BW inline void all_sums_avx512(hadamard_plan const& plan, bool of_odd, T const* parts,
                                                      T const* starts, T* sums) noexcept {
    constexpr std::size_t size = Columns * zmm_of<T>::lanes;
    std::size_t const n = plan.n_pairs();
    for (std::size_t i = 0; i < n; i += plan.block()) {
        std::size_t const first = fold_begin(n, i);
        T const* const from = parts + first * size;
        T const* const entries = plan.entries<T>(of_odd);
        std::size_t t = 0;
        for (; t + 8 <= plan.block(); t += 8)
            some_sums_avx512<T, Columns, 8>(from, entries + t, n, starts, first + t,
                                            sums + (first + t) * size);
        for (; t + 4 <= plan.block(); t += 4)
            some_sums_avx512<T, Columns, 4>(from, entries + t, n, starts, first + t,
                                            sums + (first + t) * size);
        for (; t < plan.block(); ++t)
            some_sums_avx512<T, Columns, 1>(from, entries + t, n, starts, first + t,
                                            sums + (first + t) * size);
    }
}

/// Columns registers of columns of any core.
template <class T, std::size_t Columns>
COMMUTANT_TARGET_AVX512BW inline void any_core_columns_avx512(hadamard_plan const& plan, zmm_rows<T> rows,
                                                              std::size_t column, T* target, T* scratch,
                                                              T factor) noexcept {
    using z = zmm_of<T>;
    constexpr std::size_t size = Columns * z::lanes;
    alignas(64) T starts[2][2 * size];  // of even parts, of odd parts
    fold_parts_of<T> const parts(plan, scratch, size);
    for (std::size_t h = 0; h < plan.n_halves(); ++h) {
        for (std::size_t j = 0; j < Columns; ++j) {
            zmm_fold_starts<T> const s = fold_column_avx512<T>(
                plan, column_of(plan, h, rows, column + j, target, factor), parts.from(j * z::lanes), size);
            z::store(starts[0] + j * z::lanes, s.even[0]);
            z::store(starts[0] + size + j * z::lanes, s.even[1]);
            z::store(starts[1] + j * z::lanes, s.odd);
            z::store(starts[1] + size + j * z::lanes, s.odd);
        }
        all_sums_avx512<T, Columns>(plan, false, parts.even, starts[0], parts.even_sums);
        all_sums_avx512<T, Columns>(plan, true, parts.odd, starts[1], parts.odd_sums);
        for (std::size_t j = 0; j < Columns; ++j)
            unfold_column_avx512<T>(plan, column_of(plan, h, rows, column + j, target, factor),
                                    parts.from(j * z::lanes), size);
    }
}

template <class T>
COMMUTANT_TARGET_AVX512BW inline void any_core_avx512(hadamard_plan const& plan, zmm_rows<T> rows, T* target,
                                                      T* scratch, T factor) noexcept {
    std::size_t const n_columns = plan.butterflies() / zmm_of<T>::lanes;
    if (n_columns == 1) return any_core_columns_avx512<T, 1>(plan, rows, 0, target, scratch, factor);
    for (std::size_t j = 0; j < n_columns; j += 2)
        any_core_columns_avx512<T, 2>(plan, rows, j, target, scratch, factor);
}

/// Adds part v of the pair S behind a block's first to its outputs: sums on the adders, differences on the multipliers.
///
/// Note      a choice of three expressions: a function template for each takes compilers half as long again
template <class Core, bool OfOdd, std::size_t S, std::size_t... O>
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE void add_part_avx512(__m512* y, __m512 v, __m512 one,
                                                                std::index_sequence<O...>) noexcept {
    using z = zmm_of<float>;
    ((y[O] = Core::entry(OfOdd, O, S) == 0  ? y[O]
             : Core::entry(OfOdd, O, S) > 0 ? z::add(y[O], v)
                                            : z::fnma(one, v, y[O])),
     ...);
}

/// The sums of one block of outputs, every addition written out.
///
/// Shape     parts: [n_pairs] registers from the block's first on; sums: [block] registers
template <class Core, bool OfOdd, std::size_t... S>
[[gnu::noinline]] COMMUTANT_TARGET_AVX512BW inline void block_sums_avx512(
    float const* parts, float* sums, __m512 first, __m512 second, std::index_sequence<S...>) noexcept {
    using z = zmm_of<float>;
    __m512 one = z::all(1.0F);
    __asm__("" : "+v"(one));  // or the compiler would make an addition of it
    __m512 y[Core::block];
#pragma GCC unroll 20
    for (std::size_t t = 0; t < Core::block; ++t) y[t] = t % 2 == 0 ? first : second;
    (add_part_avx512<Core, OfOdd, S>(y, z::load(parts + S * z::lanes), one,
                                     std::make_index_sequence<Core::block>{}),
     ...);
#pragma GCC unroll 20
    for (std::size_t t = 0; t < Core::block; ++t) z::store(sums + t * z::lanes, y[t]);
}

template <class Core, bool OfOdd>
COMMUTANT_TARGET_AVX512BW inline void written_sums_avx512(float const* parts, __m512 even_pair,
                                                          __m512 odd_pair, float* sums) noexcept {
    constexpr std::size_t lanes = zmm_of<float>::lanes;
    for (std::size_t i = 0; i < Core::n_pairs; i += Core::block) {
        std::size_t const first = fold_begin(Core::n_pairs, i);
        block_sums_avx512<Core, OfOdd>(
            parts + first * lanes, sums + first * lanes, first % 2 == 0 ? even_pair : odd_pair,
            first % 2 == 0 ? odd_pair : even_pair, std::make_index_sequence<Core::n_pairs>{});
    }
}

/// A folded core known to the compiler.
template <class Core>
COMMUTANT_TARGET_AVX512BW inline void written_core_avx512(hadamard_plan const& plan, zmm_rows<float> rows,
                                                          float* target, float* scratch,
                                                          float factor) noexcept {
    using z = zmm_of<float>;
    fold_parts_of<float> const parts(plan, scratch, z::lanes);
    for (std::size_t j = 0; j < plan.butterflies() / z::lanes; ++j)
        for (std::size_t h = 0; h < plan.n_halves(); ++h) {
            zmm_column<float> const column = column_of(plan, h, rows, j, target, factor);
            zmm_fold_starts<float> const starts = fold_column_avx512<float>(plan, column, parts, z::lanes);
            written_sums_avx512<Core, false>(parts.even, starts.even[0], starts.even[1], parts.even_sums);
            written_sums_avx512<Core, true>(parts.odd, starts.odd, starts.odd, parts.odd_sums);
            unfold_column_avx512<float>(plan, column, parts, z::lanes);
        }
}

/// The eight signed sums of the four rows of a group, numbered as core_terms says; groups are asked for in order.
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

/// A grouped core, one register of columns at a time, in place. Outputs are written last row first: rows
/// may be a multiple of the cache's way apart, and those read last are still there.
///
/// Shape     x: [Core, width]; table: [2 * Core] registers
template <class T, std::size_t Core, hadamard_side Side, bool Scale>
COMMUTANT_TARGET_AVX512BW inline void grouped_core_avx512(T* x, std::size_t width, T* table,
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

template <class T, std::size_t Core>
COMMUTANT_TARGET_AVX512BW inline void grouped_core_avx512(hadamard_plan const& plan, T* x, T* table,
                                                          T factor) noexcept {
    std::size_t const width = plan.butterflies();
    if (plan.side() == hadamard_side::plain) {
        if (factor == T{1})
            grouped_core_avx512<T, Core, hadamard_side::plain, false>(x, width, table, factor);
        else
            grouped_core_avx512<T, Core, hadamard_side::plain, true>(x, width, table, factor);
    } else {
        if (factor == T{1})
            grouped_core_avx512<T, Core, hadamard_side::transposed, false>(x, width, table, factor);
        else
            grouped_core_avx512<T, Core, hadamard_side::transposed, true>(x, width, table, factor);
    }
}

/// A core that is_grouped_core.
template <class T>
COMMUTANT_TARGET_AVX512BW inline void apply_grouped_core_avx512(hadamard_plan const& plan, T* x, T* table,
                                                                T factor) noexcept {
    if constexpr (sizeof(T) == 4) {
        switch (plan.core()) {
            case 12:
                return grouped_core_avx512<T, 12>(plan, x, table, factor);
            case 20:
                return grouped_core_avx512<T, 20>(plan, x, table, factor);
            default:
                return grouped_core_avx512<T, 28>(plan, x, table, factor);
        }
    }
}

/// One block from source to target: butterflies, then the core.
template <class T>
COMMUTANT_TARGET_AVX512BW inline void core_block_avx512(hadamard_plan const& plan, T const* source, T* target,
                                                        zmm_butterfly_ends<T> const& ends,
                                                        T* scratch) noexcept {
    std::size_t const width = plan.butterflies();
    constexpr std::size_t lanes = zmm_of<T>::lanes;
    zmm_butterfly_ends<T> const first_ends{ends.flips, ends.element, T{1}, ends.lines_ahead};
    if (is_grouped_core<T>(plan.core())) {
        butterflies_avx512<T>(source, target, plan.size(), width, first_ends);
        return apply_grouped_core_avx512<T>(plan, target, scratch, ends.factor);
    }
    // A core reads the same columns of all rows. Rows that lie apart compete for the same places in the cache.
    bool const by_column = width <= longest_run_by_column<T>;
    zmm_rows<T> const rows{scratch, by_column ? lanes : width, by_column ? plan.core() * lanes : lanes};
    if (by_column)
        butterflies_by_column_avx512<T>(source, scratch, plan.size(), width, first_ends);
    else
        butterflies_avx512<T>(source, scratch, plan.size(), width, first_ends);
    T* const parts = scratch + plan.size();
    if constexpr (sizeof(T) == 4) {
        if (with_written_core(plan.core(), [&](auto core) {
                written_core_avx512<decltype(core)>(plan, rows, target, parts, ends.factor);
            }))
            return;
    }
    any_core_avx512(plan, rows, target, parts, ends.factor);
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
