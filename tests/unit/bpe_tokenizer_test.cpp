// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <commutant/io/bpe_tokenizer.hpp>

#include <functional>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "support/test_data.hpp"
#include "unit/io_support.hpp"

using namespace commutant::io;
using namespace commutant::testing;
using Catch::Matchers::Contains;
using nlohmann::json;

namespace {

using ids = std::vector<std::int32_t>;

bpe_tokenizer tiny(std::function<void(json&)> const& edit = {}) {
    auto file = tiny_bpe_tokenizer();
    if (edit) edit(file);
    return {file.dump(), "tokenizer.json"};
}

std::string words_of(std::function<void(json&)> const& edit) {
    return refusal([&] { static_cast<void>(tiny(edit)); });
}

}  // namespace

TEST_CASE("bpe_tokenizer: merges are applied in the order of the file", "[io]") {
    auto const tokens = tiny();
    CHECK(tokens.vocab_size() == 303);
    CHECK(tokens.encode("") == ids{});
    CHECK(tokens.encode("hello") == ids{259});
    CHECK(tokens.encode("hell hel") == ids{258, ' ', 256, 'l'});
    CHECK(tokens.encode("hello world") == ids{259, 260, 'o', 'r', 'l', 'd'});
    CHECK(tokens.encode("aaaaa") == ids{261, 261, 'a'});
    CHECK(tokens.encode("lll") == ids{257, 'l'});
    CHECK(tokens.encode("\xc3\xa9\n") == ids{0xc3, 0xa9, '\n'});
    // The same word twice, from the cache the second time; and one too long for the cache.
    std::string const run(101, 'a');
    CHECK(tokens.encode("hello\nhello") == ids{259, '\n', 259});
    CHECK(tokens.encode(run + "\n" + run).size() == 51 + 1 + 51);
}

TEST_CASE("bpe_tokenizer: merges may be written as strings, and words taken whole", "[io]") {
    auto const as_text = [](json& file) {
        for (auto& merge : file["model"]["merges"])
            merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
    };
    CHECK(tiny(as_text).encode("hello world aaa") == tiny().encode("hello world aaa"));
    auto const whole_words = [](json& file) {
        file["model"]["vocab"]["abc"] = 262;
        file["model"]["ignore_merges"] = true;
    };
    CHECK(tiny(whole_words).encode("abc") == ids{262});
    CHECK(tiny(whole_words).encode("abcd") == ids{'a', 'b', 'c', 'd'});
}

TEST_CASE("bpe_tokenizer: added tokens are cut out of the text", "[io]") {
    auto const tokens = tiny();
    CHECK(tokens.encode("<s>hello</s><s") == ids{300, 259, 301, '<', 's'});
    CHECK(tokens.encode("a<tool>b") == ids{'a', 302, 'b'});
    CHECK(tokens.prefix() == ids{300});
    CHECK(tokens.suffix() == ids{});
    CHECK(tokens.find_added("</s>") == 301);
    CHECK_FALSE(tokens.find_added("hello").has_value());
    // The longest of two that begin alike.
    auto const longer = [](json& file) {
        file["added_tokens"].push_back({{"id", 303}, {"content", "<s>>"}, {"special", true}});
    };
    CHECK(tiny(longer).encode("<s>><s>") == ids{303, 300});
}

TEST_CASE("bpe_tokenizer: decoding gives the text back, without special tokens", "[io]") {
    auto const tokens = tiny();
    for (std::string const text :
         {"", "hello world", "  two  blanks ", "caf\xc3\xa9 \xe4\xb8\xad\n\t'll", "a<tool>b"})
        CHECK(tokens.decode(tokens.encode(text)) == text);
    CHECK(tokens.decode(ids{300, 259, 301}) == "hello");
    CHECK(tokens.decode(ids{299}).empty());  // an id that the file leaves out
    CHECK_THROWS_AS(tokens.decode(ids{303}), std::invalid_argument);
    CHECK_THROWS_AS(tokens.decode(ids{-1}), std::invalid_argument);
}

