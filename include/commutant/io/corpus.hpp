// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <commutant/io/detail/unicode.hpp>
#include <commutant/io/error.hpp>
#include <commutant/io/mapped_file.hpp>

namespace commutant::io {

/// The line that stands between two documents of a text file.
inline constexpr std::string_view document_separator = "<|endoftext|>";

/// Documents of a text: what lies between lines that consist of the separator alone.
///
/// The line end in front of a separator line (LF or CR LF) and the one at the end of the text belong to no
/// document; empty documents are left out.
[[nodiscard]] inline std::vector<std::string> split_documents(std::string_view text) {
    std::vector<std::string> documents;
    auto const add = [&](std::string_view document) {
        if (!document.empty() && document.back() == '\n') document.remove_suffix(1);
        if (!document.empty() && document.back() == '\r') document.remove_suffix(1);
        if (!document.empty()) documents.emplace_back(document);
    };
    std::size_t begin = 0;
    for (std::size_t line = 0; line < text.size();) {
        std::size_t const end = std::min(text.find('\n', line), text.size());
        std::string_view content = text.substr(line, end - line);
        if (!content.empty() && content.back() == '\r') content.remove_suffix(1);
        std::size_t const next = std::min(end + 1, text.size());
        if (content == document_separator) {
            add(text.substr(begin, line - begin));
            begin = next;
        }
        line = next;
    }
    add(text.substr(begin));
    return documents;
}

/// Documents of a UTF-8 text file.
///
/// Errors    input_error if it cannot be read, is not UTF-8 (with the byte offset) or holds no document
[[nodiscard]] inline std::vector<std::string> read_corpus(std::filesystem::path const& path) {
    mapped_file const file = mapped_file::open(path);
    if (auto const bad = detail::find_invalid_utf8(file.text()))
        throw input_error(path.string(), "is not UTF-8 at byte " + std::to_string(*bad));
    auto documents = split_documents(file.text());
    if (documents.empty()) throw input_error(path.string(), "holds no text, expected at least one document");
    return documents;
}

}  // namespace commutant::io
