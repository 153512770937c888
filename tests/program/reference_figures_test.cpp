// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <string>
#include <vector>

#include "program_run.hpp"
#include "support/sanitizer.hpp"
#include "support/test_data.hpp"

// Real checkpoints, against figures that another program computed and stated beside them.

using namespace program_test;
using commutant::testing::find_test_data;

namespace {

struct stated {
    char const* model;
    char const* tokenizer;  ///< nothing: the one beside the model
    char const* text;
    double nll;
};

// Average NLL per token by the protocol "reference".
constexpr stated figures[] = {
    {"models/stories260K/stories260K.bin", nullptr, "text/tinystories_eval.txt", 1.2465},
    {"models/stories260K/stories260K.bin", nullptr, "text/tinyshakespeare.txt", 4.2330},
    {"models/stories260K-hf", "models/stories260K/tok512.bin", "text/tinystories_eval.txt", 1.2465},
    {"models/stories3M/stories3M-f32.bin", nullptr, "text/tinystories_eval.txt", 1.1092},
    {"models/stories3M/stories3M-q80.bin", nullptr, "text/tinystories_eval.txt", 1.1092},
    {"models/stories3M/stories3M-f32.bin", nullptr, "text/tinyshakespeare.txt", 5.7866},
    {"models/docs-llama-11m", nullptr, "text/docs_eval.txt", 2.5310},
    {"models/docs-llama-11m", nullptr, "text/tinystories_eval.txt", 2.4184},
    {"models/docs-llama-11m", nullptr, "text/wikitext2_valid.tokens", 4.6944},
};

constexpr char const* models[] = {"models/stories260K/stories260K.bin", "models/stories260K-hf",
                                  "models/stories3M/stories3M-f32.bin", "models/docs-llama-11m"};

}  // namespace

TEST_CASE("eval --protocol reference gives the likelihoods stated for real checkpoints", "[program][data]") {
    for (auto const& s : figures) {
        auto const model = find_test_data(s.model), text = find_test_data(s.text);
        if (model.empty() || text.empty()) {
            WARN(std::string("skipped: ") + s.model + " or " + s.text + " is not there");
            continue;
        }
        std::vector<std::string> arguments{"eval",       model.string(), "--text", text.string(),
                                           "--protocol", "reference",    "--json", "-"};
        if (s.tokenizer != nullptr)
            arguments.insert(arguments.end(), {"--tokenizer", find_test_data(s.tokenizer).string()});
        outcome const r = run(arguments);
        CAPTURE(s.model, s.text, r.err);
        REQUIRE(r.code == 0);
        CHECK(std::abs(r.json().at("nll_per_token").get<double>() - s.nll) < 1e-3);
        CHECK(r.json().at("tokens") == 4000);
    }
}

TEST_CASE("eval gives the figure of a token file and the logits beside the model", "[program][data]") {
    auto const model = find_test_data("models/docs-llama-11m");
    if (model.empty()) {
        WARN("skipped: models/docs-llama-11m is not there");
        return;
    }
    auto const eval = [&](std::vector<std::string> const& more) {
        std::vector<std::string> arguments{"eval", model.string(), "--json", "-"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        outcome const r = run(arguments);
        CAPTURE(r.err);
        REQUIRE(r.code == 0);
        return r.json();
    };
    std::string const tokens = (model / "tokens_eval.safetensors").string();
#ifdef COMMUTANT_ADDRESS_SANITIZER
    WARN("skipped in a build with sanitizers: 64 windows");
#else
    CHECK(std::abs(eval({"--tokens", tokens, "--windows", "64"}).at("nll_per_token").get<double>() -
                   2.61571) < 2e-5);
#endif
    auto const few = eval({"--tokens", tokens, "--windows", "4", "--reference"});
    CHECK(few.at("reference_logit_deviation").get<double>() < 1e-4);
    // The text gives the same windows as the file of tokens.
    auto const by_text = eval({"--text", find_test_data("text/docs_eval.txt").string(), "--windows", "4"});
    CHECK(by_text.at("nll_per_token") == few.at("nll_per_token"));
}

TEST_CASE("check: six random transforms move no logit of a real checkpoint by more than rounding",
          "[program][data]") {
    for (char const* name : models) {
        auto const model = find_test_data(name);
        if (model.empty()) {
            WARN(std::string("skipped: ") + name + " is not there");
            continue;
        }
        outcome const r = run({"check", model.string(), "--json", "-"});
        CAPTURE(name, r.err);
        REQUIRE(r.code == 0);
        auto const deviation = r.json().at("max_relative_logit_deviation");
        CHECK(deviation.at("float64").get<double>() <= 1e-11);
        CHECK(deviation.at("float32").get<double>() <= 1e-3);
    }
}

TEST_CASE("integer kernels give the likelihood of fake quantisation on real checkpoints", "[program][data]") {
    scratch_folder const scratch;
    struct subject {
        fs::path model, calibration, evaluation;
    };
    fs::path const bundled = COMMUTANT_EXAMPLE_DATA_DIR;
    for (subject const& s :
         {subject{find_test_data("models/stories260K/stories260K.bin"),
                  find_test_data("text/tinystories_calib.txt"), find_test_data("text/tinystories_eval.txt")},
          subject{find_test_data("models/stories3M/stories3M-f32.bin"),
                  find_test_data("text/tinystories_calib.txt"), find_test_data("text/tinystories_eval.txt")},
          subject{bundled / "tiny-stories", bundled / "calib.txt", bundled / "eval.txt"}}) {
        if (s.model.empty() || !fs::exists(s.model)) {
            WARN("skipped: a model is not there");
            continue;
        }
        for (char const* const bits : {"4-8-8", "4-4-4"}) {
            fs::path const out = scratch / (s.model.stem().string() + "-" + bits);
            std::string const text = s.evaluation.string();
            outcome const made =
                run({"quantize", s.model.string(), "--bits", bits, "--calib", s.calibration.string(),
                     "--calib-windows", "2", "--eval", text, "--windows", "2", "--out", out.string()});
            CAPTURE(s.model, bits, made.err);
            REQUIRE(made.code == 0);
            auto const nll = [&](char const* option, char const* value) {
                outcome const r = run({"eval", (out / "quantized").string(), "--text", text, "--windows", "2",
                                       option, value, "--json", "-"});
                CAPTURE(r.err);
                REQUIRE(r.code == 0);
                return r.json().at("nll_per_token").get<double>();
            };
            // One activation that rounds the other way moves everything behind it: float and double differ as much.
            double const in_double = nll("--dtype", "float64"), in_float = nll("--engine", "fake"),
                         in_integers = nll("--engine", "int4");
            CAPTURE(in_double, in_float, in_integers);
            CHECK(std::abs(in_integers - in_double) < 3 * std::abs(in_float - in_double) + 2e-3);
        }
    }
}
