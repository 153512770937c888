// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "harness/targets.hpp"

namespace commutant::bench {

/// Every target with its figure, pass or miss, as lines of text; what was wrong or did not run comes last.
[[nodiscard]] std::string summary_text(report const& r);

/// The same as a Markdown table, and tables of rates; for a page without the small shapes and the builds that should differ in
/// nothing.
enum class detail_level { page, all };
[[nodiscard]] std::string summary_markdown(report const& r, detail_level how_much);

/// Whether every target that was measured is reached, nothing was wrong and every process ended well.
[[nodiscard]] bool all_passed(report const& r);

/// Replaces what stands between <!-- bench:begin --> and <!-- bench:end --> in a page.
void update_page(std::filesystem::path const& page, std::string const& text);

}  // namespace commutant::bench
