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
#include <type_traits>
#include <utility>

namespace commutant::kernels::detail::core_avx512 {

template <class T> using registers = zmm_of<T>;
inline constexpr std::size_t sums_at_once = 8, outputs_at_once = 20;

COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE __m512 one_apart() noexcept {
    __m512 one = zmm_of<float>::all(1.0F);
    __asm__("" : "+v"(one));
    return one;
}
/// On the multipliers, beside sums on the adders.
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE __m512 less(__m512 y, __m512 v, __m512 one) noexcept {
    return zmm_of<float>::fnma(one, v, y);
}

#define COMMUTANT_CORE_TARGET COMMUTANT_TARGET_AVX512BW
#include <commutant/kernels/detail/hadamard_core_text.hpp>
#undef COMMUTANT_CORE_TARGET

}  // namespace commutant::kernels::detail::core_avx512

namespace commutant::kernels::detail {

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
    core_avx512::signed_sums<T>({x0, x1, x2, x3}, sums);
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

/// One block from source to target: butterflies, then the core.
template <class T>
COMMUTANT_TARGET_AVX512BW inline void core_block_avx512(hadamard_plan const& plan, T const* source, T* target,
                                                        zmm_butterfly_ends<T> const& ends,
                                                        T* scratch) noexcept {
    std::size_t const width = plan.butterflies();
    constexpr std::size_t lanes = zmm_of<T>::lanes;
    zmm_butterfly_ends<T> const first_ends{ends.flips, ends.element, T{1}, ends.lines_ahead};
    if (with_grouped_core<T>(plan.core(), [&](auto core) {
            butterflies_avx512<T>(source, target, plan.size(), width, first_ends);
            grouped_core_avx512<T, core>(plan, target, scratch, ends.factor);
        }))
        return;
    // A core reads the same columns of all rows. Rows that lie apart compete for the same places in the cache.
    bool const by_column = width <= longest_run_by_column<T>;
    core_avx512::rows_of_core<T> const rows{scratch, by_column ? lanes : width,
                                            by_column ? plan.core() * lanes : lanes};
    if (by_column)
        butterflies_by_column_avx512<T>(source, scratch, plan.size(), width, first_ends);
    else
        butterflies_avx512<T>(source, scratch, plan.size(), width, first_ends);
    T* const parts = scratch + plan.size();
    if constexpr (sizeof(T) == 4) {
        if (with_written_core(plan.core(), [&](auto core) {
                core_avx512::apply_written_core<decltype(core)>(plan, rows, target, parts, ends.factor);
            }))
            return;
    }
    core_avx512::any_core(plan, rows, target, parts, ends.factor);
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
