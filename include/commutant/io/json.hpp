// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include <commutant/io/error.hpp>

namespace commutant::detail {

/// Refuses what nlohmann::json would let pass before the first character is read.
inline void require_json_text(std::string_view text, std::string const& where) {
    if (text.find('\0') != std::string_view::npos)
        throw io::input_error(
            where, "holds a zero byte at offset " + std::to_string(text.find('\0')) + ", expected JSON text");
    if (text.substr(0, 3) == "\xef\xbb\xbf")
        throw io::input_error(where, "begins with a byte order mark, expected plain JSON text");
}

/// The parser's words without its exception number.
inline std::string json_complaint(nlohmann::json::exception const& error) {
    std::string_view words = error.what();
    if (auto const end = words.find("] "); end != std::string_view::npos) words.remove_prefix(end + 2);
    return "is not JSON: " + std::string(words);
}

}  // namespace commutant::detail

namespace commutant::io {

/// Parses JSON that nobody vouches for: one value, valid UTF-8, no name twice in an object, bounded depth.
///
/// Errors    input_error naming `where`
[[nodiscard]] inline nlohmann::json parse_json(std::string_view text, std::string const& where,
                                               std::size_t max_depth = 32) {
    using nlohmann::json;
    detail::require_json_text(text, where);
    std::vector<std::set<std::string, std::less<>>> names;  // one set per open object; empty ones for arrays
    json::parser_callback_t const watch = [&](int, json::parse_event_t event, json& value) {
        if (event == json::parse_event_t::object_start || event == json::parse_event_t::array_start) {
            if (names.size() == max_depth)
                throw input_error(where, "nests JSON deeper than " + std::to_string(max_depth) + " levels");
            names.emplace_back();
        } else if (event == json::parse_event_t::object_end || event == json::parse_event_t::array_end) {
            names.pop_back();
        } else if (event == json::parse_event_t::key) {
            auto const& name = value.get_ref<std::string const&>();
            if (!names.back().insert(name).second)
                throw input_error(where, "names " + detail::in_quotes(name) + " twice in one object");
        }
        return true;
    };
    try {
        return json::parse(text.begin(), text.end(), watch);
    } catch (json::exception const& error) {
        throw input_error(where, detail::json_complaint(error));
    }
}

}  // namespace commutant::io
