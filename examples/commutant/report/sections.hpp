// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "../output.hpp"

// Sections of a report: each takes the numbers under its key and gives HTML.

namespace program::sections {

/// Of all numbers of a run: what it cost after each step.
[[nodiscard]] std::string likelihood(json const& numbers);
[[nodiscard]] std::string training(json const& numbers);
[[nodiscard]] std::string stages(json const& stages);
[[nodiscard]] std::string ablation(json const& ablation);
[[nodiscard]] std::string distributions(json const& distributions);
[[nodiscard]] std::string study(json const& summary);

}  // namespace program::sections
