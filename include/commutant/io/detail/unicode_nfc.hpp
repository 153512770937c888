// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include <commutant/io/detail/unicode.hpp>
#include <commutant/io/detail/unicode_canonical.hpp>

namespace commutant::detail {

// Hangul syllables are laid out as (L * 21 + V) * 28 + T from U+AC00 (The Unicode Standard, section 3.12).
inline constexpr std::uint32_t hangul_base = 0xac00, hangul_l = 0x1100, hangul_v = 0x1161, hangul_t = 0x11a7;
inline constexpr std::uint32_t hangul_l_count = 19, hangul_v_count = 21, hangul_t_count = 28;
inline constexpr std::uint32_t hangul_count = hangul_l_count * hangul_v_count * hangul_t_count;

/// Canonical combining class; 0 for a character that starts a cluster.
[[nodiscard]] inline std::uint8_t combining_class(std::uint32_t c) {
    auto const after =
        std::upper_bound(std::begin(combining_classes), std::end(combining_classes), c,
                         [](std::uint32_t value, combining_range const& r) { return value < r.first; });
    if (after == std::begin(combining_classes)) return 0;
    auto const& range = *std::prev(after);
    return c <= range.last ? range.combining_class : std::uint8_t{0};
}

/// Appends the full canonical decomposition of c.
inline void append_decomposed(std::vector<std::uint32_t>& out, std::uint32_t c) {
    if (c >= hangul_base && c < hangul_base + hangul_count) {
        std::uint32_t const index = c - hangul_base;
        out.push_back(hangul_l + index / (hangul_v_count * hangul_t_count));
        out.push_back(hangul_v + index % (hangul_v_count * hangul_t_count) / hangul_t_count);
        if (index % hangul_t_count != 0) out.push_back(hangul_t + index % hangul_t_count);
        return;
    }
    auto const pair_in = [&](auto const& table) {
        auto const found =
            std::lower_bound(std::begin(table), std::end(table), c,
                             [](auto const& entry, std::uint32_t value) { return entry.composite < value; });
        if (found == std::end(table) || found->composite != c) return false;
        append_decomposed(out, found->first);
        append_decomposed(out, found->second);
        return true;
    };
    if (pair_in(primary_composites) || pair_in(excluded_composites)) return;
    auto const single = std::lower_bound(
        std::begin(canonical_singletons), std::end(canonical_singletons), c,
        [](canonical_singleton const& entry, std::uint32_t value) { return entry.from < value; });
    if (single != std::end(canonical_singletons) && single->from == c)
        append_decomposed(out, single->to);
    else
        out.push_back(c);
}

/// The composite of a pair, or 0.
[[nodiscard]] inline std::uint32_t compose_pair(std::uint32_t first, std::uint32_t second) {
    if (first >= hangul_l && first < hangul_l + hangul_l_count && second >= hangul_v &&
        second < hangul_v + hangul_v_count)
        return hangul_base + ((first - hangul_l) * hangul_v_count + (second - hangul_v)) * hangul_t_count;
    if (first >= hangul_base && first < hangul_base + hangul_count &&
        (first - hangul_base) % hangul_t_count == 0 && second > hangul_t &&
        second < hangul_t + hangul_t_count)
        return first + (second - hangul_t);
    static auto const by_parts = [] {
        std::vector<canonical_pair> sorted(std::begin(primary_composites), std::end(primary_composites));
        std::sort(sorted.begin(), sorted.end(), [](canonical_pair const& a, canonical_pair const& b) {
            return a.first != b.first ? a.first < b.first : a.second < b.second;
        });
        return sorted;
    }();
    auto const found =
        std::lower_bound(by_parts.begin(), by_parts.end(), canonical_pair{0, first, second},
                         [](canonical_pair const& a, canonical_pair const& b) {
                             return a.first != b.first ? a.first < b.first : a.second < b.second;
                         });
    return found != by_parts.end() && found->first == first && found->second == second ? found->composite : 0;
}

/// Normalization form C of UTF-8 text (Unicode Standard Annex 15).
[[nodiscard]] inline std::string normalized_nfc(std::string_view text) {
    bool const ascii =
        std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
    if (ascii) return std::string(text);
    std::vector<std::uint32_t> points;
    points.reserve(text.size());
    for (std::size_t i = 0; i < text.size();) {
        auto const here = decode_utf8(text, i);
        append_decomposed(points, here.code_point);
        i += std::max<std::size_t>(here.length, 1);
    }
    for (std::size_t begin = 0; begin < points.size();) {  // canonical order within each run of marks
        std::size_t end = begin;
        while (end < points.size() && combining_class(points[end]) != 0) ++end;
        std::stable_sort(
            points.begin() + static_cast<std::ptrdiff_t>(begin),
            points.begin() + static_cast<std::ptrdiff_t>(end),
            [](std::uint32_t a, std::uint32_t b) { return combining_class(a) < combining_class(b); });
        begin = end + 1;
    }
    std::vector<std::uint32_t> composed;
    composed.reserve(points.size());
    std::size_t starter = SIZE_MAX;  // the last character of class 0
    for (std::uint32_t const c : points) {
        auto const own = combining_class(c);
        if (starter != SIZE_MAX) {
            // Blocked if something of class 0, or of a class not below, stands between.
            bool const adjacent = starter + 1 == composed.size();
            bool const blocked = !adjacent && (own == 0 || combining_class(composed.back()) >= own);
            if (!blocked)
                if (auto const composite = compose_pair(composed[starter], c); composite != 0) {
                    composed[starter] = composite;
                    continue;
                }
        }
        if (own == 0) starter = composed.size();
        composed.push_back(c);
    }
    std::string out;
    out.reserve(text.size());
    for (std::uint32_t const c : composed) append_utf8(out, c);
    return out;
}

}  // namespace commutant::detail
