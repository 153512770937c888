// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

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

/// Signed sums of some rows of a group, in one column: sums[m], bit i - 1 of m subtracts row i.
template <class T>
inline void part_sums(T const* x, std::size_t stride, core_half<T> const& half, std::size_t rows,
                      T* sums) noexcept {
    sums[0] = half.row(x);
    for (std::size_t i = 1; i < rows; ++i) {
        std::size_t const known = std::size_t{1} << (i - 1);
        T const next = half.row(x + i * stride);
        for (std::size_t m = 0; m < known; ++m) {
            T const before = sums[m];
            sums[m] = before + next;
            sums[known + m] = before - next;
        }
    }
}

/// Signed sums of a whole group, in one column, numbered as hadamard_plan says.
template <class T>
inline void group_sums(T const* x, std::size_t stride, core_half<T> const& half, std::size_t rows,
                       T* sums) noexcept {
    std::size_t const first = (rows + 1) / 2;
    T a[4];
    T b[4];
    part_sums(x, stride, half, first, a);
    part_sums(x + first * stride, stride, half, rows - first, b);
    std::size_t const n_a = std::size_t{1} << (first - 1);
    std::size_t const n_b = std::size_t{1} << (rows - first - 1);
    for (std::size_t j = 0; j < n_b; ++j) {
        for (std::size_t i = 0; i < n_a; ++i) {
            sums[2 * j * n_a + i] = a[i] + b[j];
            sums[(2 * j + 1) * n_a + i] = a[i] - b[j];
        }
    }
}

/// One output of half of a core, in one column: the order of additions that every body follows.
template <class T>
[[nodiscard]] inline T core_output(hadamard_plan const& plan, std::size_t c, core_half<T> const& half,
                                   T const* x, T const* sums) noexcept {
    T y{};
    for (std::size_t first = 0; first < plan.n_groups(); first += plan.groups_at_once()) {
        std::size_t const count = plan.groups_end(first) - first;
        std::uint16_t const* const terms = plan.terms(first) + c * count;
        for (std::size_t g = 0; g < count; ++g) {
            T const sum = sums[first * plan.sums_per_group() + terms[g] / 2];
            T const term = terms[g] % 2 != 0 ? -sum : sum;
            if (first + g == 0)
                y = half.is_one_of_two() ? term - 2 * x[half.twice] : term;
            else
                y += term;
        }
    }
    return y;
}

/// The core, column by column, in place.
template <class T>
inline void apply_core_columns(hadamard_plan const& plan, T* x, std::size_t first, std::size_t last,
                               T* scratch) noexcept {
    std::size_t const width = plan.butterflies();
    std::size_t const half_sums = plan.n_groups() * plan.sums_per_group();
    for (std::size_t j = first; j < last; ++j) {
        for (std::size_t h = 0; h < plan.n_halves(); ++h)
            for (std::size_t g = 0; g < plan.n_groups(); ++g)
                group_sums(x + j + g * plan.group_size() * width, width, core_half<T>(plan, h, width),
                           plan.group_rows(g), scratch + h * half_sums + g * plan.sums_per_group());
        for (std::size_t c = 0; c < plan.core_rows(); ++c) {
            T* const row = x + c * width + j;
            T y[2] = {};
            for (std::size_t h = 0; h < plan.n_halves(); ++h)
                y[h] = core_output(plan, c, core_half<T>(plan, h, width), row, scratch + h * half_sums);
            for (std::size_t h = 0; h < plan.n_halves(); ++h) row[h * plan.core_rows() * width] = y[h];
        }
    }
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
