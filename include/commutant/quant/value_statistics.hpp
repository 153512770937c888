// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace commutant {

/// How numbers that pass by are distributed: their size, their outliers, a histogram; the numbers are not kept.
///
/// Moments are sums in double precision. The histogram is of absolute values and has two bins for each power of two: bin k
/// begins at the float32 whose highest bits are k, which is 2^e or 1.5 * 2^e.
class value_statistics {
public:
    static constexpr std::size_t n_bins = 510;  ///< all finite float32

    template <std::floating_point T> void observe(std::span<T const> x) {
        for (T const value : x) {
            double const v = static_cast<double>(value), square = v * v;
            sums_[0] += v, sums_[1] += square, sums_[2] += square * v, sums_[3] += square * square;
            max_abs_ = std::max(max_abs_, std::abs(v));
            auto const bits = std::bit_cast<std::uint32_t>(std::abs(static_cast<float>(value)));
            ++bins_[std::min<std::size_t>(bits >> mantissa_bits, n_bins - 1)];
        }
        count_ += x.size();
    }

    /// Adds what another has seen.
    void merge(value_statistics const& other) {
        for (std::size_t k = 0; k < 4; ++k) sums_[k] += other.sums_[k];
        for (std::size_t k = 0; k < n_bins; ++k) bins_[k] += other.bins_[k];
        max_abs_ = std::max(max_abs_, other.max_abs_);
        count_ += other.count_;
    }

    [[nodiscard]] std::size_t count() const noexcept { return count_; }
    [[nodiscard]] double max_abs() const noexcept { return max_abs_; }
    [[nodiscard]] double mean() const noexcept { return moment(0); }
    [[nodiscard]] double rms() const noexcept { return std::sqrt(moment(1)); }
    /// Largest absolute value in units of the rms; 0 if all are zero.
    [[nodiscard]] double max_over_rms() const noexcept { return max_abs_ == 0 ? 0 : max_abs_ / rms(); }

    /// Fourth central moment in units of the squared variance: 3 for a normal distribution; 0 if all are equal.
    [[nodiscard]] double kurtosis() const noexcept {
        double const m = mean(), m2 = moment(1), variance = m2 - m * m;
        if (!(variance > 0)) return 0;
        double const fourth = moment(3) - 4 * m * moment(2) + 6 * m * m * m2 - 3 * m * m * m * m;
        return fourth / (variance * variance);
    }

    /// How many absolute values lie from bin_begin(k) up to bin_begin(k + 1).
    [[nodiscard]] std::vector<std::size_t> const& histogram() const noexcept { return bins_; }
    [[nodiscard]] static double bin_begin(std::size_t k) noexcept {
        return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(k) << mantissa_bits));
    }

private:
    static constexpr unsigned mantissa_bits = 22;  // below the one that halves a binade

    [[nodiscard]] double moment(std::size_t k) const noexcept {
        return count_ == 0 ? 0 : sums_[k] / static_cast<double>(count_);
    }

    std::size_t count_ = 0;
    double max_abs_ = 0;
    double sums_[4] = {};  // of x, x^2, x^3, x^4
    std::vector<std::size_t> bins_ = std::vector<std::size_t>(n_bins);
};

}  // namespace commutant
