// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <commutant/io/hf_config.hpp>

#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "support/test_data.hpp"
#include "unit/io_support.hpp"

using namespace commutant;
using namespace commutant::io;
using namespace commutant::testing;
using Catch::Matchers::Contains;
using nlohmann::json;

namespace {

model_config parse(json const& file) { return parse_hf_config(file.dump(), "config.json"); }

json changed(std::string const& key, json const& value, json file = tiny_llama_config()) {
    file[key] = value;
    return file;
}

json without(std::string const& key, json file = tiny_llama_config()) {
    file.erase(key);
    return file;
}

std::string words_of(json const& file) {
    return refusal([&] { static_cast<void>(parse(file)); });
}

/// The four sizes that no type has a default for.
json bare(std::string const& type) {
    return {{"model_type", type},     {"hidden_size", 4096},       {"intermediate_size", 64},
            {"num_hidden_layers", 3}, {"num_attention_heads", 32}, {"vocab_size", 100}};
}

}  // namespace

TEST_CASE("hf_config: the sizes of a file are read", "[io]") {
    auto const config = parse(tiny_llama_config());
    CHECK(config.family == model_family::llama);
    CHECK(config.n_layers == 2);
    CHECK(config.model_dim == 12);
    CHECK(config.ffn_dim == 20);
    CHECK(config.n_heads == 4);
    CHECK(config.n_kv_heads == 2);
    CHECK(config.n_rep() == 2);
    CHECK(config.head_dim == 6);
    CHECK(config.rotary_dim == 6);
    CHECK(config.vocab_size == 11);
    CHECK(config.max_positions == 64);
    CHECK(config.rms_norm_eps == 1e-5);
    CHECK(config.rope_theta == 10000.0);
    CHECK(config.scaling.method == rope_scaling::kind::none);
    CHECK(config.rope_pairing == pairing::half_split);
    CHECK_FALSE(config.tied_head);
    CHECK_FALSE((config.qkv_bias || config.o_bias || config.mlp_bias || config.qk_norm));
}

TEST_CASE("hf_config: defaults are those of transformers for each model type", "[io]") {
    auto const llama = parse(bare("llama"));
    CHECK(llama.n_kv_heads == 32);
    CHECK(llama.head_dim == 128);
    CHECK(llama.max_positions == 2048);
    CHECK(llama.rms_norm_eps == 1e-6);
    CHECK(llama.rope_theta == 10000.0);
    CHECK_FALSE(llama.tied_head);
    auto const mistral = parse(bare("mistral"));
    CHECK(mistral.n_kv_heads == 8);
    CHECK(mistral.max_positions ==
          4096);  // 131072, bounded by the window that is on unless the file says null
    CHECK(parse(changed("sliding_window", nullptr, bare("mistral"))).max_positions == 131072);
    CHECK(parse(changed("num_key_value_heads", nullptr, bare("mistral"))).n_kv_heads == 32);
    auto const qwen2 = parse(bare("qwen2"));
    CHECK(qwen2.n_kv_heads == 32);
    CHECK(qwen2.head_dim == 128);
    CHECK(qwen2.max_positions == 32768);
    CHECK((qwen2.qkv_bias && !qwen2.o_bias && !qwen2.mlp_bias && !qwen2.qk_norm));
    auto const qwen3 = parse(changed("num_attention_heads", 64, bare("qwen3")));
    CHECK(qwen3.head_dim == 128);
    CHECK(qwen3.n_kv_heads == 32);
    CHECK((qwen3.qk_norm && !qwen3.qkv_bias));
}

TEST_CASE("hf_config: biases follow the flags that the type has", "[io]") {
    auto const llama = parse(changed("mlp_bias", true, changed("attention_bias", true)));
    CHECK((llama.qkv_bias && llama.o_bias && llama.mlp_bias));
    auto const qwen3 = parse(changed("attention_bias", true, changed("model_type", "qwen3")));
    CHECK((qwen3.qkv_bias && qwen3.o_bias && !qwen3.mlp_bias));
    CHECK_THAT(words_of(changed("attention_bias", true, changed("model_type", "mistral"))),
               Contains("attention_bias is true"));
    CHECK_THAT(words_of(changed("mlp_bias", true, changed("model_type", "qwen2"))),
               Contains("mlp_bias is true"));
}

