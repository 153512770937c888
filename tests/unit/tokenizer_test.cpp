// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <commutant/io/tokenizer.hpp>

#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include <commutant/io/corpus.hpp>
#include <commutant/io/tokens.hpp>

#include "support/test_data.hpp"
#include "unit/io_support.hpp"

using namespace commutant::io;
using namespace commutant::testing;
using Catch::Matchers::Contains;

namespace {

using ids = std::vector<std::int32_t>;

std::string words_of(std::filesystem::path const& path) {
    return refusal([&] { static_cast<void>(tokenizer::open(path)); });
}

}  // namespace

TEST_CASE("tokenizer: both kinds speak the same words", "[io]") {
    temporary_directory const folder;
    write_file(folder.path() / "tokenizer.json", tiny_bpe_tokenizer().dump());
    write_file(folder.path() / "tok.bin", tiny_llama2c_tokenizer());
    auto const bpe = tokenizer::open(folder.path());
    auto const llama2c = tokenizer::open(folder.path() / "tok.bin");
    CHECK(bpe.path() == folder.path() / "tokenizer.json");
    CHECK(bpe.vocab_size() == 303);
    CHECK(llama2c.vocab_size() == 266);
    CHECK(bpe.encode("hello") == ids{259});
    CHECK(bpe.encode_for_model("hello") == ids{300, 259});
    CHECK(llama2c.encode_for_model("a") == ids{1, 263});
    CHECK(bpe.decode(bpe.encode_for_model("hello")) == "hello");
    CHECK(llama2c.decode(llama2c.encode_for_model("ab")) == "ab");
    CHECK(bpe.bos() == 300);
    CHECK_FALSE(bpe.eos().has_value());
    CHECK(llama2c.bos() == 1);
    CHECK(llama2c.eos() == 2);
}

TEST_CASE("tokenizer: begin and end come from the files beside it", "[io]") {
    temporary_directory const folder;
    auto file = tiny_bpe_tokenizer();
    file["post_processor"] = nullptr;
    write_file(folder.path() / "tokenizer.json", file.dump());
    auto const side = [&](std::string const& name, std::string const& text) {
        write_file(folder.path() / name, text);
        return tokenizer::open(folder.path());
    };
    CHECK_FALSE(tokenizer::open(folder.path()).bos().has_value());
    CHECK(side("config.json", R"({"bos_token_id":300,"eos_token_id":[302,301]})").eos() == 302);
    CHECK(side("generation_config.json", R"({"eos_token_id":5})").eos() == 5);
    auto const named = side("tokenizer_config.json", R"({"bos_token":null,"eos_token":{"content":"</s>"}})");
    CHECK(named.eos() == 301);
    CHECK(named.bos() == 300);
    write_file(folder.path() / "tokenizer_config.json", R"({"eos_token":"<end>"})");
    CHECK_THAT(words_of(folder.path()), Contains("eos_token is \"<end>\", which is no added token"));
    write_file(folder.path() / "tokenizer_config.json", R"({"eos_token":3})");
    CHECK_THAT(words_of(folder.path()), Contains("eos_token is 3, expected a token"));
    write_file(folder.path() / "tokenizer_config.json", R"({"eos_token_id":303})");
    CHECK_THAT(words_of(folder.path()), Contains("eos_token_id is 303, expected an id below 303"));
    write_file(folder.path() / "tokenizer_config.json", R"({"eos_token_id":-1})");
    CHECK_THAT(words_of(folder.path()), Contains("eos_token_id is -1"));
    write_file(folder.path() / "tokenizer_config.json", R"({"eos_token_id":[]})");
    CHECK_THAT(words_of(folder.path()), Contains("eos_token_id is []"));
}

TEST_CASE("tokenizer: one that belongs to another model is refused", "[io][refuse]") {
    temporary_directory const folder;
    write_file(folder.path() / "tokenizer.json", tiny_bpe_tokenizer().dump());
    write_file(folder.path() / "tok.bin", tiny_llama2c_tokenizer());
    auto const words = [&](std::string const& name, std::size_t size) {
        auto const tokens = tokenizer::open(folder.path() / name);
        return refusal([&] { tokens.require_vocabulary(size); });
    };
    CHECK(words("tok.bin", 266).empty());
    CHECK_THAT(words("tok.bin", 267), Contains("has 266 tokens, expected 267 as the model has"));
    CHECK_THAT(words("tok.bin", 265), Contains("has 266 tokens, expected 265"));
    CHECK(words("tokenizer.json", 303).empty());
    CHECK(words("tokenizer.json", 312).empty());  // 9 rows of padding of 312
    CHECK_THAT(words("tokenizer.json", 313),
               Contains("has 303 tokens, expected 313 as the model has (up to 9 fewer)"));
    CHECK_THAT(words("tokenizer.json", 302), Contains("has 303 tokens, expected 302"));
    CHECK_THAT(words("tokenizer.json", 32000), Contains("has 303 tokens, expected 32000"));
}

TEST_CASE("tokenizer: a folder or file without one is refused, and one is found beside a model",
          "[io][refuse]") {
    temporary_directory const folder;
    CHECK_THAT(words_of(folder.path()), Contains("has neither tokenizer.json nor tokenizer.bin"));
    CHECK_THAT(words_of(folder.path() / "tokenizer.json"), Contains("cannot be opened"));
    CHECK_FALSE(find_tokenizer(folder.path(), 512).has_value());
    write_file(folder.path() / "tokenizer.bin", tiny_llama2c_tokenizer());
    CHECK(find_tokenizer(folder.path(), 512) == folder.path() / "tokenizer.bin");
    CHECK(tokenizer::open(folder.path()).vocab_size() == 266);
    write_file(folder.path() / "tok512.bin", "");
    CHECK(find_tokenizer(folder.path(), 512) == folder.path() / "tok512.bin");
    CHECK(find_tokenizer(folder.path(), 511) == folder.path() / "tokenizer.bin");
}

TEST_CASE("tokenizer: token files made by Hugging Face tokenizers are reproduced from their text",
          "[io][data]") {
    auto const model = find_test_data("models/docs-llama-11m");
    auto const texts = find_test_data("text");
    if (model.empty() || texts.empty()) {
        WARN("skipped: models/docs-llama-11m or text is not there");
        return;
    }
    auto const tokens = tokenizer::open(model);
    REQUIRE(tokens.bos() == 1);
    REQUIRE(tokens.eos() == 2);
    tokens.require_vocabulary(4096);
    for (std::string const part : {"eval", "calib"}) {
        ids stream;
        for (auto const& document : read_corpus(texts / ("docs_" + part + ".txt"))) {
            auto const piece = tokens.encode(document);
            CHECK(tokens.decode(piece) == document);
            stream.insert(stream.end(), piece.begin(), piece.end());
            stream.push_back(*tokens.eos());
        }
        auto const expected = read_tokens(model / ("tokens_" + part + ".safetensors"), 4096);
        REQUIRE(expected.n_windows == 128);
        REQUIRE(expected.length == 512);
        auto windows = cut_windows(stream, 512, *tokens.bos());
        REQUIRE(windows.n_windows >= 128);
        windows.ids.resize(expected.ids.size());
        CHECK((windows.ids == expected.ids));
    }
}
