// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <commutant/io/checkpoint.hpp>

#include <algorithm>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include <commutant/io/sharded_writer.hpp>

#include "support/test_data.hpp"
#include "unit/io_support.hpp"

using namespace commutant;
using namespace commutant::io;
using namespace commutant::testing;
using Catch::Matchers::Contains;

namespace {

using declarations = std::vector<tensor_declaration>;

/// Every element of a tensor of a tiny model is this number; it tells tensors apart.
float value_of(std::string const& name) {
    return static_cast<float>(std::hash<std::string>{}(name) % 1000) / 8;
}

/// A tiny model folder; `edit` may change what is declared, `value` what is stored.
void write_model(std::filesystem::path const& folder, nlohmann::json const& config, dtype type = dtype::f32,
                 std::function<void(declarations&)> const& edit = {}, std::size_t shard_limit = 1'000'000,
                 std::function<float(std::string const&)> const& value = value_of) {
    declarations tensors;
    for (auto const& tensor : decoder_tensors(parse_hf_config(config.dump(), "config.json")))
        tensors.push_back({tensor.name, type, tensor.shape});
    if (edit) edit(tensors);
    write_file(folder / "config.json", config.dump(1));
    sharded_writer writer(folder, tensors, shard_limit);
    for (auto const& tensor : tensors) {
        std::size_t count = 1;
        for (auto const extent : tensor.shape) count *= extent;
        if (is_weight_dtype(tensor.type)) {
            std::vector<float> const values(count, value(tensor.name));
            writer.write(tensor.name, std::span<float const>(values));
        } else {
            std::vector<std::int8_t> const values(count, 1);
            writer.write(tensor.name, std::span<std::int8_t const>(values));
        }
    }
    writer.commit();
}

std::string words_of(std::filesystem::path const& path) {
    return refusal([&] { static_cast<void>(checkpoint::open(path)); });
}

nlohmann::json config_with(std::string const& key, nlohmann::json const& value) {
    auto config = tiny_llama_config();
    config[key] = value;
    return config;
}

}  // namespace

TEST_CASE("checkpoint: a folder gives its tensors in the order of the forward pass", "[io]") {
    temporary_directory const folder;
    write_model(folder.path(), tiny_llama_config(), dtype::bf16);
    auto const model = checkpoint::open(folder.path());
    CHECK(model.is_folder());
    CHECK(model.directory() == folder.path());
    CHECK(model.config_text() == tiny_llama_config().dump(1));
    CHECK(model.config().model_dim == 12);
    REQUIRE(model.names().size() == 3 + 2 * 9);
    CHECK(model.names().front() == "model.embed_tokens.weight");
    CHECK(model.names()[2] == "model.layers.0.self_attn.q_proj.weight");
    CHECK(model.names().back() == "lm_head.weight");
    CHECK(model.shape("model.layers.1.self_attn.k_proj.weight") == std::vector<std::size_t>{12, 12});
    CHECK(model.shape("model.layers.1.self_attn.q_proj.weight") == std::vector<std::size_t>{24, 12});
    CHECK(model.shape("model.layers.1.self_attn.o_proj.weight") == std::vector<std::size_t>{12, 24});
    CHECK(model.shape("model.layers.1.mlp.down_proj.weight") == std::vector<std::size_t>{12, 20});
    CHECK(model.storage_type("lm_head.weight") == dtype::bf16);
    for (auto const& name : model.names()) {
        std::vector<double> values(model.size(name));
        model.read(name, std::span<double>(values));
        double const expected = decode_bf16(encode_bf16(value_of(name)));
        CHECK(std::all_of(values.begin(), values.end(), [&](double x) { return x == expected; }));
    }
    std::vector<float> small(1);
    CHECK_THROWS_AS(model.read("lm_head.weight", std::span<float>(small)), std::invalid_argument);
    CHECK_THAT(refusal([&] { static_cast<void>(model.shape("x")); }), Contains("has no tensor 'x'"));
}