TEST_CASE("hf_config: RoPE is read from both generations of keys", "[io]") {
    auto const older = parse(changed("rope_scaling", {{"type", "linear"}, {"factor", 4.0}}));
    CHECK(older.scaling.method == rope_scaling::kind::linear);
    CHECK(older.scaling.factor == 4.0);
    CHECK(older.rope_theta == 10000.0);

    json newer = without("rope_theta");
    newer["rope_parameters"] = {
        {"rope_theta", 500000}, {"rope_type", "default"}, {"partial_rotary_factor", 0.7}};
    CHECK(parse(newer).rope_theta == 500000.0);
    CHECK(parse(newer).rotary_dim == 4);
    CHECK(parse(changed("partial_rotary_factor", 0.34)).rotary_dim == 2);

    auto const llama3 = parse(changed("rope_scaling", {{"rope_type", "llama3"},
                                                       {"factor", 8},
                                                       {"low_freq_factor", 1.0},
                                                       {"high_freq_factor", 4.0},
                                                       {"original_max_position_embeddings", 8192}}));
    CHECK(llama3.scaling.method == rope_scaling::kind::llama3);
    CHECK(llama3.scaling.factor == 8.0);
    CHECK(llama3.scaling.low_freq_factor == 1.0);
    CHECK(llama3.scaling.high_freq_factor == 4.0);
    CHECK(llama3.scaling.original_max_positions == 8192.0);

    auto const yarn = parse(changed(
        "rope_scaling", {{"rope_type", "yarn"}, {"factor", 4.0}, {"mscale", 0.7}, {"truncate", false}}));
    CHECK(yarn.scaling.method == rope_scaling::kind::yarn);
    CHECK(yarn.scaling.original_max_positions == 64.0);
    CHECK(yarn.scaling.beta_fast == 32.0);
    CHECK(yarn.scaling.beta_slow == 1.0);
    CHECK_FALSE(yarn.scaling.truncate);
    CHECK(yarn.scaling.mscale == 0.7);
    CHECK_FALSE(yarn.scaling.attention_factor.has_value());
    // The window bounds the positions, not the stretch.
    json windowed = changed("sliding_window", 16, changed("model_type", "mistral"));
    windowed["rope_scaling"] = {{"type", "yarn"}, {"original_max_position_embeddings", 8}};
    CHECK(parse(windowed).max_positions == 16);
    CHECK(parse(windowed).scaling.factor == 8.0);
}

TEST_CASE("hf_config: a sliding window bounds the positions where it is on", "[io]") {
    auto const qwen = [](json const& window, json const& use) {
        return parse(changed("sliding_window", window,
                             changed("use_sliding_window", use, changed("model_type", "qwen2"))))
            .max_positions;
    };
    CHECK(qwen(16, false) == 64);
    CHECK(qwen(16, true) == 16);
    CHECK(qwen(100, true) == 64);
    CHECK(qwen(nullptr, true) == 64);
    CHECK_THAT(words_of(changed("sliding_window", 16)),
               Contains("sliding_window is set, which model type 'llama'"));
    CHECK_THAT(words_of(changed("layer_types", {"full_attention", "chunked_attention"})),
               Contains("layer_types names \"chunked"));
    CHECK(words_of(changed("layer_types", {"full_attention", "full_attention"})).empty());
}

