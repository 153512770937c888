// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "commutant/quant/grid.hpp"
#include "commutant/quant/lp_range_search.hpp"
#include "commutant/quant/range_options.hpp"
#include "commutant/quant/value_range.hpp"

namespace commutant {

/// Grid for values that are all in memory: min-max, or the search of lp_range_search.
///
/// Shape     x: [n]
/// Errors    std::invalid_argument naming the first element that is NaN or infinite; for a width or options
///           that are not supported; for a range whose scale float32 cannot hold
template <std::floating_point T>
[[nodiscard]] grid set_range(std::span<const T> x, int num_bits, bool symmetric,
                             const range_options& options = {}) {
    validate(options);
    const value_range observed = range_of(x);
    if (options.method == range_method::min_max || num_bits == 16)
        return min_max_grid(observed, num_bits, symmetric);
    lp_range_search search(observed, num_bits, symmetric, options);
    do {
        search.accumulate_finite(x);
    } while (search.next_round());
    return search.best();
}

/// One grid per slice of a row-major matrix: per channel or per group (slice_size of granularity.hpp).
///
/// Shape     x: [n_slices * slice]; result: [n_slices]
/// Errors    those of set_range, with the slice; std::invalid_argument if slice does not divide the number of
///           elements
template <std::floating_point T>
[[nodiscard]] std::vector<grid> set_ranges(std::span<const T> x, std::size_t slice, int num_bits,
                                           bool symmetric, const range_options& options = {}) {
    validate(options);
    detail::require_width(num_bits, "set_ranges");
    if (slice == 0 ? !x.empty() : x.size() % slice != 0)
        throw std::invalid_argument("set_ranges: slice is " + std::to_string(slice) +
                                    ", expected a divisor of the " + std::to_string(x.size()) + " elements");
    std::vector<grid> grids;
    grids.reserve(slice == 0 ? 0 : x.size() / slice);
    for (std::size_t start = 0; start < x.size(); start += slice) {
        try {
            grids.push_back(set_range(x.subspan(start, slice), num_bits, symmetric, options));
        } catch (const std::invalid_argument& error) {
            throw std::invalid_argument("set_ranges: slice " + std::to_string(start / slice) + ": " +
                                        error.what());
        }
    }
    return grids;
}

}  // namespace commutant