TEST_CASE("checkpoint: biases and q/k norms are asked for where the type has them", "[io]") {
    for (std::string const type : {"llama", "mistral", "qwen2", "qwen3"}) {
        temporary_directory const folder;
        auto config = config_with("model_type", type);
        if (type == "llama") config["attention_bias"] = config["mlp_bias"] = true;
        write_model(folder.path(), config);
        auto const model = checkpoint::open(folder.path());
        INFO(type);
        std::string const layer = "model.layers.1.";
        CHECK(model.contains(layer + "self_attn.q_proj.bias") == (type == "llama" || type == "qwen2"));
        CHECK(model.contains(layer + "self_attn.o_proj.bias") == (type == "llama"));
        CHECK(model.contains(layer + "mlp.down_proj.bias") == (type == "llama"));
        CHECK(model.contains(layer + "self_attn.k_norm.weight") == (type == "qwen3"));
        if (type == "qwen3")
            CHECK(model.shape(layer + "self_attn.q_norm.weight") == std::vector<std::size_t>{6});
    }
}

TEST_CASE("checkpoint: shards make one model", "[io]") {
    temporary_directory const folder;
    write_model(folder.path(), tiny_llama_config(), dtype::f32, {}, 2000);
    REQUIRE(folder.count() > 4);
    auto const model = checkpoint::open(folder.path());
    for (auto const& name : model.names()) {
        std::vector<float> values(model.size(name));
        model.read(name, std::span<float>(values));
        CHECK(values.back() == value_of(name));
    }
}

TEST_CASE("checkpoint: an index that does not agree with its shards is refused", "[io][refuse]") {
    temporary_directory const folder;
    write_model(folder.path(), tiny_llama_config(), dtype::f32, {}, 6000);
    auto const index_path = folder.path() / "model.safetensors.index.json";
    auto const index = nlohmann::json::parse(read_file(index_path));
    std::string const first = index["weight_map"]["model.embed_tokens.weight"];
    std::string const last = index["weight_map"]["lm_head.weight"];
    REQUIRE(first != last);
    auto const words = [&](std::function<void(nlohmann::json&)> const& edit) {
        auto changed = index;
        edit(changed);
        write_file(index_path, changed.dump());
        return words_of(folder.path());
    };
    CHECK(words([](nlohmann::json&) {}).empty());
    CHECK_THAT(words([](nlohmann::json& j) { j.erase("weight_map"); }), Contains("has no weight_map object"));
    CHECK_THAT(words([](nlohmann::json& j) { j["weight_map"] = nlohmann::json::object(); }),
               Contains("maps no tensor"));
    CHECK_THAT(words([](nlohmann::json& j) { j = 3; }), Contains("has no weight_map object"));
    CHECK_THAT(words([](nlohmann::json& j) { j["weight_map"]["lm_head.weight"] = 1; }),
               Contains("maps 'lm_head.weight' to 1"));
    for (std::string const path : {"../model.safetensors", "/etc/passwd", "..", ""})
        CHECK_THAT(words([&](nlohmann::json& j) { j["weight_map"]["lm_head.weight"] = path; }),
                   Contains("expected the name of a file in the same folder"));
    CHECK_THAT(words([](nlohmann::json& j) { j["weight_map"]["lm_head.weight"] = "none"; }),
               Contains("none: cannot be opened"));
    CHECK_THAT(words([&](nlohmann::json& j) { j["weight_map"]["lm_head.weight"] = first; }),
               Contains("maps 'lm_head.weight' to '" + first + "', which does not hold it"));
    CHECK_THAT(words([&](nlohmann::json& j) { j["weight_map"]["x"] = first; }), Contains("maps 'x'"));
    CHECK_THAT(words([](nlohmann::json& j) { j["weight_map"].erase("lm_head.weight"); }),
               Contains("does not map 'lm_head.weight'"));
    std::filesystem::copy_file(folder.path() / first, folder.path() / "copy");
    CHECK_THAT(words([](nlohmann::json& j) { j["weight_map"]["model.embed_tokens.weight"] = "copy"; }),
               Contains("as an earlier shard does"));
}

