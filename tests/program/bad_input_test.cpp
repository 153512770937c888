// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "small_models.hpp"

using namespace program_test;

namespace {

/// A folder with good models and texts, from which each test spoils one.
struct fixture {
    scratch_folder scratch{};
    fs::path folder = make_folder_model(scratch / "model");
    fs::path llama2c = make_llama2c_model(scratch / "llama2c");
    fs::path text = make_text(scratch / "text.txt");

    fixture() { write_file(folder / "keep.txt", ""); }

    /// The program refuses: exit code 2, nothing on stdout, one line on stderr that holds the text, no file more or less.
    void refuses(std::vector<std::string> const& arguments, std::string const& expected,
                 std::string const& first = {}) const {
        auto const before = listing(scratch.path());
        outcome const r = run(arguments, first);
        CAPTURE(arguments, r.err, r.out);
        CHECK(r.code == 2);
        CHECK(r.out.empty());
        CHECK(r.n_error_lines() == 1);
        CHECK(r.err.substr(0, 11) == "commutant: ");
        CHECK_THAT(r.err, Catch::Contains(expected));
        CHECK(listing(scratch.path()) == before);
    }

    [[nodiscard]] words eval(fs::path const& model) const {
        return {"eval", model.string(), "--text", text.string()};
    }
    [[nodiscard]] words quantize(fs::path const& model, std::vector<std::string> const& more = {}) const {
        words r{"quantize", model.string(), "--calib", text.string(),
                "--eval",   text.string(),  "--out",   (scratch / "out").string()};
        r.insert(r.end(), more.begin(), more.end());
        return r;
    }
    void replace_in_config(std::string const& from, std::string const& to) const {
        std::string config = small_config();
        auto const at = config.find(from);
        REQUIRE(at != std::string::npos);
        write_file(folder / "config.json", config.replace(at, from.size(), to));
    }
    [[nodiscard]] fs::path weights() const { return folder / "model.safetensors"; }
};

}  // namespace

TEST_CASE("bad usage is one line and exit code 2", "[program]") {
    fixture const f;
    f.refuses({}, "give a command: inspect, check, eval, quantize, study, report, transform or generate");
    f.refuses(
        {"evaluate"},
        "'evaluate' is no command, expected inspect, check, eval, quantize, study, report, transform or "
        "generate");
    f.refuses({"eval", f.folder.string(), "--text", f.text.string(), "--windws", "3"}, "--windws");
    f.refuses({"eval", f.folder.string()}, "give --text FILE or --tokens FILE.safetensors");
    f.refuses({"eval", f.folder.string(), "--text", f.text.string(), "--dtype", "int4"}, "--dtype");
    f.refuses({"eval", f.folder.string(), "--text", f.text.string(), "--length", "33"},
              "--length is 33, expected at most the 32 positions of the model");
    f.refuses({"eval", f.folder.string(), "--text", f.text.string(), "--engine", "int4"},
              "holds no quantised codes, expected the folder DIR/quantized of quantize --out DIR");
    f.refuses({"check", f.folder.string(), "--plan", "everything"}, "--plan");
    f.refuses({"generate", f.folder.string(), "--engine", "int4"}, "holds no quantised codes");
    f.refuses({"generate", f.folder.string(), "--temperature", "-1"}, "--temperature");
    f.refuses({"generate", f.folder.string(), "--tokens", "0"}, "--tokens");
    f.refuses({"generate", f.folder.string(), "--prompt", std::string(40, 'q')},
              "expected fewer than the 32 positions of the model");
    f.refuses({"quantize", f.folder.string(), "--calib", f.text.string()}, "give --eval FILE");
    f.refuses({"quantize", f.folder.string(), "--eval", f.text.string()}, "give --calib FILE");
    f.refuses(f.quantize(f.folder, {"--bits", "4-4"}),
              "got \"4-4\", expected weights-activations-KV such as 4-4-4");
    f.refuses(f.quantize(f.folder, {"--bits", "1-4-4"}), "each 2 to 8, or 16 for floating point");
    f.refuses(f.quantize(f.folder, {"--recipe", "magic"}), "--recipe");
    f.refuses(f.quantize(f.folder, {"--static", "--dynamic"}), "--static");
    f.refuses(f.quantize(f.folder, {"--group-size", "5"}),
              "model.layers.0.self_attn.q_proj.weight: slice_size: group_size is 5, expected a positive "
              "divisor of the "
              "16 columns");
    f.refuses(f.quantize(f.folder, {"--range", "lp", "--p", "9"}), "--p");
}

