// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <cmath>
#include <string>
#include <vector>

#include <commutant/version.hpp>

#include "small_models.hpp"

using namespace program_test;

namespace {

outcome succeeded(words const& arguments) {
    outcome r = run(arguments);
    CAPTURE(arguments, r.err);
    REQUIRE(r.code == 0);
    return r;
}

double nll_of(fs::path const& model, fs::path const& text) {
    return succeeded({"eval", model.string(), "--text", text.string(), "--json", "-"})
        .json()
        .at("nll_per_token")
        .get<double>();
}

}  // namespace

TEST_CASE("--version and --help", "[program]") {
    std::string const version = std::to_string(COMMUTANT_VERSION_MAJOR) + "." +
                                std::to_string(COMMUTANT_VERSION_MINOR) + "." +
                                std::to_string(COMMUTANT_VERSION_PATCH);
    CHECK(succeeded({"--version"}).out == "commutant " + version + "\n");
    std::string const help = succeeded({"--help"}).out;
    for (char const* command : {"inspect", "check", "eval", "quantize", "generate"}) {
        CHECK_THAT(help, Catch::Contains(command));
        CHECK_THAT(succeeded({command, "--help"}).out, Catch::Contains("--json"));
    }
}

TEST_CASE("inspect: geometry, tokenizer, and which transforms are exact", "[program]") {
    scratch_folder const scratch;
    auto const llama =
        succeeded({"inspect", make_folder_model(scratch / "llama").string(), "--json", "-"}).json();
    CHECK(llama.at("geometry").at("model_dim") == 16);
    CHECK(llama.at("geometry").at("n_rep") == 2);
    CHECK(llama.at("geometry").at("tied_head") == true);
    CHECK(llama.at("tensors").at("types") == nlohmann::json{{"F32", 20}});
    CHECK(llama.at("tokenizer").at("vocab_size") == 300);
    CHECK(llama.at("hadamard").at("ffn_dim").at("core") == 12);
    CHECK(llama.at("hadamard").at("ffn_dim").at("block") == 8);
    REQUIRE(llama.at("transforms").size() == 6);
    for (auto const& t : llama.at("transforms")) CHECK(t.at("exact") == true);

    auto const normed =
        succeeded({"inspect", make_folder_model(scratch / "qwen3", "qwen3").string(), "--json", "-"}).json();
    for (auto const& t : normed.at("transforms")) {
        bool const on_keys = t.at("site") == "query_key";
        CHECK(t.at("exact") == !on_keys);
        CHECK(t.at("reason").get<std::string>().empty() == !on_keys);
    }
    auto const bin = make_llama2c_model(scratch / "llama2c");
    CHECK_THAT(succeeded({"inspect", bin.string()}).out,
               Catch::Contains("interleaved") && Catch::Contains("yes (proved)"));
}

TEST_CASE("eval: folder and llama2.c file, text and tokens, float32 and float64", "[program]") {
    scratch_folder const scratch;
    auto const folder = make_folder_model(scratch / "model"), bin = make_llama2c_model(scratch / "bin");
    auto const text = make_text(scratch / "text.txt");
    auto const r = succeeded({"eval", folder.string(), "--text", text.string(), "--json", "-"}).json();
    CHECK(r.at("perplexity").get<double>() == Approx(std::exp(r.at("nll_per_token").get<double>())));
    CHECK(r.at("tokens") == 31 * r.at("windows").get<int>());
    auto const wide =
        succeeded({"eval", folder.string(), "--text", text.string(), "--dtype", "float64", "--json", "-"})
            .json();
    CHECK(wide.at("nll_per_token").get<double>() ==
          Approx(r.at("nll_per_token").get<double>()).epsilon(1e-5));
    CHECK(wide.at("nll_per_token") != r.at("nll_per_token"));

    // The same tensors with RoPE on neighbours are another function.
    auto const other = succeeded({"eval", bin.string(), "--text", text.string(), "--json", "-"}).json();
    CHECK(other.at("tokens") == r.at("tokens"));
    CHECK(std::abs(other.at("nll_per_token").get<double>() - r.at("nll_per_token").get<double>()) > 1e-6);

    // The protocol of stated figures scores no document for ending: 6 fewer tokens, and no window across documents.
    auto const reference = succeeded({"eval", folder.string(), "--text", text.string(), "--protocol",
                                      "reference", "--json", "-"})
                               .json();
    CHECK(reference.at("windows") == 12);

    // Two uniform guesses among 300 tokens would cost log 300; a file of tokens is read as it is.
    cm::io::write_tokens(scratch / "tokens.safetensors", {2, 4, {1, 260, 261, 262, 1, 299, 0, 3}});
    auto const tokens =
        succeeded({"eval", folder.string(), "--tokens", (scratch / "tokens.safetensors").string(),
                   "--windows", "1", "--json", "-"})
            .json();
    CHECK(tokens.at("tokens") == 3);
    CHECK_THAT(succeeded({"eval", folder.string(), "--text", text.string()}).out,
               Catch::Contains("NLL per token"));
}