TEST_CASE("hf_config: each flaw is refused with the key, the value and what was expected", "[io][refuse]") {
    struct flaw {
        json file;
        std::string words;
    };
    auto const rope = [](json const& value) { return changed("rope_scaling", value); };
    std::vector<flaw> const flaws{
        {json::array(), "is not a JSON object"},
        {without("model_type"), "model_type is missing"},
        {changed("model_type", 3), "model_type is 3, expected a string"},
        {changed("model_type", "gemma2"), "model_type is 'gemma2', expected llama, mistral, qwen2 or qwen3"},
        {changed("hidden_act", "gelu"), "hidden_act is 'gelu', expected 'silu'"},
        {changed("hidden_activation", "relu"), "hidden_activation is 'relu'"},
        {without("hidden_size"), "hidden_size is missing"},
        {changed("hidden_size", 12.0), "hidden_size is 12.0, expected a whole number"},
        {changed("hidden_size", "12"), "hidden_size is \"12\""},
        {changed("hidden_size", -12), "hidden_size is -12"},
        {changed("hidden_size", 0), "hidden_size is 0, expected 1 to"},
        {changed("hidden_size", 1e30), "hidden_size is 1e+30"},
        {changed("vocab_size", 18446744073709551615ull), "vocab_size is 18446744073709551615, expected 1 to"},
        {changed("num_hidden_layers", 1000000000), "num_hidden_layers is 1000000000, expected 1 to"},
        {changed("num_key_value_heads", 3), "4 query heads and 3 key/value heads"},
        {changed("hidden_size", 13, without("head_dim")),
         "hidden_size 13 is not a multiple of num_attention_heads 4"},
        {changed("head_dim", 5), "rotates 5 features of a head of 5"},
        {changed("head_dim", 8388608), "has 4 heads of 8388608 features"},
        {changed("partial_rotary_factor", 0.1), "rotates 0 features"},
        {changed("partial_rotary_factor", 1.5), "partial_rotary_factor is above 1"},
        {changed("rms_norm_eps", 0), "rms_norm_eps is 0, expected a number above 0"},
        {changed("rms_norm_eps", 1.0), "expected below 1"},
        {changed("rms_norm_eps", "1e-5"), "rms_norm_eps is \"1e-5\", expected a finite number"},
        {changed("rope_theta", -1), "rope_theta is -1"},
        {changed("tie_word_embeddings", 1), "tie_word_embeddings is 1, expected true or false"},
        {changed("clip_qkv", 8.0), "clip_qkv is 8.0"},
        {changed("attn_logit_softcapping", 50.0), "attn_logit_softcapping is 50.0"},
        {changed("residual_multiplier", 0.22), "residual_multiplier is 0.22, expected 1"},
        {changed("num_local_experts", 8), "num_local_experts is 8"},
        {changed("text_config", json::object()), "nests its decoder under text_config"},
        {changed("quantization_config", {{"bits", 4}}), "the weights are packed already"},
        {rope("linear"), "rope_scaling is \"linear\", expected an object"},
        {rope({{"type", "linear"}}), "config.json, rope_scaling: factor is missing"},
        {rope({{"type", "linear"}, {"factor", 0.5}}), "factor is below 1"},
        {rope({{"type", "dynamic"}, {"factor", 2}}),
         "rope_type is 'dynamic', expected default, linear, llama3 or yarn"},
        {rope({{"type", "su"}}), "rope_type is 'su'"},
        {rope({{"type", "linear"}, {"rope_type", "yarn"}}), "rope_type is 'yarn' but type is 'linear'"},
        {rope({{"rope_type", "llama3"}, {"factor", 8}}), "low_freq_factor is missing"},
        {rope({{"rope_type", "llama3"},
               {"factor", 8},
               {"low_freq_factor", 4},
               {"high_freq_factor", 4},
               {"original_max_position_embeddings", 8}}),
         "high_freq_factor is not above"},
        {rope({{"rope_type", "yarn"}, {"factor", 2}, {"beta_fast", 1}, {"beta_slow", 2}}),
         "beta_fast is below beta_slow"},
        {rope({{"full_attention", {{"rope_theta", 1}}}}), "nests RoPE parameters by layer type"},
        {rope({{"rope_theta", 500000}}),
         "rope_theta is given twice with different values, 10000.0 and 500000"},
        {changed("rope_parameters", {{"rope_theta", 10000.0}}, rope({{"type", "default"}})),
         "has both rope_parameters and rope_scaling"},
    };
    for (auto const& one : flaws) {
        INFO(one.file.dump());
        auto const words = words_of(one.file);
        CHECK_THAT(words, Contains(one.words));
        CHECK(words.rfind("config.json", 0) == 0);
    }
    // Keys that are there but say what the plain block does are no flaw.
    CHECK(words_of(changed("clip_qkv", nullptr, changed("residual_multiplier", 1.0))).empty());
    CHECK(words_of(rope(nullptr)).empty());
    CHECK(words_of(rope({{"rope_theta", 10000.0}})).empty());
}

TEST_CASE("hf_config: real files are read", "[io][data]") {
    auto const path = find_test_data("models/docs-llama-11m/config.json");
    if (path.empty()) {
        WARN("skipped: models/docs-llama-11m is not there");
        return;
    }
    auto const config = read_hf_config(path);
    CHECK(config.model_dim == 384);
    CHECK(config.n_rep() == 3);
    CHECK(config.tied_head);
    CHECK(config.rms_norm_eps == 1e-5);
}
