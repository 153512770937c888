// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/detail/hadamard_avx2.hpp>
#include <commutant/kernels/detail/hadamard_core_terms.hpp>
#include <commutant/kernels/detail/hadamard_fold.hpp>
#include <commutant/kernels/detail/hadamard_plan.hpp>
#include <commutant/kernels/detail/hadamard_scalar.hpp>
#include <commutant/kernels/detail/quantize_avx2.hpp>
#include <commutant/kernels/isa.hpp>

#if defined(COMMUTANT_KERNELS_X86)

#include <cstddef>
#include <cstdint>
#include <utility>

namespace commutant::kernels::detail {

/// The eight signed sums of four rows, numbered as core_terms says.
template <class T>
COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE void four_row_sums_avx2(T const* x, std::size_t stride,
                                                               typename ymm_of<T>::reg* sums) noexcept {
    using z = ymm_of<T>;
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
COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE void add_terms_avx2(typename ymm_of<T>::reg* y,
                                                           typename ymm_of<T>::reg const* sums,
                                                           std::index_sequence<C...>) noexcept {
    using z = ymm_of<T>;
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
template <class T, class Terms, std::size_t First, std::size_t Count, bool Keep, std::size_t Group>
COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE void add_group_avx2(T const* x, std::size_t stride, T* table,
                                                           typename ymm_of<T>::reg* y) noexcept {
    using z = ymm_of<T>;
    typename z::reg sums[8];
    T* const kept = table + Group * 8 * z::lanes;
    if constexpr (First == 0) {
        four_row_sums_avx2<T>(x + 4 * Group * stride, stride, sums);
        if constexpr (Keep) {
#pragma GCC unroll 8
            for (std::size_t m = 0; m < 8; ++m) z::store(kept + m * z::lanes, sums[m]);
        }
    } else {
#pragma GCC unroll 8
        for (std::size_t m = 0; m < 8; ++m) sums[m] = z::load(kept + m * z::lanes);
    }
    add_terms_avx2<T, Terms, First, Group>(y, sums, std::make_index_sequence<Count>{});
}

template <class T, class Terms, std::size_t First, std::size_t Count, bool Keep, bool Scale,
          std::size_t... Group>
COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE void core_batch_avx2(T const* x, std::size_t stride, T* target,
                                                            std::size_t width, T* table,
                                                            typename ymm_of<T>::reg factor,
                                                            std::index_sequence<Group...>) noexcept {
    using z = ymm_of<T>;
    typename z::reg y[Count];
    (add_group_avx2<T, Terms, First, Count, Keep, Group>(x, stride, table, y), ...);
#pragma GCC unroll 16
    for (std::size_t c = 0; c < Count; ++c) {
        if constexpr (Scale) y[c] = z::mul(y[c], factor);
        z::store(target + (First + c) * width, y[c]);
    }
}

/// A grouped core, one register of columns at a time.
///
/// Shape     x: [Core, width] with rows stride apart; target: [Core, width]; table: [2 * Core] registers
template <class T, std::size_t Core, hadamard_side Side, bool Scale>
COMMUTANT_TARGET_AVX2 inline void grouped_core_avx2(T const* x, std::size_t stride, T* target,
                                                    std::size_t width, T* table, T factor) noexcept {
    using z = ymm_of<T>;
    using terms = core_terms<Core, Side>;
    constexpr std::size_t batch = terms::batch(8);
    constexpr std::size_t last = Core % batch == 0 ? batch : Core % batch;
    using groups = std::make_index_sequence<terms::n_groups>;
    typename z::reg const f = z::all(factor);
    for (std::size_t j = 0; j < width; j += z::lanes) {
        core_batch_avx2<T, terms, 0, batch, (Core > batch), Scale>(x + j, stride, target + j, width, table, f,
                                                                   groups{});
        if constexpr (Core > 2 * batch)
            core_batch_avx2<T, terms, batch, batch, true, Scale>(x + j, stride, target + j, width, table, f,
                                                                 groups{});
        if constexpr (Core > 3 * batch)
            core_batch_avx2<T, terms, 2 * batch, batch, true, Scale>(x + j, stride, target + j, width, table,
                                                                     f, groups{});
        if constexpr (Core > batch)
            core_batch_avx2<T, terms, Core - last, last, true, Scale>(x + j, stride, target + j, width, table,
                                                                      f, groups{});
    }
}

/// A row to fold, see core_half.
template <class T>
COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE typename ymm_of<T>::reg core_row_avx2(
    T const* x, core_half<T> const& half) noexcept {
    using z = ymm_of<T>;
    return half.is_one_of_two() ? z::fma(z::load(x + half.second), z::all(half.sign), z::load(x))
                                : z::load(x);
}

/// One register of columns of a core: where its rows come from and go to.
template <class T> struct ymm_column {
    core_half<T> half;
    T const* x;
    std::size_t stride;  ///< of x
    T* target;
    std::size_t width;  ///< from row to row of target
    T factor;
};

/// An output of row r, times a factor; of one of two halves less twice the other's row.
template <class T>
COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE void write_output_avx2(ymm_column<T> const& c, std::size_t r,
                                                              typename ymm_of<T>::reg y,
                                                              typename ymm_of<T>::reg factor) noexcept {
    using z = ymm_of<T>;
    if (c.half.is_one_of_two()) y = z::fma(z::all(T{-2}), z::load(c.x + r * c.stride + c.half.twice), y);
    z::store(c.target + (c.half.first_output + r) * c.width, z::mul(y, factor));
}

/// What sums of even and odd parts begin with, those of pair i with even[i % 2].
template <class T> struct ymm_fold_starts { typename ymm_of<T>::reg even[2], odd; };

/// Folds one register of columns, parts lie size apart; writes rows 0 and 1 of the outputs.
///
/// Note      what it works with is copied first: stores may be to anything, the plan included
template <class T, bool Skew>
COMMUTANT_TARGET_AVX2 inline ymm_fold_starts<T> fold_column_avx2(hadamard_plan const& plan,
                                                                 ymm_column<T> const c,
                                                                 fold_parts_of<T> const to,
                                                                 std::size_t size) noexcept {
    using z = ymm_of<T>;
    std::size_t const n = plan.n_pairs(), n_again = n - plan.block();
    std::uint16_t const *const rows = plan.rows(), *const opposite_rows = plan.opposite_rows();
    auto const sign = static_cast<T>(plan.sign());
    typename z::reg const outer = core_row_avx2(c.x, c.half);
    typename z::reg const zero = core_row_avx2(c.x + c.stride, c.half);
    typename z::reg total = zero, turned = outer;
    T *even_to = to.even + n * size, *odd_to = to.odd + n * size;
    for (std::size_t i = n; i-- != 0;) {
        even_to -= size;
        odd_to -= size;
        typename z::reg const a = core_row_avx2(c.x + rows[i] * c.stride, c.half);
        typename z::reg const b = core_row_avx2(c.x + opposite_rows[i] * c.stride, c.half);
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
    write_output_avx2(c, 0, z::fma(z::all(sign), total, outer), factor);
    write_output_avx2(c, 1, z::fma(z::all(Skew ? -sign : T{1}), turned, zero), factor);
    // No sum begins as -0: adding nothing, or a finite part times 0, changes none.
    if (Skew) return {{z::add(zero, nothing), z::add(zero, nothing)}, z::sub(nothing, outer)};
    return {{z::add(z::add(outer, zero), nothing), z::add(z::sub(outer, zero), nothing)}, nothing};
}

template <class T>
COMMUTANT_TARGET_AVX2 inline ymm_fold_starts<T> fold_column_avx2(hadamard_plan const& plan,
                                                                 ymm_column<T> const& c,
                                                                 fold_parts_of<T> const& to,
                                                                 std::size_t size) noexcept {
    return plan.is_skew() ? fold_column_avx2<T, true>(plan, c, to, size)
                          : fold_column_avx2<T, false>(plan, c, to, size);
}

/// Outputs a and -a of every pair, from its parts and sums.
template <class T>
COMMUTANT_TARGET_AVX2 inline void unfold_column_avx2(hadamard_plan const& plan, ymm_column<T> const c,
                                                     fold_parts_of<T> const from, std::size_t size) noexcept {
    using z = ymm_of<T>;
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
            write_output_avx2(c, rows[i], z::fma(weight_a, z::load(of_a + i * size), z::add(even, odd)),
                              factor_a);
            write_output_avx2(c, opposite_rows[i],
                              z::fma(weight_b, z::load(of_b + i * size), z::sub(even, odd)), factor_b);
        }
    }
}

/// Sums of Count outputs in Columns registers of columns, every part times 1, 0 or -1.
///
/// Shape     parts: [n_pairs] from the block's first on; entries: those of the first output; sums: [Count]
template <class T, std::size_t Columns, std::size_t Count>
COMMUTANT_TARGET_AVX2 inline void some_sums_avx2(T const* parts, T const* entries, std::size_t n_pairs,
                                                 T const* starts, std::size_t parity, T* sums) noexcept {
    using z = ymm_of<T>;
    typename z::reg y[Count][Columns];
#pragma GCC unroll 4
    for (std::size_t t = 0; t < Count; ++t)
#pragma GCC unroll 2
        for (std::size_t j = 0; j < Columns; ++j)
            y[t][j] = z::load(starts + (((t + parity) % 2) * Columns + j) * z::lanes);
    for (std::size_t s = 0; s < n_pairs; ++s, parts += Columns * z::lanes) {
        T const* const of_pair = entries - s;
        typename z::reg v[Columns];
#pragma GCC unroll 2
        for (std::size_t j = 0; j < Columns; ++j) v[j] = z::load(parts + j * z::lanes);
#pragma GCC unroll 4
        for (std::size_t t = 0; t < Count; ++t) {
            typename z::reg const entry = z::all(of_pair[t]);
#pragma GCC unroll 2
            for (std::size_t j = 0; j < Columns; ++j) y[t][j] = z::fma(v[j], entry, y[t][j]);
        }
    }
#pragma GCC unroll 4
    for (std::size_t t = 0; t < Count; ++t)
#pragma GCC unroll 2
        for (std::size_t j = 0; j < Columns; ++j) z::store(sums + (t * Columns + j) * z::lanes, y[t][j]);
}

/// The sums of all pairs.
///
/// Shape     starts: [2, Columns] registers, what even and odd outputs begin with
template <class T, std::size_t Columns>
COMMUTANT_TARGET_AVX2 inline void all_sums_avx2(hadamard_plan const& plan, bool of_odd, T const* parts,
                                                T const* starts, T* sums) noexcept {
    constexpr std::size_t size = Columns * ymm_of<T>::lanes;
    std::size_t const n = plan.n_pairs();
    for (std::size_t i = 0; i < n; i += plan.block()) {
        std::size_t const first = fold_begin(n, i);
        T const* const from = parts + first * size;
        T const* const entries = plan.entries<T>(of_odd);
        std::size_t t = 0;
        for (; t + 4 <= plan.block(); t += 4)
            some_sums_avx2<T, Columns, 4>(from, entries + t, n, starts, first + t, sums + (first + t) * size);
        for (; t + 2 <= plan.block(); t += 2)
            some_sums_avx2<T, Columns, 2>(from, entries + t, n, starts, first + t, sums + (first + t) * size);
        for (; t < plan.block(); ++t)
            some_sums_avx2<T, Columns, 1>(from, entries + t, n, starts, first + t, sums + (first + t) * size);
    }
}

/// Columns registers of columns of any core.
template <class T, std::size_t Columns>
COMMUTANT_TARGET_AVX2 inline void any_core_columns_avx2(hadamard_plan const& plan, T const* x,
                                                        std::size_t stride, T* target, T* scratch,
                                                        T factor) noexcept {
    using z = ymm_of<T>;
    constexpr std::size_t size = Columns * z::lanes;
    alignas(64) T starts[2][2 * size];  // of even parts, of odd parts
    fold_parts_of<T> const parts(plan, scratch, size);
    for (std::size_t h = 0; h < plan.n_halves(); ++h) {
        for (std::size_t j = 0; j < size; j += z::lanes) {
            ymm_fold_starts<T> const s = fold_column_avx2<T>(
                plan, {{plan, h, stride}, x + j, stride, target + j, plan.butterflies(), factor},
                parts.from(j), size);
            z::store(starts[0] + j, s.even[0]);
            z::store(starts[0] + size + j, s.even[1]);
            z::store(starts[1] + j, s.odd);
            z::store(starts[1] + size + j, s.odd);
        }
        all_sums_avx2<T, Columns>(plan, false, parts.even, starts[0], parts.even_sums);
        all_sums_avx2<T, Columns>(plan, true, parts.odd, starts[1], parts.odd_sums);
        for (std::size_t j = 0; j < size; j += z::lanes)
            unfold_column_avx2<T>(plan,
                                  {{plan, h, stride}, x + j, stride, target + j, plan.butterflies(), factor},
                                  parts.from(j), size);
    }
}

template <class T>
COMMUTANT_TARGET_AVX2 inline void any_core_avx2(hadamard_plan const& plan, T const* x, std::size_t stride,
                                                T* target, T* scratch, T factor) noexcept {
    constexpr std::size_t lanes = ymm_of<T>::lanes;
    if (plan.butterflies() == lanes)
        return any_core_columns_avx2<T, 1>(plan, x, stride, target, scratch, factor);
    for (std::size_t j = 0; j < plan.butterflies(); j += 2 * lanes)
        any_core_columns_avx2<T, 2>(plan, x + j, stride, target + j, scratch, factor);
}

/// Adds part v of the pair S behind a block's first to its outputs First ...
///
/// Note      a choice of three expressions: a function template for each takes compilers half as long again
template <class Core, bool OfOdd, std::size_t First, std::size_t S, std::size_t... O>
COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE void add_part_avx2(__m256* y, __m256 v, __m256 one,
                                                          std::index_sequence<O...>) noexcept {
    using z = ymm_of<float>;
    ((y[O] = Core::entry(OfOdd, First + O, S) == 0  ? y[O]
             : Core::entry(OfOdd, First + O, S) > 0 ? z::add(y[O], v)
                                                    : z::fnma(one, v, y[O])),
     ...);
}

/// The sums of outputs First .. of one block, every addition written out.
///
/// Shape     parts: [n_pairs] registers from the block's first on; sums: [block] registers
template <class Core, bool OfOdd, std::size_t First, std::size_t Count, std::size_t... S>
[[gnu::noinline]] COMMUTANT_TARGET_AVX2 inline void block_sums_avx2(float const* parts, float* sums,
                                                                    __m256 first, __m256 second,
                                                                    std::index_sequence<S...>) noexcept {
    using z = ymm_of<float>;
    __m256 one = z::all(1.0F);
    __asm__("" : "+x"(one));  // or the compiler would make an addition of it
    __m256 y[Count];
#pragma GCC unroll 10
    for (std::size_t t = 0; t < Count; ++t) y[t] = (First + t) % 2 == 0 ? first : second;
    (add_part_avx2<Core, OfOdd, First, S>(y, z::load(parts + S * z::lanes), one,
                                          std::make_index_sequence<Count>{}),
     ...);
#pragma GCC unroll 10
    for (std::size_t t = 0; t < Count; ++t) z::store(sums + (First + t) * z::lanes, y[t]);
}

template <class Core, bool OfOdd>
COMMUTANT_TARGET_AVX2 inline void written_sums_avx2(float const* parts, __m256 even_pair, __m256 odd_pair,
                                                    float* sums) noexcept {
    constexpr std::size_t lanes = ymm_of<float>::lanes;
    constexpr std::size_t most = 10, some = Core::block < most ? Core::block : (Core::block + 1) / 2;
    using pairs = std::make_index_sequence<Core::n_pairs>;
    for (std::size_t i = 0; i < Core::n_pairs; i += Core::block) {
        std::size_t const begin = fold_begin(Core::n_pairs, i);
        float const* const from = parts + begin * lanes;
        float* const to = sums + begin * lanes;
        __m256 const first = begin % 2 == 0 ? even_pair : odd_pair,
                     second = begin % 2 == 0 ? odd_pair : even_pair;
        block_sums_avx2<Core, OfOdd, 0, some>(from, to, first, second, pairs{});
        if constexpr (some < Core::block)
            block_sums_avx2<Core, OfOdd, some, Core::block - some>(from, to, first, second, pairs{});
    }
}

/// A folded core known to the compiler.
template <class Core>
COMMUTANT_TARGET_AVX2 inline void written_core_avx2(hadamard_plan const& plan, float const* x,
                                                    std::size_t stride, float* target, float* scratch,
                                                    float factor) noexcept {
    using z = ymm_of<float>;
    fold_parts_of<float> const parts(plan, scratch, z::lanes);
    for (std::size_t j = 0; j < plan.butterflies(); j += z::lanes)
        for (std::size_t h = 0; h < plan.n_halves(); ++h) {
            ymm_column<float> const column{{plan, h, stride},  x + j, stride, target + j,
                                           plan.butterflies(), factor};
            ymm_fold_starts<float> const starts = fold_column_avx2<float>(plan, column, parts, z::lanes);
            written_sums_avx2<Core, false>(parts.even, starts.even[0], starts.even[1], parts.even_sums);
            written_sums_avx2<Core, true>(parts.odd, starts.odd, starts.odd, parts.odd_sums);
            unfold_column_avx2<float>(plan, column, parts, z::lanes);
        }
}

template <class T, std::size_t Core>
COMMUTANT_TARGET_AVX2 inline void grouped_core_avx2(hadamard_plan const& plan, T const* x, std::size_t stride,
                                                    T* target, T* table, T factor) noexcept {
    std::size_t const width = plan.butterflies();
    if (plan.side() == hadamard_side::plain) {
        if (factor == T{1})
            grouped_core_avx2<T, Core, hadamard_side::plain, false>(x, stride, target, width, table, factor);
        else
            grouped_core_avx2<T, Core, hadamard_side::plain, true>(x, stride, target, width, table, factor);
    } else {
        if (factor == T{1})
            grouped_core_avx2<T, Core, hadamard_side::transposed, false>(x, stride, target, width, table,
                                                                         factor);
        else
            grouped_core_avx2<T, Core, hadamard_side::transposed, true>(x, stride, target, width, table,
                                                                        factor);
    }
}

/// Rows stride apart to the rows of target, times the core and a factor.
template <class T>
COMMUTANT_TARGET_AVX2 inline void core_avx2(hadamard_plan const& plan, T const* x, std::size_t stride,
                                            T* target, T* table, T factor) noexcept {
    if constexpr (sizeof(T) == 4) {
        switch (plan.core()) {
            case 12:
                return grouped_core_avx2<T, 12>(plan, x, stride, target, table, factor);
            case 20:
                return grouped_core_avx2<T, 20>(plan, x, stride, target, table, factor);
            case 28:
                return grouped_core_avx2<T, 28>(plan, x, stride, target, table, factor);
            default:
                if (with_written_core(plan.core(), [&](auto core) {
                        written_core_avx2<decltype(core)>(plan, x, stride, target, table, factor);
                    }))
                    return;
        }
    }
    any_core_avx2(plan, x, stride, target, table, factor);
}

template <class T>
COMMUTANT_TARGET_AVX2 inline void hadamard_avx2(hadamard_plan const& plan,
                                                hadamard_job<T> const& job) noexcept {
    constexpr std::size_t lanes = ymm_of<T>::lanes;
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
                short_runs_avx2(source, target, job.row_size, width, job.flips, factor);
            else
                butterflies_avx2<T>(source, target, job.row_size, width, {job.flips, 0, factor});
        } else if (width < lanes) {
            short_runs_avx2(source, target, job.row_size, width, job.flips, T{1});
            for (std::size_t at = 0; at < job.row_size; at += plan.size())
                apply_core_columns(plan, target + at, 0, width, job.scratch);
            if (factor != T{1})
                for (std::size_t i = 0; i < job.row_size; ++i) target[i] *= factor;
        } else {
            for (std::size_t at = 0; at < job.row_size; at += plan.size()) {
                for (std::size_t c = 0; c < plan.core(); ++c)
                    butterflies_avx2<T>(source + at + c * width, scratch + c * stride, width, width,
                                        {job.flips, at + c * width, T{1}});
                core_avx2(plan, scratch, stride, target + at, table, factor);
            }
        }
        if constexpr (sizeof(T) == 4) {
            if (job.sink.is_active()) write_row_avx2(job.sink, r, target, job.row_size, row_factor);
        }
    }
}

}  // namespace commutant::kernels::detail

#endif
