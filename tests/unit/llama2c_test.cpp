// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <commutant/io/llama2c.hpp>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "support/test_data.hpp"
#include "unit/io_support.hpp"

using namespace commutant;
using namespace commutant::io;
using namespace commutant::testing;
using Catch::Matchers::Contains;

namespace {

// dim 4, hidden 3, 2 layers, 2 heads, 1 kv head, vocabulary 5, 6 positions
using header_t = std::array<std::int32_t, 7>;
constexpr header_t sizes{4, 3, 2, 2, 1, 5, 6};

std::string ints(header_t const& header) {
    std::string out;
    for (auto const value : header) out += bytes_of(value);
    return out;
}

/// `count` floats that tell where they stand: first, first + 1, ...
std::string floats(int first, int count) {
    std::string out;
    for (int i = 0; i < count; ++i) out += bytes_of(static_cast<float>(first + i));
    return out;
}

/// A version 0 file; its floats count up from 0. 20 embedding, 8 norms, 32 q, 16 k, 16 v, 32 o, 8 norms, 24
/// gate, 24 down, 24 up, 4 final norm, 12 tables.
std::string v0(bool tied = true) {
    auto header = sizes;
    if (!tied) header[5] = -header[5];
    return ints(header) + floats(0, tied ? 220 : 240);
}

/// A 256-byte header of version 1 or 2.
std::string header(int version, bool tied, int group_size = 0) {
    std::string out =
        bytes_of(std::uint32_t{0x616b3432}) + bytes_of(version) + ints(sizes) + std::string(1, tied ? 1 : 0);
    if (version == 2) out += bytes_of(group_size);
    return out + std::string(256 - out.size(), '\0');
}

std::string v1(bool tied = true) { return header(1, tied) + floats(0, tied ? 208 : 228); }

/// int8 values counting up from `first`, then one scale per two values: 0.5, 1.0, 1.5, ...
std::string quantized(int first, int count) {
    std::string out;
    for (int i = 0; i < count; ++i) out += bytes_of(static_cast<std::int8_t>(first + i));
    for (int i = 0; i < count / 2; ++i) out += bytes_of(0.5f * static_cast<float>(i + 1));
    return out;
}

std::string v2() {
    std::string out = header(2, true, 2) + floats(0, 20) + quantized(-10, 20);
    for (int const count : {16, 16, 8, 8, 8, 8, 16, 16, 12, 12, 12, 12, 12, 12}) out += quantized(0, count);
    return out;
}

std::string words_of_model(std::string const& file) {
    return refusal([&] { static_cast<void>(parse_llama2c(as_bytes(file), "m.bin")); });
}

llama2c_file open_bytes(temporary_directory const& folder, std::string const& file) {
    write_file(folder.path() / "m.bin", file);
    return llama2c_file::open(folder.path() / "m.bin");
}

float first_value(llama2c_file const& file, std::string const& name) {
    std::vector<float> values(file.info(name).count);
    file.read(name, std::span<float>(values));
    return values.front();
}

}  // namespace