TEST_CASE("bpe_tokenizer: the steps in front of the merges follow the file", "[io]") {
    auto const with = [](char const* key, char const* value) {
        return tiny([&](json& file) { file[key] = json::parse(value); });
    };
    // Without the splitting rule " w" joins across what would be words.
    auto const sequence = with("pre_tokenizer", R"({"type":"Sequence","pretokenizers":[
        {"type":"Digits","individual_digits":true},
        {"type":"ByteLevel","add_prefix_space":false,"use_regex":true}]})");
    CHECK(sequence.encode("aa11").size() == 3);
    auto const prefix = with("pre_tokenizer", R"({"type":"ByteLevel","add_prefix_space":true})");
    CHECK(prefix.encode("world") == ids{260, 'o', 'r', 'l', 'd'});
    CHECK(prefix.encode(" world") == ids{260, 'o', 'r', 'l', 'd'});
    auto const whole =
        with("pre_tokenizer", R"({"type":"ByteLevel","add_prefix_space":false,"use_regex":false})");
    CHECK(whole.encode("a\naa") == ids{'a', '\n', 261});
    auto const llama3 = tiny([](json& file) {
        std::string const expression =
            R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
            R"(\s*[\r\n]+|\s+(?!\S)|\s+)";
        file["pre_tokenizer"] = json::parse(R"({"type":"Sequence","pretokenizers":[
            {"type":"Split","behavior":"Isolated","invert":false},
            {"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]})");
        file["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = expression;
    });
    CHECK(llama3.encode("\thello") == ids{'\t', 259});
    auto const nfc = with("normalizer", R"({"type":"NFC"})");
    CHECK(nfc.encode("e\xcc\x81") == ids{0xc3, 0xa9});
    CHECK(tiny().encode("e\xcc\x81") == ids{'e', 0xcc, 0x81});
    auto const both = with("post_processor", R"({"type":"Sequence","processors":[{"type":"ByteLevel"},
        {"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x"}},{"Sequence":{"id":"A"}},
        {"SpecialToken":{"id":"y"}}],"special_tokens":{"x":{"ids":[300,302]},"y":{"ids":[301]}}}]})");
    CHECK(both.prefix() == ids{300, 302});
    CHECK(both.suffix() == ids{301});
    CHECK(with("post_processor", "null").prefix().empty());
}

TEST_CASE("bpe_tokenizer: an added token is looked for before or after normalisation, as it says", "[io]") {
    auto const with_token = [](char const* content, bool normalized) {
        return tiny([&](json& file) {
            file["normalizer"]["type"] = "NFC";
            file["added_tokens"].push_back({{"id", 303}, {"content", content}, {"normalized", normalized}});
        });
    };
    char const* const composed = "\xe1\xba\xa1";
    char const* const decomposed = "a\xcc\xa3";
    CHECK(with_token(composed, true).encode(decomposed) == ids{303});
    CHECK(with_token(composed, false).encode(decomposed) == ids{0xe1, 0xba, 0xa1});
    CHECK(with_token(decomposed, false).encode(decomposed) == ids{303});
    CHECK(with_token(decomposed, true).encode(decomposed) == ids{0xe1, 0xba, 0xa1});
}

TEST_CASE("bpe_tokenizer: a text that is not UTF-8 is refused", "[io][refuse]") {
    CHECK_THAT(refusal([] { static_cast<void>(tiny().encode("abc\xff")); }),
               Contains("text: is not UTF-8 at byte 3"));
}

