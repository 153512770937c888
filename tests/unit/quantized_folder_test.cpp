// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <commutant/recipes/quantized_folder.hpp>

#include <catch2/catch.hpp>

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include <commutant/merge/plan.hpp>
#include <commutant/merge/rope_pairing.hpp>
#include <commutant/model/random_decoder.hpp>
#include <commutant/readings/eigen_matrix.hpp>
#include <commutant/recipes/fptquant.hpp>
#include <commutant/recipes/hadamard.hpp>
#include <commutant/recipes/merged_folder.hpp>
#include <commutant/recipes/part_of_plan.hpp>
#include <commutant/recipes/random.hpp>

namespace cm = commutant;
namespace fs = std::filesystem;
using float64 = cm::eigen_matrix<double>;
using float32 = cm::eigen_matrix<float>;

namespace {

/// A folder that goes away with the object.
class scratch_folder {
public:
    scratch_folder() {
        std::string pattern = (fs::temp_directory_path() / "commutant_folder_XXXXXX").string();
        if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
        path_ = pattern;
    }
    scratch_folder(scratch_folder const&) = delete;
    scratch_folder& operator=(scratch_folder const&) = delete;
    ~scratch_folder() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    [[nodiscard]] fs::path make(std::string const& name) const {
        fs::create_directory(path_ / name);
        return path_ / name;
    }

private:
    fs::path path_;
};

std::string const config_text =
    "{ \"model_type\": \"llama\",\n  \"hidden_size\": 16, \"intermediate_size\": 24,\n  "
    "\"num_hidden_layers\": 2,\n"
    "  \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"head_dim\": 4, \"vocab_size\": 13,\n"
    "  \"max_position_embeddings\": 32, \"attention_bias\": true, \"mlp_bias\": true, \"rms_norm_eps\": "
    "1e-5,\n"
    "  \"tie_word_embeddings\": true, \"torch_dtype\": \"float32\", \"unknown_key\":   [1,  2] }\n";

std::vector<int> const window{1, 4, 9, 12, 2, 7, 7, 0};

/// Writes a small random checkpoint and opens it.
cm::io::checkpoint make_checkpoint(fs::path const& folder, cm::io::dtype type = cm::io::dtype::f32) {
    cm::io::write_text(folder / "config.json", config_text);
    cm::io::write_text(folder / "tokenizer.json", "{}");
    cm::model_config const c = cm::io::parse_hf_config(config_text, "config");
    cm::random_source random(6);
    cm::parameter_source<double> source(random);
    auto const m = cm::random_decoder<float64>(c, source);
    std::vector<cm::io::tensor_declaration> declared;
    for (auto const& t : cm::io::decoder_tensors(c)) declared.push_back({t.name, type, t.shape});
    cm::io::sharded_writer writer(folder, declared);
    cm::visit_tensors(m, [&](std::string const& name, float64 const& w) {
        if (w.size() != 0) writer.write(name, std::span<double const>(w.data(), w.size()));
    });
    writer.commit();
    return cm::io::checkpoint::open(folder);
}

cm::plan_transforms<cm::fptquant_plan, float64> random_transforms(cm::model_config const& c) {
    cm::random_source random(9);
    return cm::prepare_random<cm::fptquant_plan, float64>(c, random).transforms;
}

template <class M> double relative_deviation(cm::decoder<M> const& m, cm::decoder<float64> const& reference) {
    float64 const expected = cm::runner<float64>(reference).logits(window);
    M const z = cm::runner<M>(m).logits(window);
    return (z.values.template cast<double>() - expected.values).cwiseAbs().maxCoeff() /
           expected.values.cwiseAbs().maxCoeff();
}

std::string text_of(fs::path const& path) { return cm::io::read_text(path, 1'000'000); }

void replace_text(fs::path const& path, std::string const& from, std::string const& to) {
    std::string text = text_of(path);
    auto const at = text.find(from);
    REQUIRE(at != std::string::npos);
    text.replace(at, from.size(), to);
    std::ofstream(path) << text;
}

/// A quantised decoder with everything that a folder can say: T_d and S_n online, static grids.
cm::quantized_decoder<float32> make_quantized(cm::io::checkpoint const& source, bool grouped) {
    auto m = cm::load_decoder<float64>(source);
    cm::fold_plan(random_transforms(m.config), m);
    cm::quantization_settings s = cm::with_bits({}, {4, 8, 3});
    s.covers = cm::coverage::all_but_residual;
    if (grouped) s.weights.scope = cm::granularity::per_group, s.weights.group_size = 8;
    return cm::quantize_decoder(cm::converted<float32>(m), {{1, 2, 3, 4}, {1, 12, 11}}, s);
}

}  // namespace