TEST_CASE("check: merging is exact, and a reference that disagrees is exit code 1", "[program]") {
    scratch_folder const scratch;
    auto const folder = make_folder_model(scratch / "model"), bin = make_llama2c_model(scratch / "bin"),
               normed = make_folder_model(scratch / "qwen3", "qwen3");
    for (auto const& model : {folder, bin, normed}) {
        for (char const* plan : {"fptquant", "hadamard"}) {
            auto const r = succeeded({"check", model.string(), "--plan", plan, "--json", "-"}).json();
            CHECK(r.at("plan") == plan);
            CHECK(r.at("condition").get<double>() >= 1);
            auto const& deviation = r.at("max_relative_logit_deviation");
            CHECK(deviation.at("float64").get<double>() <= 1e-11);
            CHECK(deviation.at("float32").get<double>() <= 1e-3);
            CHECK(deviation.at("float32").get<double>() > deviation.at("float64").get<double>());
        }
    }
    for (char const* plan :
         {"query_key", "value_output", "up_down", "residual_stream", "down_input", "token_scale"}) {
        auto const r = run({"check", folder.string(), "--plan", plan, "--seed", "3", "--json", "-"});
        CHECK(r.code == 0);
    }
    CHECK(run({"check", normed.string(), "--plan", "query_key"}).code == 2);

    // Logits beside the model: its own, then one of them off by a thousandth of the largest.
    cm::model_config const c = cm::io::parse_hf_config(small_config(), "config");
    auto const model = small_decoder(c);
    std::vector<int> const tokens{1, 17, 260, 299};
    auto logits = cm::runner<cm::eigen_matrix<float>>(model).logits(tokens);
    auto const write_reference = [&] {
        fs::remove(folder / "reference.safetensors");
        cm::io::safetensors_writer writer(
            folder / "reference.safetensors",
            {{"tokens", cm::io::dtype::i32, {4}}, {"logits", cm::io::dtype::f32, {4, 300}}});
        writer.write("tokens", std::span<int const>(tokens));
        writer.write("logits", std::span<float const>(logits.data(), logits.size()));
        writer.commit();
    };
    write_reference();
    CHECK(succeeded({"check", folder.string(), "--json", "-"})
              .json()
              .at("reference_logit_deviation")
              .get<double>() < 1e-6);
    CHECK(succeeded({"eval", folder.string(), "--reference", "--json", "-"})
              .json()
              .at("reference_logit_deviation")
              .get<double>() < 1e-6);
    logits(2, 5) += 1e-3F * logits.values.cwiseAbs().maxCoeff();
    write_reference();
    outcome const wrong = run({"check", folder.string(), "--json", "-"});
    CHECK(wrong.code == 1);
    CHECK(wrong.json().at("passed") == false);
    CHECK(run({"eval", folder.string(), "--reference"}).code == 1);
}