TEST_CASE("bpe_tokenizer: what is not supported is refused with the reason", "[io][refuse]") {
    struct flaw {
        char const* pointer;
        char const* value;
        char const* words;
    };
    std::vector<flaw> const flaws{
        {"/model", "null", "has no model object"},
        {"/model/type", "\"Unigram\"", "has a model of type \"Unigram\", expected \"BPE\""},
        {"/model/dropout", "0.1", "has BPE dropout 0.1"},
        {"/model/continuing_subword_prefix", "\"##\"", "has continuing_subword_prefix \"##\""},
        {"/model/end_of_word_suffix", "\"</w>\"", "has end_of_word_suffix"},
        {"/model/byte_fallback", "true", "has byte_fallback (a SentencePiece vocabulary)"},
        {"/model/byte_fallback", "1", "byte_fallback is 1, expected true or false"},
        {"/model/vocab", "{}", "has no vocab object"},
        {"/model/vocab", "{\"a\":0}", "has no token for byte 0"},
        {"/model/vocab/hello", "-1", "token 'hello' has id -1"},
        {"/model/vocab/hello", "1.5", "token 'hello' has id 1.5"},
        {"/model/vocab/hello", "1000000000",
         "token 'hello' has id 1000000000, expected a whole number below"},
        {"/model/vocab/hello", "97", "gives id 97 to"},
        {"/model/merges", "null", "has no merges array"},
        {"/model/merges/2", "\"he l l\"", "merge 2 is 'he l l', expected two tokens"},
        {"/model/merges/2", "\"hell\"", "merge 2 is 'hell'"},
        {"/model/merges/2", "[\"he\"]", "merge 2 is"},
        {"/model/merges/2", "[\"he\",\"zz\"]", "merge 2 names 'zz', which is no token"},
        {"/model/merges/2", "[\"h\",\"l\"]", "merge 2 names 'hl', which is no token"},
        {"/model/merges/2", "[\"h\",\"e\"]", "merge 2 repeats an earlier one"},
        {"/added_tokens", "3", "added_tokens is not an array"},
        {"/added_tokens/0", "{\"id\":300}", "has an added token without content"},
        {"/added_tokens/0/content", "\"\"", "has an added token without content"},
        {"/added_tokens/0/id", "5000000", "added token '<s>' has id 5000000"},
        {"/added_tokens/0/id", "301", "has id 301, which does not agree"},
        {"/added_tokens/0/id", "97", "added token '<s>' has id 97, which does not agree"},
        {"/added_tokens/0/content", "\"hello\"", "added token 'hello' has id 300, which does not agree"},
        {"/added_tokens/0/lstrip", "true", "added token '<s>' asks for lstrip"},
        {"/added_tokens/0/single_word", "true", "asks for single_word"},
        {"/normalizer", "{\"type\":\"Lowercase\"}", "has normalizer Lowercase, expected none or NFC"},
        {"/pre_tokenizer", "null", "has pre-tokenizer none"},
        {"/pre_tokenizer/type", "\"Metaspace\"", "has pre-tokenizer Metaspace"},
        {"/pre_tokenizer", R"({"type":"Sequence","pretokenizers":[]})", "has no ByteLevel pre-tokenizer"},
        {"/pre_tokenizer", R"({"type":"Sequence"})", "has a Sequence without pretokenizers"},
        {"/pre_tokenizer", R"({"type":"Sequence","pretokenizers":[{"type":"ByteLevel"},{"type":"Digits"}]})",
         "has pre-tokenizer Digits behind ByteLevel"},
        {"/pre_tokenizer", R"({"type":"Sequence","pretokenizers":[{"type":"Digits"},{"type":"ByteLevel"}]})",
         "adds a prefix space behind another split"},
        {"/pre_tokenizer",
         R"({"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"x+"}}]})",
         "splits by 'x+'"},
        {"/pre_tokenizer",
         R"({"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"String":" "}}]})",
         "has a Split without a Regex pattern"},
        {"/post_processor/type", "\"RobertaProcessing\"", "has post_processor RobertaProcessing"},
        {"/post_processor/single", "[]", "has a template without the text"},
        {"/post_processor/single/0", "3", "neither Sequence nor SpecialToken"},
        {"/post_processor/single/0", R"({"Sequence":{"id":"A"}})", "has a template with the text twice"},
        {"/post_processor/special_tokens", "{}", "has no ids for special token '<s>'"},
        {"/post_processor/special_tokens/<s>/ids/0", "303",
         "special token '<s>' has id 303, expected a whole number below 303"},
        {"/decoder", "null", "has decoder none, expected ByteLevel"},
        {"/decoder/type", "\"Metaspace\"", "has decoder Metaspace"},
    };
    for (auto const& one : flaws) {
        INFO(one.pointer << " = " << one.value);
        auto const words =
            words_of([&](json& file) { file[json::json_pointer(one.pointer)] = json::parse(one.value); });
        CHECK_THAT(words, Contains(one.words));
        CHECK(words.rfind("tokenizer.json: ", 0) == 0);
    }
    CHECK_THAT(words_of([](json& file) { file["added_tokens"].push_back(file["added_tokens"][0]); }),
               Contains("'<s>' is listed twice"));
    CHECK_THAT(words_of([](json& file) { file = 3; }), Contains("is not a JSON object"));
}

TEST_CASE("bpe_tokenizer: every truncation of a file is refused", "[io][refuse]") {
    auto const whole = tiny_bpe_tokenizer().dump();
    for (std::size_t size = 0; size < whole.size(); size += size + 40 < whole.size() ? 37 : 1)
        if (refusal([&] { static_cast<void>(bpe_tokenizer(whole.substr(0, size), "t")); }).empty())
            FAIL("accepted at " << size);
    SUCCEED();
}