TEST_CASE("write_merged_folder: a plain checkpoint with the original's function", "[recipes][folder]") {
    scratch_folder const scratch;
    auto const source = make_checkpoint(scratch.make("original"));
    auto const original = cm::load_decoder<float64>(source);
    auto merged = original;
    using mergeable = cm::mergeable_plan<cm::fptquant_plan>;
    cm::fold_plan(cm::part_of<mergeable>(random_transforms(original.config)), merged);
    fs::path const folder = scratch.make("merged");
    auto const report = cm::write_merged_folder(folder, merged, source);

    auto const back = cm::io::checkpoint::open(folder);
    CHECK_FALSE(back.config().tied_head);
    CHECK(report.values > 0);
    auto const read = cm::load_decoder<float64>(back);
    CHECK(read.layers[1].attention_norm.values.isOnes());
    CHECK_FALSE(read.embedding.values.isApprox(original.embedding.values));
    // Float32 storage of about 60 layers of weights: some ulp of 6e-8 each.
    CHECK(relative_deviation(read, original) < 1e-5);
    CHECK(relative_deviation(cm::rounded_to_storage(merged, source), read) == 0.0);

    std::string expected = config_text;
    auto const at = expected.find("\"tie_word_embeddings\": true");
    expected.replace(at + 23, 4, "false");
    CHECK(text_of(folder / "config.json") == expected);
    CHECK(cm::side_files(source) == std::vector<fs::path>{source.directory() / "tokenizer.json"});
}

TEST_CASE("write_merged_folder: the storage type is the original's unless asked for another",
          "[recipes][folder]") {
    scratch_folder const scratch;
    auto const source = make_checkpoint(scratch.make("original"), cm::io::dtype::bf16);
    auto m = cm::load_decoder<float64>(source);
    fs::path const same = scratch.make("same"), wider = scratch.make("wider");
    cm::write_merged_folder(same, m, source);
    CHECK(text_of(same / "config.json") == config_text);  // nothing was merged, so nothing is said
    auto const unchanged = cm::io::checkpoint::open(same);
    CHECK(unchanged.storage_type("model.norm.weight") == cm::io::dtype::bf16);
    CHECK(relative_deviation(cm::load_decoder<float64>(unchanged), m) == 0.0);

    cm::fold_plan(cm::part_of<cm::only_sites<cm::fptquant_plan, cm::sites::residual_stream>>(
                      random_transforms(m.config)),
                  m);
    cm::write_merged_folder(wider, m, source, cm::io::dtype::f16);
    auto const halves = cm::io::checkpoint::open(wider);
    for (auto const& name : halves.names()) CHECK(halves.storage_type(name) == cm::io::dtype::f16);
    CHECK(text_of(wider / "config.json").find("\"torch_dtype\": \"float16\"") != std::string::npos);
    CHECK(relative_deviation(cm::load_decoder<float64>(halves),
                             cm::rounded_to_storage(m, source, cm::io::dtype::f16)) == 0.0);
    CHECK(relative_deviation(cm::rounded_to_storage(m, source), m) > 1e-4);  // bfloat16 has 8 bits
}

TEST_CASE("write_merged_folder: what a plain checkpoint cannot say is refused", "[recipes][folder]") {
    scratch_folder const scratch;
    auto const source = make_checkpoint(scratch.make("original"));
    auto const transforms = random_transforms(source.config());
    for (int const which : {0, 1}) {
        auto m = cm::load_decoder<float64>(source);
        if (which == 0)
            cm::fold_plan(cm::part_of<cm::only_sites<cm::fptquant_plan, cm::sites::down_input>>(transforms),
                          m);
        else
            cm::fold_plan(cm::part_of<cm::only_sites<cm::fptquant_plan, cm::sites::token_scale>>(transforms),
                          m);
        fs::path const folder = scratch.make("refused" + std::to_string(which));
        CHECK_THROWS_WITH(cm::write_merged_folder(folder, m, source),
                          Catch::Contains("has online transforms, which a plain checkpoint cannot carry"));
        CHECK(fs::is_empty(folder));
    }
    auto m = cm::load_decoder<float64>(source);
    cm::change_pairing_in_place(m, cm::pairing::interleaved);
    CHECK_THROWS_WITH(cm::write_merged_folder(scratch.make("interleaved"), m, source),
                      Catch::Contains("RoPE pairs neighbours, expected half_split"));
}

