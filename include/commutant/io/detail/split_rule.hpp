// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include <commutant/io/detail/unicode.hpp>

namespace commutant::detail {

/// The splitting rules of byte-level tokenisers that differ in more than a number.
///
/// Each is a regular expression that matches at every place, so a text falls into matches without gaps.
/// They are matched by hand below; a file that states any other expression is refused.
struct split_rule {
    bool cl100k = false;         ///< the later family (Llama 3, Qwen 2), else GPT-2
    std::size_t max_digits = 0;  ///< length of a run of numbers; 0: any
};

/// The rule of a regular expression, if it is one of the known ones.
[[nodiscard]] inline std::optional<split_rule> find_split_rule(std::string_view expression) {
    struct known {
        std::string_view text;
        split_rule rule;
    };
    static constexpr std::array<known, 4> table{{
        {R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", {false, 0}},
        {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)"
         R"(\p{N})"
         R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
         {true, 1}},
        {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)"
         R"(\p{N}{1,3})"
         R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
         {true, 3}},
        {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)"
         R"(\p{N}+)"
         R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
         {true, 0}},
    }};
    for (auto const& entry : table)
        if (entry.text == expression) return entry.rule;
    return std::nullopt;
}

/// Walks over UTF-8 text one classified character at a time.
class char_reader {
public:
    explicit char_reader(std::string_view text) : text_(text) {}

    struct character {
        std::uint32_t code_point = 0;
        std::size_t length = 0;  ///< bytes; 0 past the end
        char_class kind = char_class::other;
    };

    [[nodiscard]] character at(std::size_t i) const {
        if (i >= text_.size()) return {};
        auto const byte = static_cast<unsigned char>(text_[i]);
        if (byte < 0x80) return {byte, 1, classify(byte)};
        auto const here = decode_utf8(text_, i);
        if (here.length == 0)
            return {0xfffd, 1, char_class::other};  // encode() has checked; no loop without progress
        return {here.code_point, here.length, classify(here.code_point)};
    }

    /// End of the run of one class that begins at i, of at most `limit` characters (0: any number).
    [[nodiscard]] std::size_t run_end(std::size_t i, char_class kind, std::size_t limit = 0) const {
        for (std::size_t count = 0; limit == 0 || count < limit; ++count) {
            auto const here = at(i);
            if (here.length == 0 || here.kind != kind) break;
            i += here.length;
        }
        return i;
    }

private:
    std::string_view text_;
};

/// Length of an English contraction at i ('s 't 're 've 'm 'll 'd), or 0.
[[nodiscard]] inline std::size_t contraction_length(std::string_view text, std::size_t i, bool any_case) {
    if (text[i] != '\'') return 0;
    auto const letter = [&](std::size_t k) -> char {
        if (k >= text.size()) return '\0';
        char const c = text[k];
        return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
    };
    char const first = letter(i + 1);
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
    char const second = letter(i + 2);
    if ((first == 'r' || first == 'v') && second == 'e') return 3;
    if (first == 'l' && second == 'l') return 3;
    // The long s is an s to a regular expression that ignores case.
    return any_case && text.substr(i + 1, 2) == "\xc5\xbf" ? 3 : 0;
}

/// End of the match of a rule at byte i < text.size().
[[nodiscard]] inline std::size_t match_end(split_rule const& rule, std::string_view text, std::size_t i) {
    char_reader const reader(text);
    if (auto const length = contraction_length(text, i, rule.cl100k); length != 0) return i + length;
    auto const first = reader.at(i);
    auto const second = reader.at(i + first.length);
    bool const blank_first = first.code_point == ' ';

    // [^\r\n\p{L}\p{N}]?\p{L}+ or " ?\p{L}+"
    if (first.kind == char_class::letter) return reader.run_end(i, char_class::letter);
    bool const prefix =
        rule.cl100k ? first.kind != char_class::number && first.code_point != '\r' && first.code_point != '\n'
                    : blank_first;
    if (prefix && second.length != 0 && second.kind == char_class::letter)
        return reader.run_end(i + first.length, char_class::letter);
    // \p{N}{1,k} or " ?\p{N}+"
    if (first.kind == char_class::number) return reader.run_end(i, char_class::number, rule.max_digits);
    if (!rule.cl100k && blank_first && second.length != 0 && second.kind == char_class::number)
        return reader.run_end(i + 1, char_class::number);
    // " ?[^\s\p{L}\p{N}]+" and, in the later family, the line ends behind it
    if (first.kind == char_class::other ||
        (blank_first && second.length != 0 && second.kind == char_class::other)) {
        std::size_t end = reader.run_end(i + (blank_first ? 1 : 0), char_class::other);
        while (rule.cl100k && end < text.size() && (text[end] == '\r' || text[end] == '\n')) ++end;
        return end;
    }
    // White space: up to the last line end in it (later family); else all of it, less the last character if
    // text follows.
    std::size_t const end = reader.run_end(i, char_class::space);
    if (rule.cl100k) {
        auto const line_end = text.substr(i, end - i).find_last_of("\r\n");
        if (line_end != std::string_view::npos) return i + line_end + 1;
    }
    if (end == text.size()) return end;
    std::size_t last = end - 1;
    while (last > i && (static_cast<unsigned char>(text[last]) & 0xc0) == 0x80) --last;
    return last > i ? last : end;
}

}  // namespace commutant::detail