TEST_CASE("checkpoint: a tensor that is missing, too many, misshapen or of another type is refused",
          "[io][refuse]") {
    auto const words = [](std::function<void(declarations&)> const& edit,
                          nlohmann::json const& config = tiny_llama_config()) {
        temporary_directory const folder;
        write_model(folder.path(), config, dtype::f32, edit);
        return words_of(folder.path());
    };
    CHECK(words([](declarations&) {}).empty());
    CHECK_THAT(words([](declarations& all) { all.erase(all.begin() + 4); }),
               Contains("has no tensor 'model.layers.0.self_attn.v_proj.weight', expected shape [12,12]"));
    CHECK_THAT(
        words([](declarations& all) {
            all[2].shape = {12, 24};
        }),
        Contains("tensor 'model.layers.0.self_attn.q_proj.weight' has shape [12,24], expected [24,12]"));
    CHECK_THAT(words([](declarations& all) { all.back().shape = {132}; }),
               Contains("has shape [132], expected [11,12]"));
    CHECK_THAT(words([](declarations& all) { all[3].type = dtype::i8; }),
               Contains("is I8, expected F16, BF16, F32 or F64"));
    CHECK_THAT(words([](declarations& all) {
                   all.push_back({"model.layers.0.self_attn.q_proj.bias", dtype::f32, {24}});
               }),
               Contains("holds tensor 'model.layers.0.self_attn.q_proj.bias', which the model type"));
    CHECK_THAT(words([](declarations& all) {
                   all.push_back({"model.layers.2.input_layernorm.weight", dtype::f32, {12}});
               }),
               Contains("holds tensor 'model.layers.2."));
    CHECK(words([](declarations& all) {
              all.push_back({"model.layers.0.self_attn.rotary_emb.inv_freq", dtype::f32, {3}});
              all.push_back({"model.rotary_emb.inv_freq", dtype::f32, {3}});
          }).empty());
}

TEST_CASE("checkpoint: a tied head may be stored if it repeats the embedding", "[io][refuse]") {
    auto const tied = config_with("tie_word_embeddings", true);
    auto const add_head = [](declarations& all) { all.push_back({"lm_head.weight", dtype::f32, {11, 12}}); };
    {
        temporary_directory const folder;
        write_model(folder.path(), tied);
        CHECK_FALSE(checkpoint::open(folder.path()).contains("lm_head.weight"));
    }
    {
        temporary_directory const folder;
        write_model(folder.path(), tied, dtype::f32, add_head, 1'000'000,
                    [](std::string const&) { return 1.5f; });
        auto const model = checkpoint::open(folder.path());
        CHECK_FALSE(model.contains("lm_head.weight"));
        CHECK(model.names().back() == "model.norm.weight");
    }
    temporary_directory const folder;
    write_model(folder.path(), tied, dtype::f32, add_head);
    CHECK_THAT(words_of(folder.path()),
               Contains("ties the head to the embedding but holds a different lm_head.weight"));
}

TEST_CASE("checkpoint: NaN and infinite weights are refused when read", "[io][refuse]") {
    temporary_directory const folder;
    write_model(folder.path(), tiny_llama_config(), dtype::f32);
    auto const path = folder.path() / "model.safetensors";
    auto bytes = read_file(path);
    auto const parsed = parse_safetensors(as_bytes(bytes), "m");
    for (auto const& [name, info] : parsed.tensors) {
        if (name != "model.norm.weight" && name != "lm_head.weight") continue;
        float const bad = name == "lm_head.weight" ? std::numeric_limits<float>::quiet_NaN()
                                                   : -std::numeric_limits<float>::infinity();
        bytes.replace(parsed.data_begin + info.begin + 4 * 3, 4, bytes_of(bad));
    }
    write_file(path, bytes);
    auto const model = checkpoint::open(folder.path());
    std::vector<float> norm(12);
    std::vector<double> head(11 * 12);
    CHECK_THAT(refusal([&] { model.read("model.norm.weight", std::span<float>(norm)); }),
               Contains("tensor 'model.norm.weight' is infinite at element 3, expected finite weights"));
    CHECK_THAT(refusal([&] { model.read("lm_head.weight", std::span<double>(head)); }),
               Contains("is NaN at element 3"));
    std::vector<double> two(2);
    std::vector<std::size_t> const rows{0, 1}, column{3};
    CHECK_THAT(refusal([&] { model.read("lm_head.weight", rows, column, std::span<double>(two)); }),
               Contains("is NaN at element 3"));
    model.read("lm_head.weight", rows, std::vector<std::size_t>{2}, std::span<double>(two));
}