TEST_CASE("read_quantized_folder: what was written, bit for bit", "[recipes][folder]") {
    scratch_folder const scratch;
    auto const source = make_checkpoint(scratch.make("original"));
    for (bool const grouped : {false, true}) {
        auto const q = make_quantized(source, grouped);
        fs::path const folder = scratch.make(grouped ? "grouped" : "rows");
        CHECK_FALSE(cm::is_quantized_folder(folder));
        cm::write_quantized_folder(folder, q, cm::merged_config_text(q.model.config, source));
        REQUIRE(cm::is_quantized_folder(folder));
        CHECK_FALSE(cm::is_quantized_folder(source.path()));

        auto const read = cm::read_quantized_folder<float32>(folder);
        CHECK(read.settings == q.settings);
        CHECK(read.grids == q.grids);
        CHECK(read.weight_grids == q.weight_grids);
        CHECK(read.model.online.token_scale);
        REQUIRE(read.model.online.down_input);
        CHECK(read.model.online.down_input->block() == q.model.online.down_input->block());
        auto tap = q.tap(), read_tap = read.tap();
        float32 const expected = cm::runner<float32>(q.model).logits(window, tap);
        float32 const found = cm::runner<float32>(read.model).logits(window, read_tap);
        CHECK(found.values == expected.values);

        auto const file = cm::io::safetensors_file::open(folder / "model.safetensors");
        auto const& codes = file.info("model.layers.1.mlp.up_proj.weight");
        CHECK(codes.type == cm::io::dtype::i8);
        CHECK(codes.shape == std::vector<std::size_t>{24, 16});
        CHECK(file.info("model.layers.1.mlp.up_proj.weight_scale").shape ==
              std::vector<std::size_t>{24, grouped ? 2U : 1U});
        CHECK(file.info("lm_head.weight").type == cm::io::dtype::f32);
    }
}

TEST_CASE("read_quantized_folder: unquantised weights and dynamic grids come back too", "[recipes][folder]") {
    scratch_folder const scratch;
    auto const source = make_checkpoint(scratch.make("original"));
    cm::quantization_settings s = cm::with_bits({}, {16, 8, 16});
    s.activations.timing = cm::grid_timing::dynamic_grid;
    auto const q = cm::quantize_decoder(cm::load_decoder<float32>(source), {}, s);
    fs::path const folder = scratch.make("float_weights");
    cm::write_quantized_folder(folder, q, config_text);
    auto const read = cm::read_quantized_folder<float32>(folder);
    CHECK(read.weight_grids.empty());
    CHECK(read.model.config.tied_head);
    auto tap = q.tap(), read_tap = read.tap();
    CHECK(cm::runner<float32>(read.model).logits(window, read_tap).values ==
          cm::runner<float32>(q.model).logits(window, tap).values);
}

TEST_CASE("write_quantized_folder: no other client takes it for a model it knows", "[recipes][folder]") {
    scratch_folder const scratch;
    auto const source = make_checkpoint(scratch.make("original"));
    auto const q = make_quantized(source, false);
    fs::path const folder = scratch.make("quantized");
    cm::write_quantized_folder(folder, q, cm::merged_config_text(q.model.config, source));
    CHECK_THROWS_WITH(
        cm::io::checkpoint::open(folder),
        Catch::Contains("model_type is 'commutant_llama', expected llama, mistral, qwen2 or qwen3"));
    auto const config = nlohmann::json::parse(text_of(folder / "config.json"));
    CHECK(config.at("architectures") == nlohmann::json{"CommutantForCausalLM"});
    CHECK(config.at("unknown_key") == nlohmann::json{1, 2});

    auto interleaved = q;
    interleaved.model.config.rope_pairing = cm::pairing::interleaved;
    CHECK_THROWS_WITH(cm::write_quantized_folder(scratch.make("a"), interleaved, config_text),
                      Catch::Contains("RoPE pairs neighbours, expected half_split"));
    auto asymmetric = q;
    asymmetric.settings.weights.symmetric = false;
    CHECK_THROWS_WITH(cm::write_quantized_folder(scratch.make("b"), asymmetric, config_text),
                      Catch::Contains("weights are asymmetric, expected symmetric ones"));
}

