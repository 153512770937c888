// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/detail/hadamard_core_terms.hpp>
#include <commutant/kernels/detail/hadamard_fold.hpp>
#include <commutant/kernels/detail/hadamard_plan.hpp>
#include <commutant/kernels/detail/quantize_sink.hpp>
#include <commutant/transforms/hadamard_apply.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace commutant::kernels::detail {

/// Bytes of rows that are not expected in a core's own caches; those of less are not asked for ahead of time.
inline constexpr std::size_t near_cache_size = std::size_t{1} << 20;

/// Rows to transform and what happens to them on the way.
template <class T> struct hadamard_job {
    T const* source;
    T* target;  ///< source itself, or apart
    std::size_t n_rows;
    std::size_t row_size;
    std::size_t source_stride;
    std::size_t target_stride;
    T factor;
    T const* row_factor;         ///< [n_rows] or null
    std::uint32_t const* flips;  ///< [ceil(row_size / 32)] or null
    T* scratch;
    code_sink sink;  ///< if active, target holds one row at a time, before the factor

    [[nodiscard]] T factor_of(std::size_t r) const noexcept {
        return row_factor == nullptr ? factor : factor * row_factor[r];
    }
};

/// Bits of flips for the lanes from one element on; the number of lanes divides the element's.
[[nodiscard]] inline std::uint32_t flip_bits(std::uint32_t const* flips, std::size_t element) noexcept {
    return flips[element / 32] >> (element % 32);
}

/// The first element at the beginning of a cache line.
template <class T> [[nodiscard]] inline T* cache_line_from(T* p) noexcept {
    std::size_t const past = reinterpret_cast<std::uintptr_t>(p) % 64 / sizeof(T);
    return past == 0 ? p : p + (64 / sizeof(T) - past);
}

/// What one half of the outputs is made of, see hadamard_plan.
///
/// Layout    row r to multiply: x[r * stride] + sign x[r * stride + second], or without the second if that is 0;
///           output c is at row first_output + c, less twice x[c * stride + twice] if there are two halves
template <class T> struct core_half {
    std::size_t second;
    T sign;
    std::size_t twice;
    std::size_t first_output;

    /// Half h of a core whose rows lie stride elements apart.
    core_half(hadamard_plan const& plan, std::size_t h, std::size_t stride) noexcept
        : second((plan.n_halves() - 1) * plan.core_rows() * stride),
          sign(h == 0 ? T{1} : T{-1}),
          twice(h == 0 ? second : 0),
          first_output(h * plan.core_rows()) {}

    [[nodiscard]] bool is_one_of_two() const noexcept { return second != 0; }
    [[nodiscard]] T row(T const* x) const noexcept { return is_one_of_two() ? *x + sign * x[second] : *x; }
};

/// Parts of the pairs of rows of a core, and the sums that the circulants make of them.
///
/// Layout    even, odd: [2, n_pairs] elements or registers, the second time as a circulant goes on behind its last; sums:
///           [n_pairs]
template <class T> struct fold_buffers {
    T* even;
    T* odd;
    T* even_sums;
    T* odd_sums;

    /// size: elements that one part takes.
    fold_buffers(hadamard_plan const& plan, T* scratch, std::size_t size) noexcept
        : even(scratch),
          odd(even + 2 * plan.n_pairs() * size),
          even_sums(odd + 2 * plan.n_pairs() * size),
          odd_sums(even_sums + plan.n_pairs() * size) {}
    /// The same from some element of each part on.
    [[nodiscard]] fold_buffers from(std::size_t element) const noexcept {
        fold_buffers r = *this;
        for (T** const p : {&r.even, &r.odd, &r.even_sums, &r.odd_sums}) *p += element;
        return r;
    }
};

/// Rows 0 and 1 of one column's outputs, the border's and that of the field's zero.
template <class T> struct fold_border { T outer, zero; };