TEST_CASE("llama2c: version 0 puts its groups in the published order", "[io]") {
    temporary_directory const folder;
    auto const file = open_bytes(folder, v0());
    auto const& config = file.config();
    CHECK(file.version() == 0);
    CHECK(config.model_dim == 4);
    CHECK(config.ffn_dim == 3);
    CHECK(config.n_layers == 2);
    CHECK(config.n_heads == 2);
    CHECK(config.n_kv_heads == 1);
    CHECK(config.head_dim == 2);
    CHECK(config.rotary_dim == 2);
    CHECK(config.vocab_size == 5);
    CHECK(config.max_positions == 6);
    CHECK(config.tied_head);
    CHECK(config.rope_pairing == pairing::interleaved);
    CHECK(config.rms_norm_eps == 1e-5);
    CHECK(config.rope_theta == 10000.0);
    CHECK(first_value(file, "model.embed_tokens.weight") == 0);
    CHECK(first_value(file, "model.layers.0.input_layernorm.weight") == 20);
    CHECK(first_value(file, "model.layers.1.input_layernorm.weight") == 24);
    CHECK(first_value(file, "model.layers.0.self_attn.q_proj.weight") == 28);
    CHECK(first_value(file, "model.layers.1.self_attn.q_proj.weight") == 44);
    CHECK(first_value(file, "model.layers.0.self_attn.k_proj.weight") == 60);
    CHECK(first_value(file, "model.layers.1.self_attn.v_proj.weight") == 84);
    CHECK(first_value(file, "model.layers.0.self_attn.o_proj.weight") == 92);
    CHECK(first_value(file, "model.layers.0.post_attention_layernorm.weight") == 124);
    CHECK(first_value(file, "model.layers.0.mlp.gate_proj.weight") == 132);
    CHECK(first_value(file, "model.layers.0.mlp.down_proj.weight") == 156);
    CHECK(first_value(file, "model.layers.0.mlp.up_proj.weight") == 180);
    CHECK(first_value(file, "model.norm.weight") == 204);
    CHECK_FALSE(file.contains("lm_head.weight"));
    CHECK(file.info("model.layers.1.mlp.down_proj.weight").shape == std::vector<std::size_t>{4, 3});
    CHECK(file.info("model.layers.1.self_attn.k_proj.weight").shape == std::vector<std::size_t>{2, 4});
    CHECK(file.tensors().size() == 2 + 2 * 9);
}

TEST_CASE("llama2c: a negative vocabulary marks a head behind the tables", "[io]") {
    temporary_directory const folder;
    auto const file = open_bytes(folder, v0(false));
    CHECK_FALSE(file.config().tied_head);
    CHECK(file.config().vocab_size == 5);
    CHECK(first_value(file, "lm_head.weight") == 220);
}

TEST_CASE("llama2c: version 1 has its norms first and no tables", "[io]") {
    temporary_directory const folder;
    auto const file = open_bytes(folder, v1(false));
    CHECK(file.version() == 1);
    CHECK(first_value(file, "model.layers.1.input_layernorm.weight") == 4);
    CHECK(first_value(file, "model.layers.0.post_attention_layernorm.weight") == 8);
    CHECK(first_value(file, "model.norm.weight") == 16);
    CHECK(first_value(file, "model.embed_tokens.weight") == 20);
    CHECK(first_value(file, "model.layers.0.self_attn.q_proj.weight") == 40);
    CHECK(first_value(file, "model.layers.0.mlp.gate_proj.weight") == 136);
    CHECK(first_value(file, "model.layers.0.mlp.down_proj.weight") == 160);
    CHECK(first_value(file, "model.layers.0.mlp.up_proj.weight") == 184);
    CHECK(first_value(file, "lm_head.weight") == 208);
}

TEST_CASE("llama2c: version 2 multiplies every value by the scale of its group", "[io]") {
    temporary_directory const folder;
    auto const file = open_bytes(folder, v2());
    CHECK(file.version() == 2);
    CHECK(file.storage_type("model.norm.weight") == dtype::f32);
    CHECK(file.storage_type("model.embed_tokens.weight") == dtype::i8);
    CHECK(first_value(file, "model.norm.weight") == 16);
    std::vector<double> embedding(20);
    file.read("model.embed_tokens.weight", std::span<double>(embedding));
    for (int i = 0; i < 20; ++i)
        CHECK(embedding[static_cast<std::size_t>(i)] == (i - 10) * 0.5 * (i / 2 + 1));
    std::vector<float> up(12);
    file.read("model.layers.1.mlp.up_proj.weight", std::span<float>(up));
    CHECK(up[11] == 11 * 0.5f * 6);
    CHECK_THROWS_AS(file.read("model.norm.weight", std::span<float>(up)), std::invalid_argument);
    CHECK_THAT(refusal([&] { static_cast<void>(file.info("x")); }), Contains("has no tensor 'x'"));
}

