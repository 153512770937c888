// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <commutant/io/llama2c_tokenizer.hpp>

#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "support/test_data.hpp"
#include "unit/io_support.hpp"

using namespace commutant::io;
using namespace commutant::testing;
using Catch::Matchers::Contains;

namespace {

using ids = std::vector<std::int32_t>;

llama2c_tokenizer tiny_tokens() { return {as_bytes(tiny_llama2c_tokenizer()), "tok.bin"}; }

std::string words_of_tokenizer(std::string const& file) {
    return refusal([&] { static_cast<void>(llama2c_tokenizer(as_bytes(file), "tok.bin")); });
}

constexpr std::int32_t blank = 259, a = 260, b = 261, ab = 262, blank_a = 263, aa = 265;

}  // namespace

TEST_CASE("llama2c_tokenizer: a blank goes first, then the best pair is joined until none is left", "[io]") {
    auto const tokens = tiny_tokens();
    CHECK(tokens.vocab_size() == 266);
    CHECK(tokens.encode("") == ids{});
    CHECK(tokens.encode("b") == ids{blank, b});
    CHECK(tokens.encode("a") == ids{blank_a});
    CHECK(tokens.encode("ab") == ids{blank, ab});          // "ab" scores better than " a"
    CHECK(tokens.encode("ab a") == ids{blank, 264});       // "ab" + " a"
    CHECK(tokens.encode("aaab") == ids{blank_a, a, ab});   // "ab", then " a" before "aa"
    CHECK(tokens.encode("baaa") == ids{blank, b, aa, a});  // of two alike the left one
}

TEST_CASE("llama2c_tokenizer: what is no token goes by its bytes", "[io]") {
    auto const tokens = tiny_tokens();
    CHECK(tokens.encode("c") == ids{blank, 'c' + 3});
    CHECK(tokens.encode("\xc3\xa9\n") == ids{blank, 0xc3 + 3, 0xa9 + 3, '\n' + 3});
    CHECK(tokens.encode(std::string_view("\0", 1)) == ids{blank, 3});
    // Bytes that are not UTF-8 have their ids as well.
    CHECK(tokens.encode("\xff\x80\x80\x80\x80") == ids{blank, 0xff + 3, 0x83, 0x83, 0x83, 0x83});
}

TEST_CASE("llama2c_tokenizer: decoding gives the text back", "[io]") {
    auto const tokens = tiny_tokens();
    for (std::string const text : {"", "a", " a", "  ab", "ab aab c\n", "caf\xc3\xa9", "\xff\x01"})
        CHECK(tokens.decode(tokens.encode(text)) == text);
    CHECK(tokens.decode(ids{1, blank_a, 2, 1, blank_a}) == "aa");
    CHECK_THROWS_AS(tokens.decode(ids{266}), std::invalid_argument);
    CHECK_THROWS_AS(tokens.decode(ids{-1}), std::invalid_argument);
}

TEST_CASE("llama2c_tokenizer: a bad file is refused", "[io][refuse]") {
    auto const whole = tiny_llama2c_tokenizer();
    CHECK(words_of_tokenizer(whole).empty());
    CHECK_THAT(words_of_tokenizer("abc"), Contains("is 3 bytes long, expected a llama2.c tokenizer"));
    CHECK_THAT(words_of_tokenizer(whole + "x"), Contains("ends within token 266"));
    // The file does not say how many tokens it has: only a cut between tokens can pass, and only past the
    // bytes.
    std::size_t accepted = 0;
    for (std::size_t size = 0; size < whole.size(); ++size)
        accepted += words_of_tokenizer(whole.substr(0, size)).empty();
    CHECK(accepted == 7);
    auto bad = whole;
    bad.replace(0, 4, bytes_of(5));
    CHECK_THAT(words_of_tokenizer(bad), Contains("token 2 is 6 bytes long, expected at most 5"));
    bad.replace(0, 4, bytes_of(257));
    CHECK_THAT(words_of_tokenizer(bad), Contains("states a longest token of 257 bytes"));
    bad = whole;
    bad.replace(8, 4, bytes_of(0xffffffffu));
    CHECK_THAT(words_of_tokenizer(bad), Contains("token 0 is 4294967295 bytes long"));
    bad = whole;
    bad.replace(4, 4, bytes_of(0x7fc00000));
    CHECK_THAT(words_of_tokenizer(bad), Contains("token 0 has a score that is not finite"));
    bad = whole;
    auto const letter = bad.find("<0x41>");
    bad.replace(letter, 6, "<0x42>");
    CHECK_THAT(words_of_tokenizer(bad), Contains("token 68 is '<0x42>', expected '<0x41>'"));
}

TEST_CASE("llama2c_tokenizer: a real vocabulary spells a story", "[io][data]") {
    auto const path = find_test_data("models/stories260K/tok512.bin");
    if (path.empty()) {
        WARN("skipped: models/stories260K is not there");
        return;
    }
    auto const tokens = llama2c_tokenizer::open(path);
    CHECK(tokens.vocab_size() == 512);
    CHECK(tokens.encode("Once upon a time") == ids{403, 407, 261, 378});
    std::string const text = "One day, Lily met a dog.\nShe said: \"Hi!\" caf\xc3\xa9";
    CHECK(tokens.decode(tokens.encode(text)) == text);
}
