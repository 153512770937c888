// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

// Pieces of HTML and SVG as text: every element is closed, every text is escaped.

namespace program::html {

/// Text as a page shows it.
[[nodiscard]] std::string escaped(std::string_view text);

/// An attribute, with a blank in front of it.
[[nodiscard]] std::string attribute(std::string_view name, std::string_view value);
[[nodiscard]] std::string attribute(std::string_view name, double value);

/// An element around content that is HTML already.
[[nodiscard]] std::string element(std::string_view name, std::string_view attributes,
                                  std::string_view content);
/// An element that has none.
[[nodiscard]] std::string element(std::string_view name, std::string_view attributes);

/// A table; the first row is its head, the first column its labels. Cells are HTML already.
[[nodiscard]] std::string table(std::vector<std::vector<std::string>> const& rows);

}  // namespace program::html