TEST_CASE("checkpoint: a float64 weight past the range of float is refused as float only", "[io][refuse]") {
    temporary_directory const folder;
    write_model(folder.path(), tiny_llama_config(), dtype::f64, {});
    auto bytes = read_file(folder.path() / "model.safetensors");
    bytes.replace(bytes.size() - 8, 8, bytes_of(1e300));
    write_file(folder.path() / "model.safetensors", bytes);
    auto const model = checkpoint::open(folder.path());
    auto const parsed = parse_safetensors(as_bytes(bytes), "m");
    std::string const name = parsed.tensors.back().first;
    auto const& info = parsed.tensors.back().second;
    std::vector<float> floats(info.count);
    std::vector<double> doubles(info.count);
    CHECK_THAT(refusal([&] { model.read(name, std::span<float>(floats)); }),
               Contains("is infinite at element"));
    model.read(name, std::span<double>(doubles));
    CHECK(doubles.back() == 1e300);
}

TEST_CASE("checkpoint: what is no model is refused", "[io][refuse]") {
    temporary_directory const folder;
    CHECK_THAT(words_of(folder.path() / "none"),
               Contains("does not exist, expected a model folder or a .bin file"));
    CHECK_THAT(words_of(folder.path()), Contains("has no config.json, expected a Hugging Face model folder"));
    write_file(folder.path() / "config.json", tiny_llama_config().dump());
    CHECK_THAT(words_of(folder.path()),
               Contains("has neither model.safetensors nor model.safetensors.index.json"));
    CHECK_THAT(words_of(folder.path() / "config.json"),
               Contains("is one file of a model, expected its folder"));
    write_file(folder.path() / "text.txt", "just some text, long enough for a header of 28 bytes");
    CHECK_THAT(words_of(folder.path() / "text.txt"), Contains("text.txt: "));
    write_file(folder.path() / "config.json", std::string(16'000'001, ' '));
    CHECK_THAT(words_of(folder.path()), Contains("holds 16000001 bytes, expected at most 16000000"));
}

TEST_CASE("checkpoint: the llama2.c file and the folder made from it hold the same model", "[io][data]") {
    auto const folder = find_test_data("models/stories260K-hf");
    auto const file = find_test_data("models/stories260K/stories260K.bin");
    if (folder.empty() || file.empty()) {
        WARN("skipped: models/stories260K is not there");
        return;
    }
    auto const a = checkpoint::open(folder);
    auto const b = checkpoint::open(file);
    CHECK_FALSE(b.is_folder());
    CHECK(b.directory() == file.parent_path());
    CHECK(b.config_text().empty());
    CHECK(a.config().rope_pairing == pairing::half_split);
    CHECK(b.config().rope_pairing == pairing::interleaved);
    REQUIRE(a.names() == b.names());
    std::size_t const half = a.config().head_dim / 2;
    for (auto const& name : a.names()) {
        INFO(name);
        REQUIRE(a.shape(name) == b.shape(name));
        std::vector<float> x(a.size(name));
        std::vector<float> y(b.size(name));
        a.read(name, std::span<float>(x));
        b.read(name, std::span<float>(y));
        std::vector<std::size_t> const rows{0}, columns{5, 2};
        std::vector<float> few(2);
        for (auto const* model : {&a, &b}) {
            model->read(name, rows, columns, std::span<float>(few));
            auto const& whole = model == &a ? x : y;
            CHECK((few[0] == whole[5] && few[1] == whole[2]));
        }
        bool const rotated =
            name.find("q_proj") != std::string::npos || name.find("k_proj") != std::string::npos;
        std::size_t const width = a.shape(name).back();
        std::size_t differing = 0;
        for (std::size_t i = 0; i < x.size(); ++i) {
            std::size_t row = i / width;
            if (rotated) {  // half-split row i is interleaved row 2i, row i + half is 2i + 1
                std::size_t const in_head = row % (2 * half);
                row = row - in_head + (in_head < half ? 2 * in_head : 2 * (in_head - half) + 1);
            }
            differing += x[i] != y[row * width + i % width];
        }
        CHECK(differing == 0);
    }
}