TEST_CASE("llama2c: a header that does not fit the file is refused", "[io][refuse]") {
    CHECK(words_of_model(v0()).empty());
    for (auto const& whole : {v0(), v0(false), v1(), v2()}) {
        CHECK_THAT(words_of_model(whole + "x"), Contains("expected " + std::to_string(whole.size())));
        for (std::size_t size = 0; size < whole.size(); ++size)
            if (words_of_model(whole.substr(0, size)).empty())
                FAIL("accepted at " << size << " of " << whole.size());
    }
    auto const with = [](std::size_t i, std::int32_t value) {
        auto changed_sizes = sizes;
        changed_sizes[i] = value;
        return words_of_model(ints(changed_sizes) + floats(0, 220));
    };
    char const* const names[] = {"dim",        "hidden_dim", "n_layers", "n_heads",
                                 "n_kv_heads", "vocab_size", "seq_len"};
    for (std::size_t i = 0; i < 7; ++i) {
        CHECK_THAT(with(i, 0),
                   Contains(std::string("states ") + names[i] + " 0, expected a positive number"));
        if (i != 5) CHECK_THAT(with(i, -3), Contains(std::string("states ") + names[i] + " -3"));
    }
    CHECK_THAT(with(3, 3), Contains("states dim 4 and n_heads 3, expected a multiple"));
    CHECK_THAT(with(4, 3), Contains("n_heads 2 and n_kv_heads 3, expected a multiple"));
    CHECK_THAT(with(3, 4), Contains("heads of 1 features, expected an even number"));
    // Products that wrap around in 32 bits, and one that does in 64.
    CHECK_THAT(with(1, 1 << 30), Contains("is 908 bytes long, expected 103079"));
    constexpr std::int32_t most = 0x7ffffffe;
    CHECK_THAT(words_of_model(ints({most, most, most, 1, 1, most, most}) + floats(0, 220)),
               Contains("more than 2^64 bytes"));
    CHECK_THAT(words_of_model(ints({4, 3, 2, 2, 1, -2147483647 - 1, 6}) + floats(0, 220)),
               Contains("is 908 bytes long"));
}

TEST_CASE("llama2c: what a version 1 or 2 header may not say is refused", "[io][refuse]") {
    auto bad = v1();
    bad[4] = 3;
    CHECK_THAT(words_of_model(bad), Contains("of version 3, expected 0, 1 or 2"));
    bad = v1();
    bad[36] = 2;
    CHECK_THAT(words_of_model(bad), Contains("shared_classifier 2, expected 0 or 1"));
    bad = v2();
    bad[37] = 0;
    CHECK_THAT(words_of_model(bad), Contains("states group_size 0"));
    bad[37] = 3;
    CHECK_THAT(words_of_model(bad),
               Contains("has 20 weights in model.embed_tokens.weight, expected a multiple of group_size 3"));
}

TEST_CASE("llama2c: the quantised model equals the float file made from it", "[io][data]") {
    auto const quantised_path = find_test_data("models/stories3M/stories3M-q80.bin");
    auto const float_path = find_test_data("models/stories3M/stories3M-f32.bin");
    if (quantised_path.empty() || float_path.empty()) {
        WARN("skipped: models/stories3M is not there");
        return;
    }
    auto const quantised = llama2c_file::open(quantised_path);
    auto const plain = llama2c_file::open(float_path);
    REQUIRE(quantised.version() == 2);
    REQUIRE(plain.version() == 0);
    REQUIRE(plain.config().n_kv_heads == 2);
    for (auto const& tensor : plain.tensors()) {
        std::vector<float> a(tensor.count);
        std::vector<float> b(tensor.count);
        plain.read(tensor.name, std::span<float>(a));
        quantised.read(tensor.name, std::span<float>(b));
        INFO(tensor.name);
        CHECK((a == b));
    }
}
