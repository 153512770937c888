// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <utility>

#include <commutant/recipes/token_sequences.hpp>

namespace commutant {

struct calibration_split;
[[nodiscard]] calibration_split split_calibration(token_sequences calibration, double held_out_share);

/// The part of a calibration text that is trained on, or the part that choices are made on.
///
/// Types of their own, which only split_calibration makes: what trains asks for both, so that no evaluation text can be given
/// to it, neither to train on nor to choose by.
///
/// Role      which of the two
template <class Role> class calibration_part {
public:
    [[nodiscard]] token_sequences const& windows() const noexcept { return windows_; }

private:
    friend calibration_split split_calibration(token_sequences, double);
    explicit calibration_part(token_sequences windows) : windows_(std::move(windows)) {}

    token_sequences windows_;
};
using training_windows = calibration_part<struct training_role>;
using held_out_windows = calibration_part<struct held_out_role>;

struct calibration_split {
    training_windows training;
    held_out_windows held_out;
};

/// Calibration windows with the last of them held out.
///
/// held_out_share  of the windows, rounded to the nearest number of them, at least one
/// Errors    std::invalid_argument if there are fewer than two windows, or one is shorter than two tokens
[[nodiscard]] inline calibration_split split_calibration(token_sequences calibration,
                                                         double held_out_share = 0.125) {
    if (calibration.size() < 2)
        throw std::invalid_argument("split_calibration: " + std::to_string(calibration.size()) +
                                    " windows of calibration text, expected at least 2: one to train on and "
                                    "one held out");
    for (auto const& window : calibration)
        if (window.size() < 2)
            throw std::invalid_argument("split_calibration: a window of " + std::to_string(window.size()) +
                                        " tokens, expected at least 2");
    auto const wanted =
        static_cast<std::size_t>(held_out_share * static_cast<double>(calibration.size()) + 0.5);
    std::size_t const n = std::clamp(wanted, std::size_t{1}, calibration.size() - 1);
    auto const first = calibration.end() - static_cast<std::ptrdiff_t>(n);
    token_sequences held_out(first, calibration.end());
    calibration.erase(first, calibration.end());
    return {training_windows(std::move(calibration)), held_out_windows(std::move(held_out))};
}

}  // namespace commutant
