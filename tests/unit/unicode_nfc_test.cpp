// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <commutant/io/detail/unicode_nfc.hpp>

#include <algorithm>
#include <string>

#include <catch2/catch.hpp>

using namespace commutant::detail;

namespace {

std::string utf8(std::u32string_view points) {
    std::string out;
    for (char32_t const c : points) append_utf8(out, c);
    return out;
}

std::string nfc(std::u32string_view points) { return normalized_nfc(utf8(points)); }

}  // namespace

TEST_CASE("unicode: every code point survives encoding and decoding", "[io]") {
    for (std::uint32_t c = 0; c < 0x110000; ++c) {
        if (c >= 0xd800 && c < 0xe000) continue;
        std::string text = "x";
        append_utf8(text, c);
        auto const here = decode_utf8(text, 1);
        if (here.code_point != c || here.length != text.size() - 1) FAIL("code point " << c);
    }
    SUCCEED();
}

TEST_CASE("unicode: what is not UTF-8 is found at its place", "[io][refuse]") {
    CHECK(find_invalid_utf8("plain \xc3\xa9 \xf0\x9f\x98\x80") == std::nullopt);
    for (std::string const bad :
         {"\x80", "\xc3", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xe4\xbd",
          "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xc3 "}) {
        CHECK(find_invalid_utf8("ab" + bad) == 2);
        CHECK(find_invalid_utf8("ab" + bad + "cdef") == 2);
    }
}

TEST_CASE("unicode: letters, numbers and white space of many scripts", "[io]") {
    for (char32_t const c :
         U"aZ\u00aa\u00e9\u0101\u017f\u0391\u03c9\u0416\u05d0\u0627\u0905\u0e01\u3042\u4e2d\uac00\U00020000"
         U"\u02b0")
        if (c != 0) CHECK(classify(c) == char_class::letter);
    for (char32_t const c : U"09\u00b2\u00bd\u0663\u0967\u2167\u3007\u2460\U0001d7ce")
        if (c != 0) CHECK(classify(c) == char_class::number);
    for (char32_t const c : U" \t\n\v\f\r\u0085\u00a0\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000")
        if (c != 0) CHECK(classify(c) == char_class::space);
    // Marks, joiners, emoji, unassigned, private use, and separators that only look like blanks.
    for (char32_t const c : U"!_'\u0301\u200b\u200d\ufeff\u180e\u001c\U0001f600\ue000\U0010ffff\u0378")
        if (c != 0) CHECK(classify(c) == char_class::other);
    CHECK(classify(0) == char_class::other);
}

TEST_CASE("unicode: tables are sorted and do not overlap", "[io]") {
    auto const ordered = [](auto const& table) {
        for (std::size_t i = 1; i < std::size(table); ++i)
            if (table[i].first <= table[i - 1].last) return false;
        return true;
    };
    CHECK(ordered(letters));
    CHECK(ordered(numbers));
    CHECK(ordered(white_space));
    CHECK(ordered(combining_classes));
    auto const by_composite = [](canonical_pair const& a, canonical_pair const& b) {
        return a.composite < b.composite;
    };
    CHECK(std::is_sorted(std::begin(primary_composites), std::end(primary_composites), by_composite));
    CHECK(std::is_sorted(std::begin(excluded_composites), std::end(excluded_composites), by_composite));
    CHECK(std::is_sorted(std::begin(canonical_singletons), std::end(canonical_singletons),
                         [](auto const& a, auto const& b) { return a.from < b.from; }));
}

TEST_CASE("unicode: normal form C composes, reorders, and leaves exclusions apart", "[io]") {
    CHECK(nfc(U"plain") == "plain");
    CHECK(nfc(U"e\u0301") == utf8(U"\u00e9"));
    CHECK(nfc(U"\u212b") == utf8(U"\u00c5"));               // Angstrom sign to A with ring
    CHECK(nfc(U"\u1e9b\u0323") == utf8(U"\u1e9b\u0323"));   // Unicode Standard Annex 15, figure 6
    CHECK(nfc(U"a\u0307\u0323") == utf8(U"\u1ea1\u0307"));  // the dot below goes first, and composes
    CHECK(nfc(U"a\u0323\u0323\u0307") == utf8(U"\u1ea1\u0323\u0307"));  // the same class blocks
    CHECK(nfc(U"a\u033d\u0301") == utf8(U"a\u033d\u0301"));  // even where the second mark would compose
    CHECK(nfc(U"\u0958") == utf8(U"\u0915\u093c"));          // a composition exclusion
    CHECK(nfc(U"\u0344") == utf8(U"\u0308\u0301"));          // marks alone do not compose
    CHECK(nfc(U"\u1112\u1161\u11ab\u1100\u1173\u11af") == utf8(U"\ud55c\uae00"));  // Hangul
    CHECK(nfc(U"\uac00\u11a8") == utf8(U"\uac01"));
    CHECK(nfc(U"\uac01\u11a8") == utf8(U"\uac01\u11a8"));
    CHECK(nfc(U"\uf900") == utf8(U"\u8c48"));
    CHECK(nfc(U"\u0301e") == utf8(U"\u0301e"));
    CHECK(nfc(U"\u0cc6\u0cc2\u0cd5") == utf8(U"\u0ccb"));  // two steps
}