TEST_CASE("integer kernels refuse what they do not run", "[program]") {
    fixture const f;
    auto const quantized = [&](char const* name, std::vector<std::string> const& more) {
        std::vector<std::string> arguments{
            "quantize", f.folder.string(), "--calib", f.text.string(),
            "--eval",   f.text.string(),   "--out",   (f.scratch / name).string()};
        arguments.insert(arguments.end(), more.begin(), more.end());
        REQUIRE(run(arguments).code == 0);
        return f.scratch / name / "quantized";
    };
    auto const refused = [&](fs::path const& model, std::string const& message) {
        f.refuses({"eval", model.string(), "--text", f.text.string(), "--engine", "int4"}, message);
        f.refuses({"generate", model.string(), "--engine", "int4"}, message);
    };
    refused(quantized("wide", {"--bits", "8-8-8"}), "weights have 8 bits, expected 2 to 4");
    refused(quantized("float", {"--bits", "4-16-4"}), "activations are floating point");
    refused(quantized("bmm", {"--coverage", "plus_bmm"}), "the coverage is plus_bmm, expected linears_kv");
    fs::path const good = quantized("good", {});
    f.refuses({"eval", good.string(), "--text", f.text.string(), "--engine", "int4", "--dtype", "float64"},
              "--dtype float64 was given with --engine int4");
    fs::remove(good / "tok300.bin");
    f.refuses({"generate", good.string()}, "no tokenizer lies beside");
}

TEST_CASE("a model that is not there, or is half there", "[program]") {
    fixture const f;
    f.refuses(f.eval(f.scratch / "nowhere"), "does not exist, expected a model folder or a .bin file");
    f.refuses(f.eval(f.weights()), "is one file of a model, expected its folder");
    fs::remove(f.weights());
    f.refuses(f.eval(f.folder), "has neither model.safetensors nor model.safetensors.index.json");
    fs::remove(f.folder / "config.json");
    f.refuses(f.eval(f.folder), "has no config.json");
    fs::create_directory(f.scratch / "empty");
    f.refuses({"inspect"}, "holds no folder with a config.json",
              "COMMUTANT_DATA=" + quoted((f.scratch / "empty").string()));
    f.refuses({"quantize"}, "is not there; name a MODEL", "COMMUTANT_DATA=/nowhere/at/all");
}

TEST_CASE("truncated and oversized weights are refused by every command", "[program]") {
    fixture const f;
    std::string const good = read_file(f.weights()), good_bin = read_file(f.llama2c);
    for (std::size_t const size : {std::size_t{0}, std::size_t{5}, std::size_t{300}, good.size() - 1}) {
        write_file(f.weights(), good.substr(0, size));
        f.refuses({"inspect", f.folder.string()}, "model.safetensors: ");
        f.refuses({"check", f.folder.string()}, "model.safetensors: ");
        f.refuses(f.eval(f.folder), "model.safetensors: ");
        f.refuses(f.quantize(f.folder), "model.safetensors: ");
    }
    write_file(f.weights(), good + "x");
    f.refuses(f.eval(f.folder), "model.safetensors: ");
    for (std::size_t const size : {std::size_t{0}, std::size_t{27}, good_bin.size() - 1}) {
        write_file(f.llama2c, good_bin.substr(0, size));
        f.refuses(f.quantize(f.llama2c), "bytes long, expected");
    }
    write_file(f.llama2c, good_bin + "x");
    f.refuses(f.eval(f.llama2c), "bytes long, expected " + std::to_string(good_bin.size()));
}

TEST_CASE("a header that lies about sizes is refused before anything is allocated", "[program]") {
    fixture const f;
    std::string const good = read_file(f.weights());
    std::string lying = good;
    auto const shape = lying.find("\"shape\":[300,16]");
    REQUIRE(shape != std::string::npos);
    lying.replace(shape, 16, "\"shape\":[900,16]");
    write_file(f.weights(), lying);
    f.refuses(f.eval(f.folder), "model.embed_tokens.weight");
    std::uint64_t const huge = std::uint64_t{1} << 60;
    lying = good;
    std::memcpy(lying.data(), &huge, 8);
    write_file(f.weights(), lying);
    f.refuses(f.eval(f.folder), "model.safetensors: ");
    // 2^31 - 1 layers in a file of 20 kB.
    std::string bin = read_file(f.llama2c);
    std::int32_t const layers = std::numeric_limits<std::int32_t>::max();
    std::memcpy(bin.data() + 8, &layers, 4);
    write_file(f.llama2c, bin);
    f.refuses(f.eval(f.llama2c), "bytes long, expected");
}

TEST_CASE("a configuration beyond what the program knows is refused with the key", "[program]") {
    fixture const f;
    f.replace_in_config("\"llama\"", "\"gemma2\"");
    f.refuses(f.quantize(f.folder), "model_type is 'gemma2', expected llama, mistral, qwen2 or qwen3");
    f.replace_in_config("\"silu\"", "\"gelu\"");
    f.refuses(f.quantize(f.folder), "hidden_act is 'gelu', expected 'silu'");
    f.replace_in_config("\"hidden_size\": 16", "\"hidden_size\": 20");
    f.refuses(f.eval(f.folder), "has shape");
    f.replace_in_config("\"hidden_size\": 16,", "\"hidden_size\": 16,,");
    f.refuses(f.eval(f.folder), "config.json: is not JSON");
    write_file(f.folder / "config.json", small_config().substr(0, 100));
    f.refuses({"inspect", f.folder.string()}, "config.json: is not JSON");
}