TEST_CASE("quantize: the table, and both folders read back", "[program]") {
    scratch_folder const scratch;
    auto const calib = make_text(scratch / "calib.txt", 9), text = make_text(scratch / "text.txt");
    for (auto const& model : {make_folder_model(scratch / "hf"), make_llama2c_model(scratch / "bin")}) {
        for (char const* recipe : {"rtn", "hadamard", "random"}) {
            CAPTURE(model.string(), recipe);
            fs::path const out = scratch / (model.extension().string() + recipe);
            words const arguments{"quantize", model.string(),
                                  "--recipe", recipe,
                                  "--bits",   "4-6-5",
                                  "--calib",  calib.string(),
                                  "--eval",   text.string(),
                                  "--out",    out.string(),
                                  "--json",   (scratch / "numbers.json").string()};
            outcome const r = succeeded(arguments);
            CHECK_THAT(r.out, Catch::Contains("float") && Catch::Contains("rtn 4-6-5"));
            auto const numbers = nlohmann::json::parse(read_file(scratch / "numbers.json"));
            auto const nll = [&](char const* key) { return numbers.at("nll").at(key).get<double>(); };
            CHECK(numbers.at("bits") == "4-6-5");
            CHECK(numbers.at("coverage") == "linears_kv");
            CHECK(numbers.at("seconds").get<double>() > 0);
            CHECK(numbers.at("peak_rss_bytes").get<double>() > 1e6);
            CHECK(nll("float") == Approx(nll_of(model, text)).epsilon(1e-6));
            CHECK(nll("merged") == Approx(nll("float")).epsilon(1e-5));
            CHECK(nll("rtn") != nll("float"));
            CHECK((nll("quantized") == nll("rtn")) == (recipe == std::string("rtn")));
            CHECK(nll_of(out / "merged", text) == Approx(nll("stored")).epsilon(1e-9));
            CHECK(nll("stored") == Approx(nll("float")).epsilon(1e-5));
            CHECK(nll_of(out / "quantized", text) == Approx(nll("quantized")).epsilon(1e-9));
            CHECK(read_file(out / "merged" / "tok300.bin") == small_tokenizer());
            CHECK(listing(out) == words{"merged", "merged/config.json", "merged/model.safetensors",
                                        "merged/tok300.bin", "quantized", "quantized/config.json",
                                        "quantized/model.safetensors", "quantized/tok300.bin"});
            // What is left of the original in the quantised folder is no model for other programs.
            CHECK(run({"quantize", (out / "quantized").string(), "--calib", calib.string(), "--eval",
                       text.string()})
                      .code == 2);
        }
    }
}

TEST_CASE("eval --engine int4 and generate run what quantize wrote in integers", "[program]") {
    scratch_folder const scratch;
    auto const calib = make_text(scratch / "calib.txt", 9), text = make_text(scratch / "text.txt");
    fs::path const model = make_folder_model(scratch / "hf");
    for (char const* bits : {"4-4-4", "3-8-16"})
        for (char const* timing : {"--static", "--dynamic"}) {
            CAPTURE(bits, timing);
            fs::path const out = scratch / (std::string(bits) + timing);
            succeeded({"quantize", model.string(), "--bits", bits, timing, "--calib", calib.string(),
                       "--eval", text.string(), "--out", out.string()});
            std::string const folder = (out / "quantized").string();
            auto const eval = [&](words const& more) {
                words arguments{"eval", folder, "--text", text.string(), "--json", "-"};
                arguments.insert(arguments.end(), more.begin(), more.end());
                return succeeded(arguments).json();
            };
            auto const fake = eval({}), integers = eval({"--engine", "int4"});
            CHECK(fake.at("engine") == "fake");
            CHECK(integers.at("engine") == "int4");
            CHECK(integers.at("nll_per_token").get<double>() ==
                  Approx(fake.at("nll_per_token").get<double>()).epsilon(1e-5));
            CHECK(eval({"--threads", "3"}).at("nll_per_token") == fake.at("nll_per_token"));
            CHECK(eval({"--engine", "int4", "--threads", "2"}).at("nll_per_token") ==
                  integers.at("nll_per_token"));

            auto const generate = [&](std::string const& from, words const& more) {
                words arguments{"generate", from, "--prompt", "the fox", "--tokens", "9", "--json", "-"};
                arguments.insert(arguments.end(), more.begin(), more.end());
                return succeeded(arguments).json();
            };
            auto const said = generate(folder, {"--engine", "int4"});
            CHECK(said.at("tokens").size() <= 9);
            CHECK(said.at("tokens").size() >= 1);
            CHECK(said.at("block_weight_bytes").get<int>() > 0);
            CHECK(said.at("tokens") == generate(folder, {}).at("tokens"));
            CHECK(said.at("tokens") == generate(folder, {"--engine", "int4", "--threads", "2"}).at("tokens"));
            auto const sampled = [&](char const* seed) {
                return generate(folder, {"--engine", "int4", "--temperature", "50", "--seed", seed})
                    .at("tokens");
            };
            CHECK(sampled("1") == sampled("1"));
            CHECK(sampled("1") != sampled("2"));
        }
    // The text follows the prompt on stdout; a float checkpoint is run as it is.
    outcome const plain = succeeded({"generate", model.string(), "--prompt", "the fox", "--tokens", "3"});
    CHECK(plain.out.substr(0, 7) == "the fox");
    CHECK_THAT(plain.err, Catch::Contains("tokens per second"));
}

