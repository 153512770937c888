// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "../output.hpp"
#include "study.hpp"

namespace program {

/// A row, the command that it stands for, and its numbers if it has been run.
struct study_line {
    study_row row{};
    std::string command{};
    json const* numbers = nullptr;
};

/// Lines put together: for each group its rows, seeds under one label, as `groups`, and the `conditions` of all.
[[nodiscard]] json summary_of(named_study const& study, std::string const& model,
                              std::vector<study_line> const& lines);

/// A group of a summary as a table, its head first.
[[nodiscard]] std::vector<std::vector<std::string>> group_table(json const& group);

/// A summary as tables in Markdown.
[[nodiscard]] std::string summary_markdown(json const& summary);

/// A page with a text in place of what stands between its lines `<!-- NAME:begin -->` and `<!-- NAME:end -->`.
///
/// Errors    input_error if the page has no such place
[[nodiscard]] std::string page_with(std::filesystem::path const& page, std::string const& name,
                                    std::string const& text);

}  // namespace program