TEST_CASE("NaN weights are refused, with their place", "[program]") {
    fixture const f;
    std::string bytes = read_file(f.weights());
    float const nan = std::numeric_limits<float>::quiet_NaN();
    std::memcpy(bytes.data() + bytes.size() - 4 * 5, &nan, 4);
    write_file(f.weights(), bytes);
    f.refuses(f.eval(f.folder), "is NaN at element");
    f.refuses({"check", f.folder.string()}, "is NaN at element");
    f.refuses(f.quantize(f.folder), "is NaN at element");
}

TEST_CASE("a tokenizer that is missing, spoilt or another model's", "[program]") {
    fixture const f;
    fs::path const other = f.scratch / "other.bin";
    write_file(other, small_tokenizer(310));
    auto with_other = f.eval(f.folder);
    with_other.insert(with_other.end(), {"--tokenizer", other.string()});
    f.refuses(with_other, "has 310 tokens, expected 300 as the model has");
    write_file(other, small_tokenizer().substr(0, 1000));
    f.refuses(with_other, "other.bin: ");
    fs::remove(f.folder / "tok300.bin");
    f.refuses(f.eval(f.folder), "no tokenizer lies in");
    f.refuses(f.quantize(f.folder), "no tokenizer lies in");
}

TEST_CASE("a text that yields no tokens, or is no text", "[program]") {
    fixture const f;
    write_file(f.text, "");
    f.refuses(f.eval(f.folder), "text.txt: ");
    write_file(f.text, "\n<|endoftext|>\n\n<|endoftext|>\n");
    f.refuses(f.eval(f.folder), "holds no text, expected at least one document");
    write_file(f.text, "   \n\t ");
    f.refuses({"eval", f.folder.string(), "--text", f.text.string(), "--protocol", "reference"},
              "yields no tokens, expected at least one behind BOS");
    write_file(f.text, "abc\xff\xfe");
    f.refuses(f.eval(f.folder), "is not UTF-8 at byte 3");
    fs::remove(f.text);
    f.refuses(f.eval(f.folder), "text.txt: ");
}

TEST_CASE("token files that do not fit the model", "[program]") {
    fixture const f;
    fs::path const tokens = f.scratch / "tokens.safetensors";
    auto const refused = [&](cm::io::token_windows const& windows, std::string const& expected) {
        fs::remove(tokens);
        cm::io::write_tokens(tokens, windows);
        f.refuses({"eval", f.folder.string(), "--tokens", tokens.string()}, expected);
    };
    refused({2, 3, {1, 2, 3, 1, 300, 4}}, "window 1 holds id 300 at position 1, expected ids below 300");
    refused({2, 1, {1, 1}}, "holds windows of 1 tokens, expected 2 to 32");
    refused({1, 33, std::vector<std::int32_t>(33, 1)}, "holds windows of 33 tokens, expected 2 to 32");
    write_file(tokens, "nonsense");
    f.refuses({"eval", f.folder.string(), "--tokens", tokens.string()}, "tokens.safetensors: ");
}

TEST_CASE("a transform whose condition number is above the limit is not merged", "[program]") {
    fixture const f;
    f.refuses({"check", f.folder.string(), "--max-condition", "1.5"},
              "value_output: the transform's condition number is");
    f.refuses(f.quantize(f.folder, {"--recipe", "random", "--max-condition", "1.5"}), "expected at most 1.5");
}

TEST_CASE("an output that exists or cannot be written leaves nothing behind", "[program]") {
    fixture const f;
    fs::create_directory(f.scratch / "out");
    f.refuses(f.quantize(f.folder), "out: exists already, expected a new name");
    fs::remove(f.scratch / "out");
    auto elsewhere = f.quantize(f.folder);
    elsewhere.back() = (f.scratch / "nowhere" / "out").string();
    f.refuses(elsewhere, "is not a folder");
    elsewhere.back() = (f.text / "out").string();
    f.refuses(elsewhere, "is not a folder");
    auto json = f.eval(f.folder);
    json.insert(json.end(), {"--json", (f.scratch / "nowhere" / "numbers.json").string()});
    f.refuses(json, "is not a folder");
    json.back() = f.folder.string();
    f.refuses(json, "exists and is not a regular file");
}

TEST_CASE("a full disk leaves nothing behind", "[program]") {
    fixture const f;
    // A limit on the size of files stands in for the disk; ignoring the signal makes writes fail as on a full one.
    std::string const full = "trap '' XFSZ; ulimit -f 8;";
    f.refuses(f.quantize(f.folder), "cannot be written", full);
}
