// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <commutant/io/json.hpp>

#include <string>

#include <catch2/catch.hpp>

#include "unit/io_support.hpp"

using Catch::Matchers::Contains;
using commutant::io::parse_json;
using commutant::testing::refusal;

TEST_CASE("json: plain text is parsed", "[io]") {
    auto const json = parse_json(" {\"a\": [1, {\"a\": 2}], \"b\": {\"a\": 3}} \n", "file");
    REQUIRE(json["a"][1]["a"] == 2);
    REQUIRE(json["b"]["a"] == 3);
}

TEST_CASE("json: what the parser alone would let pass is refused by name", "[io][refuse]") {
    auto const words = [](std::string const& text) {
        return refusal([&] { static_cast<void>(parse_json(text, "m.json")); });
    };
    CHECK_THAT(words("{\"a\": 1, \"b\": 2, \"a\": 3}"), Contains("m.json: names 'a' twice"));
    CHECK_THAT(words("[{\"x\":{\"y\":1,\"y\":1}}]"), Contains("names 'y' twice"));
    CHECK_THAT(words(std::string("{}\0", 3)), Contains("zero byte at offset 2"));
    CHECK_THAT(words("\xef\xbb\xbf{}"), Contains("byte order mark"));
    CHECK_THAT(words("{} x"), Contains("is not JSON"));
    CHECK_THAT(words(""), Contains("is not JSON"));
    CHECK_THAT(words("{\"a\": \"\xff\"}"), Contains("is not JSON"));
    CHECK_THAT(words(std::string(33, '[') + std::string(33, ']')), Contains("deeper than 32"));
    CHECK(words(std::string(32, '[') + std::string(32, ']')).empty());
    CHECK_THAT(words(std::string(100000, '[')), Contains("deeper than 32"));
}

TEST_CASE("json: an error is one line, whatever the file holds", "[io][refuse]") {
    auto const words = refusal([] { static_cast<void>(parse_json("{\"a\nb\": 1}", "odd\nname")); });
    REQUIRE_FALSE(words.empty());
    REQUIRE(words.find('\n') == std::string::npos);
    REQUIRE_THAT(words, Contains("odd?name: "));
}
