// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>

#include <commutant/io/detail/unicode_classes.hpp>

namespace commutant::detail {

/// A code point and the bytes it took; length 0 where the text is not UTF-8.
struct decoded {
    std::uint32_t code_point = 0;
    std::size_t length = 0;
};

/// The code point at byte i of the text, i < text.size(); rejects overlong forms, surrogates and what is
/// past U+10FFFF.
[[nodiscard]] inline decoded decode_utf8(std::string_view text, std::size_t i) {
    auto const byte = [&](std::size_t k) -> std::uint32_t {
        return i + k < text.size() ? static_cast<unsigned char>(text[i + k])
                                   : 0u;  // 0 is no continuation byte
    };
    auto const tail = [&](std::size_t k) { return (byte(k) & 0xc0) == 0x80; };
    std::uint32_t const lead = byte(0);
    if (lead < 0x80) return {lead, 1};
    if (lead >= 0xc2 && lead < 0xe0 && tail(1)) return {((lead & 0x1f) << 6) | (byte(1) & 0x3f), 2};
    if (lead >= 0xe0 && lead < 0xf0 && tail(1) && tail(2)) {
        std::uint32_t const value = ((lead & 0x0f) << 12) | ((byte(1) & 0x3f) << 6) | (byte(2) & 0x3f);
        if (value >= 0x800 && (value < 0xd800 || value > 0xdfff)) return {value, 3};
    }
    if (lead >= 0xf0 && lead < 0xf5 && tail(1) && tail(2) && tail(3)) {
        std::uint32_t const value =
            ((lead & 0x07) << 18) | ((byte(1) & 0x3f) << 12) | ((byte(2) & 0x3f) << 6) | (byte(3) & 0x3f);
        if (value >= 0x10000 && value <= 0x10ffff) return {value, 4};
    }
    return {};
}

/// Byte offset of the first place that is not UTF-8, or nothing.
[[nodiscard]] inline std::optional<std::size_t> find_invalid_utf8(std::string_view text) {
    for (std::size_t i = 0; i < text.size();) {
        auto const here = decode_utf8(text, i);
        if (here.length == 0) return i;
        i += here.length;
    }
    return std::nullopt;
}

/// Appends a code point as UTF-8.
inline void append_utf8(std::string& out, std::uint32_t c) {
    auto const put = [&](std::uint32_t byte) { out += static_cast<char>(static_cast<unsigned char>(byte)); };
    if (c < 0x80) {
        put(c);
    } else if (c < 0x800) {
        put(0xc0 | (c >> 6));
        put(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        put(0xe0 | (c >> 12));
        put(0x80 | ((c >> 6) & 0x3f));
        put(0x80 | (c & 0x3f));
    } else {
        put(0xf0 | (c >> 18));
        put(0x80 | ((c >> 12) & 0x3f));
        put(0x80 | ((c >> 6) & 0x3f));
        put(0x80 | (c & 0x3f));
    }
}

/// The four kinds of characters that tokenisers split by.
enum class char_class : std::uint8_t { letter, number, space, other };

template <std::size_t Size> [[nodiscard]] bool is_in(code_point_range const (&table)[Size], std::uint32_t c) {
    auto const after =
        std::upper_bound(std::begin(table), std::end(table), c,
                         [](std::uint32_t value, code_point_range const& r) { return value < r.first; });
    return after != std::begin(table) && c <= std::prev(after)->last;
}

/// Class of a code point: \p{L}, \p{N}, \s, or none of them (they do not overlap).
[[nodiscard]] inline char_class classify(std::uint32_t c) {
    if (c < 0x80) {
        if ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') return char_class::letter;
        if (c >= '0' && c <= '9') return char_class::number;
        return c == ' ' || (c >= '\t' && c <= '\r') ? char_class::space : char_class::other;
    }
    if (is_in(letters, c)) return char_class::letter;
    if (is_in(numbers, c)) return char_class::number;
    return is_in(white_space, c) ? char_class::space : char_class::other;
}

}  // namespace commutant::detail
