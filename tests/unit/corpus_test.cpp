// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <commutant/io/corpus.hpp>

#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "support/test_data.hpp"
#include "unit/io_support.hpp"

using namespace commutant::io;
using namespace commutant::testing;
using Catch::Matchers::Contains;
using documents = std::vector<std::string>;

TEST_CASE("corpus: documents lie between lines of the separator alone", "[io]") {
    CHECK(split_documents("one\ntwo\n<|endoftext|>\nthree\n") == documents{"one\ntwo", "three"});
    CHECK(
        split_documents("<|endoftext|>\none<|endoftext|>\n <|endoftext|>\n\n<|endoftext|>\n<|endoftext|>") ==
        documents{"one<|endoftext|>\n <|endoftext|>\n"});
    CHECK(split_documents("a\r\n<|endoftext|>\r\nb\r\n") == documents{"a", "b"});
    CHECK(split_documents("no end") == documents{"no end"});
    CHECK(split_documents("\n\nx\n\n") == documents{"\n\nx\n"});
    CHECK(split_documents("").empty());
    CHECK(split_documents("<|endoftext|>\n\n<|endoftext|>").empty());
    CHECK(split_documents("<|endoftext|").size() == 1);
}

TEST_CASE("corpus: a text without documents, or not UTF-8, is refused", "[io][refuse]") {
    temporary_directory const folder;
    auto const path = folder.path() / "text.txt";
    auto const words = [&](std::string const& text) {
        write_file(path, text);
        return refusal([&] { static_cast<void>(read_corpus(path)); });
    };
    CHECK(words("x").empty());
    CHECK_THAT(words(""), Contains("text.txt: holds no text"));
    CHECK_THAT(words("\n<|endoftext|>\n"), Contains("holds no text"));
    CHECK_THAT(words("abc\xe9 d"), Contains("is not UTF-8 at byte 3"));
    CHECK_THAT(refusal([&] { static_cast<void>(read_corpus(folder.path() / "none")); }),
               Contains("cannot be opened"));
}

TEST_CASE("corpus: real texts have as many documents as stated", "[io][data]") {
    for (auto const& [name, count] :
         std::vector<std::pair<std::string, std::size_t>>{{"docs_eval", 69}, {"tinystories_eval", 458}}) {
        auto const path = find_test_data("text/" + name + ".txt");
        if (path.empty()) {
            WARN("skipped: text/" << name << ".txt is not there");
            continue;
        }
        CHECK(read_corpus(path).size() == count);
    }
}
