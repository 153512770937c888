// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <commutant/io/windows.hpp>

#include <catch2/catch.hpp>

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace io = commutant::io;
using windows = std::vector<std::vector<int>>;

namespace {

constexpr int bos = 1;
constexpr int eos = 2;

/// One id per character, from 10 on for 'a'.
std::vector<int> letters(std::string_view text) {
    std::vector<int> ids;
    for (char const c : text) ids.push_back(c - 'a' + 10);
    return ids;
}

std::vector<int> nothing(std::string_view) { return {}; }

}  // namespace

TEST_CASE("reference_windows: every window of a document starts with BOS, and none reaches across documents",
          "[io][windows]") {
    std::vector<std::string> const documents{"abcde", "f"};
    CHECK(io::reference_windows(documents, 3, bos, letters) ==
          windows{{bos, 10, 11}, {bos, 12, 13}, {bos, 14}, {bos, 15}});
}

TEST_CASE(
    "reference_windows: white space at the ends of a document is no part of it, empty documents do not count",
    "[io][windows]") {
    std::vector<std::string> const documents{" \t\n", "\nab \r\n", "", "c"};
    CHECK(io::reference_windows(documents, 9, bos, letters, {.max_tokens = 99, .max_documents = 2}) ==
          windows{{bos, 10, 11}, {bos, 12}});
}

TEST_CASE("reference_windows: reading stops at the limits of tokens and of documents", "[io][windows]") {
    std::vector<std::string> const documents{"abc", "def", "ghi"};
    CHECK(io::reference_windows(documents, 9, bos, letters, {.max_tokens = 4, .max_documents = 9}) ==
          windows{{bos, 10, 11, 12}, {bos, 13}});
    CHECK(io::reference_windows(documents, 9, bos, letters, {.max_tokens = 3, .max_documents = 9}) ==
          windows{{bos, 10, 11, 12}});
    CHECK(io::reference_windows(documents, 9, bos, letters, {.max_tokens = 99, .max_documents = 1}) ==
          windows{{bos, 10, 11, 12}});
}

TEST_CASE("packed_windows: documents follow each other with EOS between and no gaps", "[io][windows]") {
    std::vector<std::string> const documents{"abc", "de"};
    // The stream is a b c EOS d e EOS; the last id fills no window and is left out.
    CHECK(io::packed_windows(documents, 4, bos, eos, letters) ==
          windows{{bos, 10, 11, 12}, {bos, eos, 13, 14}});
    CHECK(io::packed_windows(documents, 3, bos, std::nullopt, letters) ==
          windows{{bos, 10, 11}, {bos, 12, 13}});
}

TEST_CASE("packed_windows: a text shorter than a window is one shorter window", "[io][windows]") {
    std::vector<std::string> const documents{"ab"};
    CHECK(io::packed_windows(documents, 100, bos, eos, letters) == windows{{bos, 10, 11, eos}});
}

TEST_CASE("packed_windows: reading stops when enough windows are full", "[io][windows]") {
    std::vector<std::string> const documents{"abcdefgh", "i"};
    CHECK(io::packed_windows(documents, 3, bos, eos, letters, 2) == windows{{bos, 10, 11}, {bos, 12, 13}});
    // The second document would throw, and is never read.
    std::vector<std::string> const later{"abc", "!"};
    auto const picky = [](std::string_view text) {
        if (text == "!") throw std::runtime_error("read too far");
        return letters(text);
    };
    CHECK(io::packed_windows(later, 5, bos, eos, picky, 1) == windows{{bos, 10, 11, 12, eos}});
}

TEST_CASE("windows of a text without tokens are none, with or without EOS", "[io][windows]") {
    std::vector<std::string> const documents{"abc", "d"};
    CHECK(io::packed_windows(documents, 4, bos, eos, nothing).empty());
    CHECK(io::reference_windows(documents, 4, bos, nothing).empty());
}

TEST_CASE("windows need room for BOS and a token", "[io][windows]") {
    std::vector<std::string> const documents{"abc"};
    CHECK_THROWS_WITH(
        io::packed_windows(documents, 1, bos, eos, letters),
        "packed_windows: windows of 1 positions, expected at least 2: BOS and a token to predict");
    CHECK_THROWS_WITH(io::reference_windows(documents, 0, bos, letters),
                      Catch::Contains("windows of 0 positions, expected at least 2"));
}