TEST_CASE("read_quantized_folder: a folder that lies is refused, naming the key or the tensor",
          "[recipes][folder]") {
    scratch_folder const scratch;
    auto const source = make_checkpoint(scratch.make("original"));
    auto const q = make_quantized(source, false);
    fs::path const good = scratch.make("good");
    cm::write_quantized_folder(good, q, cm::merged_config_text(q.model.config, source));
    int count = 0;
    auto const refuses = [&](std::string const& from, std::string const& to, std::string const& words) {
        fs::path const folder = scratch.make("bad" + std::to_string(count++));
        fs::copy(good, folder, fs::copy_options::overwrite_existing | fs::copy_options::recursive);
        replace_text(folder / "config.json", from, to);
        CAPTURE(from, to);
        CHECK_THROWS_WITH(cm::read_quantized_folder<float32>(folder), Catch::Contains(words));
        CHECK_THROWS_AS(cm::read_quantized_folder<float32>(folder), cm::io::input_error);
    };
    refuses("\"format\": 1", "\"format\": 2", "commutant: format is 2, expected 1");
    refuses("\"commutant_llama\"", "\"commutant_qwen2\"", "model_type does not match that of the file");
    refuses("\"all_but_residual\"", "\"everything\"", "got \"everything\", expected linears_kv");
    refuses("\"num_bits\": 4", "\"num_bits\": 9", "num_bits is 9, expected 2 to 8, or 16");
    refuses("\"num_bits\": 4", "\"num_bits\": 3", "expected -4 to 3");
    refuses("\"block_hadamard\"", "\"butterfly\"", "type is 'butterfly', expected 'block_hadamard'");
    refuses("\"block\": 8", "\"block\": 5", "the block 5 does not divide the 24 features");
    refuses("\"token_scale\": true", "\"token_scale\": 1", "token_scale is 1, expected true or false");
    refuses("\"zero_point\": ", "\"zero_point\": 1000, \"was\": ", "has zero_point 1000");
    refuses("\"location\": \"attention_input\"", "\"location\": \"ffn_input\"",
            "expected the grid of layer 0, attention_input");
    refuses("\"scale\": ", "\"scale\": -", "expected a positive normal number");
    refuses("\"grids\": [", "\"other\": [", "grids is missing, expected an array");
    refuses("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3",
            "expected the grid of layer 2, attention_input");
    refuses("\"hidden_size\": 16", "\"hidden_size\": 20", "expected F32 [13,20]");

    // What the weights file may get wrong.
    auto const refuses_weights = [&](std::function<void(cm::quantized_decoder<float32>&)> const& spoil,
                                     std::string const& words) {
        auto spoilt = q;
        spoil(spoilt);
        fs::path const folder = scratch.make("bad" + std::to_string(count++));
        cm::write_quantized_folder(folder, spoilt, cm::merged_config_text(q.model.config, source));
        fs::copy(good / "config.json", folder / "config.json", fs::copy_options::overwrite_existing);
        CHECK_THROWS_WITH(cm::read_quantized_folder<float32>(folder), Catch::Contains(words));
    };
    auto& linear = "model.layers.0.mlp.up_proj";
    refuses_weights([&](auto& s) { s.weight_grids.at(linear)[3].scale = 0; },
                    "'model.layers.0.mlp.up_proj.weight_scale' element 3: grid: scale is 0.0");
    refuses_weights(
        [&](auto& s) {
            s.model.config.mlp_bias = false;
            for (auto& l : s.model.layers) l.gate_proj.bias = l.up_proj.bias = l.down_proj.bias = float32{};
        },
        "has no tensor 'model.layers.0.mlp.gate_proj.bias'");
    refuses_weights([&](auto& s) { s.model.layers[1].ffn_norm = float32(1, 16); },
                    "holds a norm gain other than 1, expected folded gains under token_scale");
    refuses_weights([&](auto& s) { s.settings.weights.num_bits = 16; },
                    "'model.layers.0.self_attn.q_proj.weight' is F32 [16,16], expected I8 [16,16]");
    fs::remove(good / "model.safetensors");
    CHECK_THROWS_AS(cm::read_quantized_folder<float32>(good), cm::io::input_error);
}
