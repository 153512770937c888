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

/// Signed sums of the rows of half a group, in one column: sums[m], bit i - 1 of m subtracts row i.
template <class T> inline void half_sums(T const* x, std::size_t stride, std::size_t rows, T* sums) noexcept {
    sums[0] = x[0];
    for (std::size_t i = 1; i < rows; ++i) {
        std::size_t const known = std::size_t{1} << (i - 1);
        for (std::size_t m = 0; m < known; ++m) {
            T const before = sums[m];
            sums[m] = before + x[i * stride];
            sums[known + m] = before - x[i * stride];
        }
    }
}

/// Signed sums of a whole group, in one column, numbered as hadamard_plan says.
template <class T>
inline void group_sums(T const* x, std::size_t stride, std::size_t rows, T* sums) noexcept {
    std::size_t const half = (rows + 1) / 2;
    T a[4];
    T b[4];
    half_sums(x, stride, half, a);
    half_sums(x + half * stride, stride, rows - half, b);
    std::size_t const n_a = std::size_t{1} << (half - 1);
    std::size_t const n_b = std::size_t{1} << (rows - half - 1);
    for (std::size_t j = 0; j < n_b; ++j) {
        for (std::size_t i = 0; i < n_a; ++i) {
            sums[2 * j * n_a + i] = a[i] + b[j];
            sums[(2 * j + 1) * n_a + i] = a[i] - b[j];
        }
    }
}

/// The core, column by column: the order of additions that every body follows.
template <class T>
inline void apply_core_columns(hadamard_plan const& plan, T* x, std::size_t first, std::size_t last,
                               T* scratch) noexcept {
    std::size_t const width = plan.butterflies();
    for (std::size_t j = first; j < last; ++j) {
        for (std::size_t g = 0; g < plan.n_groups(); ++g)
            group_sums(x + j + g * plan.group_size() * width, width, plan.group_rows(g),
                       scratch + g * plan.sums_per_group());
        for (std::size_t c = 0; c < plan.core(); ++c) {
            std::uint16_t const* const terms = plan.terms(c);
            T y = terms[0] % 2 != 0 ? -scratch[terms[0] / 2] : scratch[terms[0] / 2];
            for (std::size_t g = 1; g < plan.n_groups(); ++g) {
                T const sum = scratch[g * plan.sums_per_group() + terms[g] / 2];
                y = terms[g] % 2 != 0 ? y - sum : y + sum;
            }
            x[c * width + j] = y;
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