/// The parts of one column and their sums; the order of additions that every body follows.
template <class T>
[[nodiscard]] inline fold_border<T> fold_column(hadamard_plan const& plan, core_half<T> const& half,
                                                T const* x, std::size_t stride,
                                                fold_buffers<T> const& to) noexcept {
    std::size_t const n = plan.n_pairs();
    bool const skew = plan.is_skew();
    T const outer = half.row(x), zero = half.row(x + stride);
    T total = zero, turned = outer;
    for (std::size_t i = n; i-- != 0;) {
        T const a = half.row(x + plan.rows()[i] * stride), b = half.row(x + plan.opposite_rows()[i] * stride);
        T const sign = !skew && i % 2 != 0 ? T{-1} : T{1};
        T const even = sign * (a + b), odd = sign * (a - b);
        total += a + b;
        turned += skew ? odd : even;
        to.even[i] = to.even[n + i] = even;
        to.odd[i] = odd;
        to.odd[n + i] = skew ? odd : -odd;
    }
    // No sum begins as -0: adding nothing, or a finite part times 0, changes none.
    T const even_starts[2] = {skew ? zero + T{} : outer + zero + T{}, skew ? zero + T{} : outer - zero + T{}};
    T const odd_start = skew ? T{} - outer : T{};
    constexpr std::size_t most = 4;  // outputs at once
    for (std::size_t i = 0; i < n; i += plan.block()) {
        std::size_t const first = fold_begin(n, i);
        for (std::size_t t = 0; t < plan.block(); t += most) {
            std::size_t const count = std::min(most, plan.block() - t);
            T even[most], odd[most];
            for (std::size_t k = 0; k < count; ++k)
                even[k] = even_starts[(first + t + k) % 2], odd[k] = odd_start;
            for (std::size_t s = 0; s < n; ++s) {
                T const* const of_even = plan.entries<T>(false) + t - s;
                T const* const of_odd = plan.entries<T>(true) + t - s;
                T const even_part = to.even[first + s], odd_part = to.odd[first + s];
                for (std::size_t k = 0; k < count; ++k) {
                    even[k] += of_even[k] * even_part;
                    odd[k] += of_odd[k] * odd_part;
                }
            }
            std::copy_n(even, count, to.even_sums + first + t);
            std::copy_n(odd, count, to.odd_sums + first + t);
        }
    }
    T const sign = static_cast<T>(plan.sign());
    return {outer + sign * total, zero + (skew ? -sign : T{1}) * turned};
}

/// A grouped core, column by column, in place; see core_terms.
template <class T, std::size_t Core, hadamard_side Side>
inline void apply_grouped_columns(hadamard_plan const& plan, T* x, std::size_t first,
                                  std::size_t last) noexcept {
    using terms = core_terms<Core, Side>;
    std::size_t const width = plan.butterflies();
    for (std::size_t j = first; j < last; ++j) {
        T sums[terms::n_groups][8];
        for (std::size_t g = 0; g < terms::n_groups; ++g) {
            T const* const row = x + 4 * g * width + j;
            T const a[2] = {row[0] + row[width], row[0] - row[width]};
            T const b[2] = {row[2 * width] + row[3 * width], row[2 * width] - row[3 * width]};
            for (std::size_t m = 0; m < 8; ++m)
                sums[g][m] = (m & 2U) == 0 ? a[m & 1U] + b[m >> 2U] : a[m & 1U] - b[m >> 2U];
        }
        for (std::size_t c = 0; c < Core; ++c) {
            T y{};
            for (std::size_t g = 0; g < terms::n_groups; ++g) {
                T const sum = sums[g][terms::sum(c, g)];
                T const term = terms::is_minus(c, g) ? -sum : sum;
                y = g == 0 ? term : y + term;
            }
            x[c * width + j] = y;
        }
    }
}

template <class T, std::size_t Core>
inline void apply_grouped_columns(hadamard_plan const& plan, T* x, std::size_t first,
                                  std::size_t last) noexcept {
    if (plan.side() == hadamard_side::plain)
        apply_grouped_columns<T, Core, hadamard_side::plain>(plan, x, first, last);
    else
        apply_grouped_columns<T, Core, hadamard_side::transposed>(plan, x, first, last);
}