TEST_CASE("quantize: the same seed writes the same bytes, another seed other ones", "[program]") {
    scratch_folder const scratch;
    auto const model = make_folder_model(scratch / "model");
    auto const text = make_text(scratch / "text.txt");
    auto const weights = [&](std::string const& name, char const* seed) {
        succeeded({"quantize", model.string(), "--calib", text.string(), "--eval", text.string(), "--seed",
                   seed, "--out", (scratch / name).string()});
        return read_file(scratch / name / "quantized" / "model.safetensors") +
               read_file(scratch / name / "quantized" / "config.json") +
               read_file(scratch / name / "merged" / "model.safetensors");
    };
    std::string const first = weights("a", "5");
    CHECK(weights("b", "5") == first);
    CHECK(weights("c", "6") != first);
}

TEST_CASE("quantize: coverage, timing, symmetry, range and groups all reach the numbers", "[program]") {
    scratch_folder const scratch;
    auto const model = make_folder_model(scratch / "model");
    auto const text = make_text(scratch / "text.txt");
    auto const rtn = [&](words const& more) {
        words arguments{"quantize",    model.string(), "--recipe",    "rtn",    "--calib",
                        text.string(), "--eval",       text.string(), "--json", "-"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return succeeded(arguments).json().at("nll").at("rtn").get<double>();
    };
    std::vector<double> const found{rtn({}),
                                    rtn({"--coverage", "plus_bmm"}),
                                    rtn({"--coverage", "all_but_residual"}),
                                    rtn({"--dynamic"}),
                                    rtn({"--symmetric"}),
                                    rtn({"--range", "minmax"}),
                                    rtn({"--p", "2"}),
                                    rtn({"--group-size", "8"}),
                                    rtn({"--bits", "8-8-8"})};
    for (std::size_t i = 0; i < found.size(); ++i)
        for (std::size_t j = 0; j < i; ++j) {
            CAPTURE(i, j);
            CHECK(found[i] != found[j]);
        }
    double const original = nll_of(model, text);
    CHECK(std::abs(found.back() - original) < std::abs(found.front() - original));
    CHECK(rtn({"--bits", "16-16-16"}) == Approx(original).epsilon(1e-9));
}

TEST_CASE(
    "quantize: without a model the bundled one is used, and it loses visibly when nothing is transformed",
    "[program]") {
    if (!fs::exists(fs::path(COMMUTANT_EXAMPLE_DATA_DIR) / "eval.txt")) {
        WARN("skipped: there is no bundled model");
        return;
    }
    auto const numbers = succeeded({"quantize", "--range", "minmax", "--json", "-"}).json();
    auto const nll = [&](char const* key) { return numbers.at("nll").at(key).get<double>(); };
    CHECK(numbers.at("recipe") == "hadamard");
    CHECK(numbers.at("bits") == "4-4-4");
    CHECK(nll("merged") == Approx(nll("float")).epsilon(1e-5));
    CHECK(nll("rtn") > nll("float") + 0.1);
    CHECK(nll("quantized") < nll("rtn"));
}

TEST_CASE("quantize: --dtype sets the storage type of the merged folder", "[program]") {
    scratch_folder const scratch;
    auto const model = make_folder_model(scratch / "model");
    auto const text = make_text(scratch / "text.txt");
    succeeded({"quantize", model.string(), "--calib", text.string(), "--eval", text.string(), "--dtype",
               "bfloat16", "--out", (scratch / "out").string()});
    auto const r = succeeded({"inspect", (scratch / "out" / "merged").string(), "--json", "-"}).json();
    CHECK(r.at("tensors").at("types") == nlohmann::json{{"BF16", 21}});
    CHECK(r.at("geometry").at("tied_head") == false);
    CHECK_THAT(read_file(scratch / "out" / "merged" / "config.json"),
               Catch::Contains("\"torch_dtype\": \"bfloat16\""));
}
