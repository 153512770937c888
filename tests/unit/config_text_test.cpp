// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <commutant/io/config_text.hpp>

#include <string>

#include <catch2/catch.hpp>

#include "unit/io_support.hpp"

using namespace commutant::io;
using commutant::testing::refusal;

namespace {

std::string rewrite(std::string const& text, config_changes const& changes) {
    return rewrite_config(text, changes, "config.json");
}

config_changes untied() { return {false, std::nullopt}; }
config_changes single() { return {std::nullopt, "float32"}; }

}  // namespace

TEST_CASE("config_text: only the value changes, every other byte stays", "[io]") {
    std::string const text =
        "{\r\n\t\"a\" : [1.50, {\"tie_word_embeddings\":true} ],\"tie_word_embeddings\"\t:  true ,\r\n"
        "  \"torch_dtype\":\"bfloat16\"\n}\n\n";
    CHECK(rewrite(text, untied()) ==
          "{\r\n\t\"a\" : [1.50, {\"tie_word_embeddings\":true} ],\"tie_word_embeddings\"\t:  false ,\r\n"
          "  \"torch_dtype\":\"bfloat16\"\n}\n\n");
    CHECK(rewrite(text, {false, "float32"}) ==
          "{\r\n\t\"a\" : [1.50, {\"tie_word_embeddings\":true} ],\"tie_word_embeddings\"\t:  false ,\r\n"
          "  \"torch_dtype\":\"float32\"\n}\n\n");
    CHECK(rewrite(text, {}) == text);
}

TEST_CASE("config_text: the element type goes to the key that the file has", "[io]") {
    CHECK(rewrite(R"({"dtype": "float16"})", single()) == R"({"dtype": "float32"})");
    CHECK(rewrite(R"({"torch_dtype":null,"dtype":{"x":[]}})", single()) ==
          R"({"torch_dtype":"float32","dtype":"float32"})");
    CHECK(rewrite(R"({"x": {"dtype": 1}})", single()) == R"({"x": {"dtype": 1},"torch_dtype": "float32"})");
}

TEST_CASE("config_text: a missing key is added in the manner of the file", "[io]") {
    CHECK(rewrite("{\n  \"a\": 1,\n  \"b\": 2\n}\n", untied()) ==
          "{\n  \"a\": 1,\n  \"b\": 2,\n  \"tie_word_embeddings\": false\n}\n");
    CHECK(rewrite("{\"a\":1, \"b\":\"x,}\\\"\"}", untied()) ==
          "{\"a\":1, \"b\":\"x,}\\\"\", \"tie_word_embeddings\": false}");
    CHECK(rewrite(" { } ", untied()) == " {\"tie_word_embeddings\": false } ");
}

TEST_CASE("config_text: keys are compared as JSON means them", "[io]") {
    CHECK(rewrite(R"({"tie\u005fword_embeddings":true})", untied()) ==
          R"({"tie\u005fword_embeddings":false})");
    CHECK(rewrite(R"({"x":"\"tie_word_embeddings\":true","tie_word_embeddings":true})", untied()) ==
          R"({"x":"\"tie_word_embeddings\":true","tie_word_embeddings":false})");
}

TEST_CASE("config_text: what is no JSON object is refused", "[io][refuse]") {
    for (std::string const text : {"", "[]", "{", "{\"a\":1,\"a\":2}"})
        CHECK_FALSE(refusal([&] { static_cast<void>(rewrite(text, untied())); }).empty());
}
