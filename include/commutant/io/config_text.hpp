// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <commutant/io/json.hpp>

namespace commutant::io {

/// The only keys of a config.json that merging a model changes.
struct config_changes {
    std::optional<bool> tie_word_embeddings{};
    std::optional<std::string> dtype{};  ///< "float32", "float16" or "bfloat16"
};

}  // namespace commutant::io

namespace commutant::detail {

/// Where a member of the outermost object stands.
///
/// Units     byte offsets into the text; value_end is one past the value
struct member_place {
    std::string key{};
    std::size_t key_begin = 0;
    std::size_t value_begin = 0;
    std::size_t value_end = 0;
};

/// Members of the outermost object of a text that is known to be JSON.
inline std::vector<member_place> top_level_members(std::string_view text) {
    std::vector<member_place> members;
    auto const skip_string = [&](std::size_t i) {  // from the opening quote to one past the closing one
        for (++i; text[i] != '"'; ++i)
            if (text[i] == '\\') ++i;
        return i + 1;
    };
    constexpr std::string_view blank = " \t\r\n";
    std::size_t i = text.find('{') + 1;
    while (true) {
        i = text.find_first_not_of(" \t\r\n,", i);
        if (text[i] == '}') return members;
        member_place member;
        member.key_begin = i;
        i = skip_string(i);
        member.key =
            nlohmann::json::parse(text.substr(member.key_begin, i - member.key_begin)).get<std::string>();
        i = text.find_first_not_of(blank, text.find(':', i) + 1);
        member.value_begin = i;
        int depth = 0;
        do {
            char const c = text[i];
            if (c == '"') {
                i = skip_string(i);
            } else {
                if (c == '{' || c == '[') ++depth;
                if (c == '}' || c == ']') --depth;
                ++i;
            }
        } while (depth > 0 || (text[i] != ',' && text[i] != '}'));
        member.value_end = text.find_last_not_of(blank, i - 1) + 1;
        members.push_back(std::move(member));
    }
}

}  // namespace commutant::detail

namespace commutant::io {

/// A config.json in which only the named keys differ; every other byte is kept, whitespace included.
///
/// The element type is written to `dtype`, `torch_dtype` or both, whichever the file has (`torch_dtype` if
/// neither). A key that is missing is added after the last one, on a line of its own if that one has a line
/// of its own.
/// Errors    input_error naming `where` if the text is not a JSON object
[[nodiscard]] inline std::string rewrite_config(std::string text, config_changes const& changes,
                                                std::string const& where) {
    if (!parse_json(text, where).is_object()) throw input_error(where, "is not a JSON object");
    auto const set = [&](std::string const& key, std::string const& value) {
        auto const members = detail::top_level_members(text);
        for (auto const& member : members) {
            if (member.key != key) continue;
            text.replace(member.value_begin, member.value_end - member.value_begin, value);
            return;
        }
        std::string const addition = "\"" + key + "\": " + value;
        if (members.empty()) {
            text.insert(text.find('{') + 1, addition);
            return;
        }
        // What stands before the last key separates it from its neighbour; the new one is set off alike.
        auto const& last = members.back();
        auto const gap_begin = text.find_last_not_of(" \t\r\n", last.key_begin - 1) + 1;
        text.insert(last.value_end, "," + text.substr(gap_begin, last.key_begin - gap_begin) + addition);
    };
    if (changes.tie_word_embeddings)
        set("tie_word_embeddings", *changes.tie_word_embeddings ? "true" : "false");
    if (changes.dtype) {
        std::string const value = nlohmann::json(*changes.dtype).dump();
        bool found = false;
        for (auto const& member : detail::top_level_members(text)) {
            if (member.key != "dtype" && member.key != "torch_dtype") continue;
            found = true;
            set(member.key, value);
        }
        if (!found) set("torch_dtype", value);
    }
    return text;
}

}  // namespace commutant::io
