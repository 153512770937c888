// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

#include "commutant/quant/lp_range_search.hpp"
#include "commutant/quant/range_options.hpp"
#include "commutant/quant/row_selection.hpp"
#include "commutant/quant/value_range.hpp"

namespace commutant {

/// Finds the static grid of one activation from calibration batches, which it does not keep.
///
/// The calibration data pass by as often as next_pass asks: once for the range; for lp_norm then once per
/// round of lp_range_search (1 symmetric, at most 3 asymmetric), where errors are summed over all batches
/// before anything is chosen. So the result is exact, and memory is that of the candidates.
///
///     do {
///         for (batch : batches) observer.observe(batch, cols, skip_first_rows(window));
///     } while (observer.next_pass());
///     const grid g = observer.result();
class activation_observer {
public:
    /// name goes into messages: "layer 3, input of down_proj".
    ///
    /// Errors    std::invalid_argument for options or a width that are not supported
    activation_observer(std::string name, int num_bits, bool symmetric, const range_options& options = {})
        : name_(std::move(name)), num_bits_(num_bits), symmetric_(symmetric), options_(options) {
        validate(options_);
        detail::require_width(num_bits_, "activation_observer");
    }

    /// Takes in one batch.
    ///
    /// Shape     x: [n_rows, cols], row-major
    /// Errors    std::invalid_argument naming the first kept element that is NaN or infinite; for a batch
    ///           that is not a whole number of rows, or a mask of another length; after the last pass.
    ///           Nothing is taken in then
    template <std::floating_point T>
    void observe(std::span<const T> x, std::size_t cols, const row_selection& rows = {}) {
        if (is_done_) throw std::invalid_argument(name_ + ": observe was called after the last pass");
        detail::require_rows(x.size(), cols, rows, name_);
        const std::size_t n_rows = cols == 0 ? 0 : x.size() / cols;
        value_range seen;
        std::size_t kept = 0;
        detail::for_each_run(n_rows, rows, [&](std::size_t first, std::size_t end) {
            const std::span<const T> run = x.subspan(first * cols, (end - first) * cols);
            const detail::raw_range<T> r = detail::raw_range_of(run);
            if (!r.finite) {
                const std::size_t i = detail::first_non_finite(run);
                throw std::invalid_argument(name_ + ": row " + std::to_string(first + i / cols) +
                                            ", column " + std::to_string(i % cols) + " is " +
                                            detail::non_finite_name(run[i]) + ", expected finite values");
            }
            seen.include({static_cast<double>(r.min), static_cast<double>(r.max)});
            kept += end - first;
        });
        if (search_) {
            detail::for_each_run(n_rows, rows, [&](std::size_t first, std::size_t end) {
                search_->accumulate_finite(x.subspan(first * cols, (end - first) * cols));
            });
        } else {
            range_.include(seen);
        }
        n_rows_in_pass_ += kept;
    }

    /// Adds what another observer saw in the same pass (another thread's batches). Merging in a fixed order
    /// gives the same bits whatever the threads did.
    ///
    /// Errors    std::invalid_argument if the other is in another pass or has other settings
    void merge(const activation_observer& other) {
        if (num_bits_ != other.num_bits_ || symmetric_ != other.symmetric_ || options_ != other.options_ ||
            pass_ != other.pass_ || is_done_ != other.is_done_)
            throw std::invalid_argument(name_ + ": merge was given " + other.name_ +
                                        " with other settings or in another pass, expected the same");
        if (search_) {
            search_->merge(*other.search_);
        } else {
            range_.include(other.range_);
        }
        n_rows_in_pass_ += other.n_rows_in_pass_;
    }

    /// Ends a pass; true if the data are wanted once more.
    ///
    /// Errors    std::invalid_argument if no row was kept, or another number of rows than in the first pass;
    ///           for a range whose scale float32 cannot hold
    bool next_pass() {
        if (is_done_) return false;
        if (n_rows_in_pass_ == 0)
            throw std::invalid_argument(name_ + ": no token was observed, expected at least one");
        if (pass_ > 0 && n_rows_in_pass_ != n_rows_)
            throw std::invalid_argument(name_ + ": pass " + std::to_string(pass_ + 1) + " had " +
                                        std::to_string(n_rows_in_pass_) + " tokens, expected the " +
                                        std::to_string(n_rows_) + " of the first pass");
        n_rows_ = n_rows_in_pass_;
        if (search_) {
            is_done_ = !search_->next_round();
            result_ = search_->best();
        } else {
            try {
                result_ = min_max_grid(range_, num_bits_, symmetric_);
            } catch (const std::invalid_argument& error) {
                throw std::invalid_argument(name_ + ": " + error.what());
            }
            is_done_ = num_bits_ == 16 || options_.method == range_method::min_max;
            if (!is_done_) search_.emplace(range_, num_bits_, symmetric_, options_);
        }
        if (!is_done_) n_rows_in_pass_ = 0;
        ++pass_;
        return !is_done_;
    }

    /// Best grid of the passes that have ended; after the first, min-max.
    ///
    /// Errors    std::logic_error before the end of the first pass
    [[nodiscard]] const grid& result() const {
        if (pass_ == 0)
            throw std::logic_error(name_ + ": result was called before the end of the first pass");
        return result_;
    }

    /// Range of the kept rows of the first pass.
    [[nodiscard]] const value_range& range() const noexcept { return range_; }

    /// Rows kept so far in this pass; after the last pass, in each.
    [[nodiscard]] std::size_t n_rows() const noexcept { return n_rows_in_pass_; }

private:
    std::string name_;
    int num_bits_;
    bool symmetric_;
    range_options options_;
    value_range range_{};
    std::optional<lp_range_search> search_{};
    grid result_{};
    std::size_t n_rows_ = 0;
    std::size_t n_rows_in_pass_ = 0;
    int pass_ = 0;
    bool is_done_ = false;
};

}  // namespace commutant
