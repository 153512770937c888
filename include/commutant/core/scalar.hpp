// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <concepts>
#include <cstddef>

namespace commutant {

/// The words that formulas use on single numbers; exact scalars bring their own overloads.
template <std::floating_point T> [[nodiscard]] T rsqrt(T u) { return T(1) / std::sqrt(u); }
template <std::floating_point T> [[nodiscard]] T silu(T u) { return u / (T(1) + std::exp(-u)); }
template <std::floating_point T> [[nodiscard]] constexpr T reciprocal(T u) { return T(1) / u; }
template <std::floating_point T> [[nodiscard]] constexpr T sqrt_half(T) { return T(0.70710678118654752440L); }

/// Softmax of one row, in place; the largest logit is subtracted first, so nothing overflows.
template <std::floating_point T> void softmax_in_place(T* row, std::size_t n) {
    T largest = row[0], sum = 0;
    for (std::size_t j = 1; j < n; ++j) largest = row[j] > largest ? row[j] : largest;
    for (std::size_t j = 0; j < n; ++j) sum += row[j] = std::exp(row[j] - largest);
    for (std::size_t j = 0; j < n; ++j) row[j] /= sum;
}

/// sum over k of a[k] b[k].
template <class T>
[[nodiscard]] constexpr T dot(T const* a, std::size_t a_stride, T const* b, std::size_t b_stride,
                              std::size_t n) {
    T sum{};
    for (std::size_t k = 0; k < n; ++k) sum = sum + a[k * a_stride] * b[k * b_stride];
    return sum;
}

}  // namespace commutant
