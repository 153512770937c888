// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>

namespace commutant::detail {

/// Text from a file made fit for an error line: no control characters, at most `limit` bytes.
inline std::string one_line(std::string_view text, std::size_t limit = 1000) {
    std::string out;
    for (char const c : text.substr(0, limit)) {
        auto const byte = static_cast<unsigned char>(c);
        out += byte < 0x20 || byte == 0x7f ? '?' : c;
    }
    if (text.size() > limit) out += "...";
    return out;
}

/// A name from a file between single quotes, shortened and on one line.
inline std::string in_quotes(std::string_view name) { return "'" + one_line(name, 120) + "'"; }

}  // namespace commutant::detail

namespace commutant::io {

/// A file that cannot be used: one line naming the file, the fact and what was expected.
///
/// Thrown by every reader of this room, before anything sized by the file is allocated.
class input_error : public std::runtime_error {
public:
    /// `where` is the file (and the place in it); `fact` says what is there and what was expected.
    input_error(std::string_view where, std::string_view fact)
        : std::runtime_error(detail::one_line(where) + ": " + detail::one_line(fact)) {}
};

/// A file or folder that could not be written; nothing of it remains.
class output_error : public std::runtime_error {
public:
    output_error(std::string_view where, std::string_view fact)
        : std::runtime_error(detail::one_line(where) + ": " + detail::one_line(fact)) {}
};

}  // namespace commutant::io