/// A folded core, column by column, in place.
template <class T>
inline void apply_folded_columns(hadamard_plan const& plan, T* x, std::size_t first, std::size_t last,
                                 T* scratch) noexcept {
    std::size_t const width = plan.butterflies(), n_halves = plan.n_halves();
    std::size_t const other_half = plan.core_rows() * width;
    fold_buffers<T> const of_half[2] = {{plan, scratch, 1},
                                        {plan, scratch + hadamard_plan::parts_per_pair * plan.n_pairs(), 1}};
    for (std::size_t j = first; j < last; ++j) {
        fold_border<T> border[2] = {};
        for (std::size_t h = 0; h < n_halves; ++h)
            border[h] = fold_column(plan, core_half<T>(plan, h, width), x + j, width, of_half[h]);
        auto const write = [&](std::size_t r, T const(&y)[2]) {
            T* const row = x + r * width + j;
            T const before[2] = {*row, n_halves == 2 ? row[other_half] : T{}};
            for (std::size_t h = 0; h < n_halves; ++h)
                row[h * other_half] = n_halves == 2 ? y[h] - 2 * before[1 - h] : y[h];
        };
        write(0, {border[0].outer, border[1].outer});
        write(1, {border[0].zero, border[1].zero});
        for (std::size_t i = 0; i < plan.n_pairs(); ++i) {
            fold_ends const& ends = plan.ends(i);
            T a[2] = {}, b[2] = {};
            for (std::size_t h = 0; h < n_halves; ++h) {
                fold_buffers<T> const& of = of_half[h];
                T const of_a = ends.first_is_even ? of.even[i] : of.odd[i];
                T const of_b = ends.second_is_even ? of.even[i] : of.odd[i];
                a[h] = static_cast<T>(ends.first_factor) *
                       (of.even_sums[i] + of.odd_sums[i] + static_cast<T>(ends.first_weight) * of_a);
                b[h] = static_cast<T>(ends.second_factor) *
                       (of.even_sums[i] - of.odd_sums[i] + static_cast<T>(ends.second_weight) * of_b);
            }
            write(plan.rows()[i], a);
            write(plan.opposite_rows()[i], b);
        }
    }
}

/// The core, column by column, in place.
template <class T>
inline void apply_core_columns(hadamard_plan const& plan, T* x, std::size_t first, std::size_t last,
                               T* scratch) noexcept {
    if (with_grouped_core<T>(plan.core(),
                             [&](auto core) { apply_grouped_columns<T, core>(plan, x, first, last); }))
        return;
    apply_folded_columns(plan, x, first, last, scratch);
}

/// Source to target with the signs of bits first .. changed.
template <class T>
inline void flip_scalar(T const* source, T* target, std::uint32_t const* flips, std::size_t first,
                        std::size_t n) noexcept {
    if (flips == nullptr) {
        if (source != target) std::copy_n(source, n, target);
        return;
    }
    for (std::size_t i = 0; i < n; ++i) {
        bool const flip = (flips[(first + i) / 32] >> ((first + i) % 32) & 1U) != 0;
        target[i] = flip ? -source[i] : source[i];
    }
}

template <class T>
inline void hadamard_scalar(hadamard_plan const& plan, hadamard_job<T> const& job) noexcept {
    for (std::size_t r = 0; r < job.n_rows; ++r) {
        T const* const source = job.source + r * job.source_stride;
        T* const target = job.target + r * job.target_stride;
        flip_scalar(source, target, job.flips, 0, job.row_size);
        for (std::size_t begin = 0; begin < job.row_size; begin += plan.size()) {
            T* const x = target + begin;
            for (std::size_t c = 0; c < plan.core(); ++c)
                commutant::detail::apply_sylvester(x + c * plan.butterflies(), 1, plan.butterflies());
            if (plan.core() != 1) apply_core_columns(plan, x, 0, plan.butterflies(), job.scratch);
        }
        T const factor = job.factor_of(r);
        if constexpr (std::is_same_v<T, float>) {
            if (job.sink.is_active()) {
                write_row_scalar(job.sink, r, target, job.row_size, factor);
                continue;
            }
        }
        if (factor != T{1})
            for (std::size_t i = 0; i < job.row_size; ++i) target[i] *= factor;
    }
}

}  // namespace commutant::kernels::detail
