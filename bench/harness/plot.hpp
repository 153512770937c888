// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "harness/results.hpp"

namespace commutant::bench {

/// A picture of the reference tier on one thread: products, decode, block, Hadamard, and how far each target is.
void write_plot(report const& r, std::filesystem::path const& file);

void write_text(std::string const& text, std::filesystem::path const& file);

}  // namespace commutant::bench
