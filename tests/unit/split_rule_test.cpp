// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <commutant/io/detail/split_rule.hpp>

#include <string>
#include <vector>

#include <catch2/catch.hpp>

using namespace commutant::detail;

namespace {

using words = std::vector<std::string>;

words split(split_rule const& rule, std::string_view text) {
    words out;
    for (std::size_t i = 0; i < text.size();) {
        std::size_t const end = match_end(rule, text, i);
        REQUIRE(end > i);
        out.emplace_back(text.substr(i, end - i));
        i = end;
    }
    return out;
}

constexpr split_rule gpt2{false, 0};
constexpr split_rule llama3{true, 3};
constexpr split_rule qwen2{true, 1};

}  // namespace

// The pieces are those of the regular expressions themselves; 700 000 random texts were compared with Perl's.

TEST_CASE("split_rule: GPT-2", "[io]") {
    CHECK(split(gpt2, "Hello world's 12345!!") == words{"Hello", " world", "'s", " 12345", "!!"});
    CHECK(split(gpt2, "I'll we've they're I'm I'd don't") ==
          words{"I", "'ll", " we", "'ve", " they", "'re", " I", "'m", " I", "'d", " don", "'t"});
    CHECK(split(gpt2, "I'LL") == words{"I", "'", "LL"});
    CHECK(split(gpt2, "'x 'quote'") == words{"'", "x", " '", "quote", "'"});
    CHECK(split(gpt2, "a   b \n c  ") == words{"a", "  ", " b", " \n", " c", "  "});
    CHECK(split(gpt2, "a\tb\nc") == words{"a", "\t", "b", "\n", "c"});
    CHECK(split(gpt2, "caf\xc3\xa9 \xe4\xb8\xad\xe6\x96\x87\xef\xbc\x81") ==
          words{"caf\xc3\xa9", " \xe4\xb8\xad\xe6\x96\x87", "\xef\xbc\x81"});
    CHECK(split(gpt2, "x\xc2\xa0\xc2\xa0y") == words{"x", "\xc2\xa0", "\xc2\xa0", "y"});
    CHECK(split(gpt2, "#include <x>\n") == words{"#", "include", " <", "x", ">", "\n"});
    CHECK(split(gpt2, "'") == words{"'"});
    CHECK(split(gpt2, " ") == words{" "});
    CHECK(split(gpt2, "'l").size() == 2);
}

TEST_CASE("split_rule: Llama 3 and Qwen 2", "[io]") {
    CHECK(split(llama3, "Hello WORLD'S 1234567!!") ==
          words{"Hello", " WORLD", "'S", " ", "123", "456", "7", "!!"});
    CHECK(split(qwen2, "a12") == words{"a", "1", "2"});
    CHECK(split({true, 0}, "a1234567") == words{"a", "1234567"});
    CHECK(split(llama3, "x=(y)\n\n  z") == words{"x", "=(", "y", ")\n\n", " ", " z"});
    CHECK(split(llama3, "a \n \n  b") == words{"a", " \n \n", " ", " b"});
    CHECK(split(llama3, "a\r\nb") == words{"a", "\r\n", "b"});
    CHECK(split(llama3, "\tfoo\t\tbar") == words{"\tfoo", "\t", "\tbar"});
    CHECK(split(llama3, "_name $x") == words{"_name", " $", "x"});
    CHECK(split(llama3, "it\xe2\x80\x99s IT'\xc5\xbf") == words{"it", "\xe2\x80\x99s", " IT", "'\xc5\xbf"});
    CHECK(split(llama3, "end   ") == words{"end", "   "});
    CHECK(split(llama3, "\n\n") == words{"\n\n"});
}

TEST_CASE("split_rule: only known expressions have a rule", "[io][refuse]") {
    auto const found =
        find_split_rule(R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)");
    REQUIRE(found.has_value());
    CHECK_FALSE(found->cl100k);
    auto const later = find_split_rule(
        R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
        R"(\s*[\r\n]+|\s+(?!\S)|\s+)");
    REQUIRE(later.has_value());
    CHECK(later->cl100k);
    CHECK(later->max_digits == 3);
    CHECK_FALSE(find_split_rule("").has_value());
    CHECK_FALSE(find_split_rule(R"(\p{L}+)").has_value());
}
