// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// The reference on real checkpoints, against the likelihoods and logits stated for them.
//
// Readings of the protocol that were tried and fail (stories260K): a document that keeps the line end behind
// it 1.2595, and the one before it too 1.3276 on tinystories_eval (stated 1.2465); BOS only in front of the
// first window of a document 4.196, windows that overlap by one token 4.194 on tinyshakespeare (stated
// 4.2330). Of documents without line ends only, and documents without any white space at their ends, the data
// that tells them apart is wikitext2_valid under docs-llama-11m: 4.6894 and 4.6944 (stated 4.6944).

#include "reference_files.hpp"
#include "reference_model.hpp"
#include "reference_protocol.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace {

// The values are stated to four decimals.
constexpr double stated_nll_tolerance = 1e-3;

// Folder of the test data, or empty (with a printed line) when `needed` is not there.
std::string data_with(const std::string& needed) {
    const char* from_environment = std::getenv("COMMUTANT_TEST_DATA");
    std::string folder = from_environment != nullptr ? from_environment : "";
#ifdef COMMUTANT_TEST_DATA_DIR
    if (folder.empty()) {
        folder = COMMUTANT_TEST_DATA_DIR;
    }
#endif
    if (folder.empty() || !std::filesystem::exists(folder + "/" + needed)) {
        WARN("skipped: " << needed << " not found; set COMMUTANT_TEST_DATA to the folder that holds it");
        return "";
    }
    return folder + "/";
}

double protocol_nll(const reference::model& m, const reference::llama2c_tokeniser& tokeniser,
                    const std::string& text) {
    const auto encode = [&](std::string_view document) { return tokeniser.encode(document); };
    const auto windows = reference::protocol_windows(reference::read_file(text), m.geometry.seq_len, encode);
    std::size_t n_predictions = 0;
    for (const auto& window : windows) {
        REQUIRE(window.size() <= m.geometry.seq_len);
        n_predictions += window.size() - 1;
    }
    CHECK(n_predictions == 4000);
    return reference::nll_per_token(m.geometry, m.values, windows);
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
    REQUIRE(a.size() == b.size());
    double largest = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double difference = std::abs(a[i] - b[i]);
        largest = std::max(largest, std::isnan(difference) ? HUGE_VAL : difference);  // max would drop a NaN
    }
    return largest;
}

std::vector<int> window_of(const reference::tensor& tokens, std::size_t row) {
    const auto begin = tokens.values.begin() + static_cast<std::ptrdiff_t>(row * tokens.shape.at(1));
    return std::vector<int>(begin, begin + static_cast<std::ptrdiff_t>(tokens.shape.at(1)));
}

}  // namespace

TEST_CASE("stories260K: the protocol reproduces the stated likelihoods", "[reference][data]") {
    const std::string data = data_with("models/stories260K/stories260K.bin");
    if (data.empty()) {
        return;
    }
    const auto m = reference::read_llama2c(data + "models/stories260K/stories260K.bin");
    const reference::llama2c_tokeniser tokeniser(data + "models/stories260K/tok512.bin",
                                                 m.geometry.vocab_size);
    CHECK(protocol_nll(m, tokeniser, data + "text/tinystories_eval.txt") ==
          Approx(1.2465).margin(stated_nll_tolerance));
    CHECK(protocol_nll(m, tokeniser, data + "text/tinyshakespeare.txt") ==
          Approx(4.2330).margin(stated_nll_tolerance));
}

TEST_CASE("stories3M: the protocol reproduces the stated likelihoods", "[reference][data]") {
    const std::string data = data_with("models/stories3M/stories3M-f32.bin");
    if (data.empty()) {
        return;
    }
    const auto m = reference::read_llama2c(data + "models/stories3M/stories3M-f32.bin");
    const reference::llama2c_tokeniser tokeniser(data + "models/stories3M/tok4096.bin",
                                                 m.geometry.vocab_size);
    CHECK(protocol_nll(m, tokeniser, data + "text/tinystories_eval.txt") ==
          Approx(1.1092).margin(stated_nll_tolerance));
    CHECK(protocol_nll(m, tokeniser, data + "text/tinyshakespeare.txt") ==
          Approx(5.7866).margin(stated_nll_tolerance));
}

TEST_CASE("stories260K: the Hugging Face folder is the same function in the other RoPE pairing",
          "[reference][data]") {
    const std::string data = data_with("models/stories260K-hf/model.safetensors");
    if (data.empty()) {
        return;
    }
    const auto bin = reference::read_llama2c(data + "models/stories260K/stories260K.bin");
    const auto hf = reference::read_hugging_face(data + "models/stories260K-hf");
    REQUIRE(hf.geometry.pairing != bin.geometry.pairing);
    const reference::llama2c_tokeniser tokeniser(data + "models/stories260K/tok512.bin",
                                                 bin.geometry.vocab_size);
    std::vector<int> tokens = tokeniser.encode("Once upon a time, there was a little car named Beep.");
    tokens.insert(tokens.begin(), 1);
    REQUIRE(tokens.size() > 10);
    const auto a = reference::logits(bin.geometry, bin.values, tokens);
    const auto b = reference::logits(hf.geometry, hf.values, tokens);
    for (std::size_t t = 0; t < a.size(); ++t) {
        CHECK(largest_difference(a[t], b[t]) < 1e-12);
    }
}

TEST_CASE("stories260K: the scaled residual is the same function", "[reference][data][residual]") {
    const std::string data = data_with("models/stories260K/stories260K.bin");
    if (data.empty()) {
        return;
    }
    const auto m = reference::read_llama2c(data + "models/stories260K/stories260K.bin");
    const auto folded = reference::with_folded_gains(m.geometry, m.values);
    const std::vector<int> tokens{1, 403, 407, 261, 378, 100, 5, 17, 300};
    const auto a = reference::logits(m.geometry, m.values, tokens);
    const auto b = reference::logits(m.geometry, folded, tokens, reference::residual_mode::scaled);
    for (std::size_t t = 0; t < a.size(); ++t) {
        CHECK(largest_difference(a[t], b[t]) < 1e-11);
    }
}

TEST_CASE("docs-llama-11m: logits agree with those that another program computed in float32",
          "[reference][data]") {
    const std::string data = data_with("models/docs-llama-11m/reference.safetensors");
    if (data.empty()) {
        return;
    }
    const auto m = reference::read_hugging_face(data + "models/docs-llama-11m");
    const auto stated = reference::read_safetensors(data + "models/docs-llama-11m/reference.safetensors");
    const auto& logits = stated.at("logits");
    const auto& stored_tokens = stated.at("tokens").values;
    const std::vector<int> tokens(stored_tokens.begin(), stored_tokens.end());
    const auto ours = reference::logits(m.geometry, m.values, tokens);
    REQUIRE(logits.shape == std::vector<std::size_t>{ours.size(), m.geometry.vocab_size});

    double largest_logit = 0.0;
    double largest_deviation = 0.0;
    for (std::size_t t = 0; t < ours.size(); ++t) {
        for (std::size_t i = 0; i < ours[t].size(); ++i) {
            const double theirs = logits.values[t * ours[t].size() + i];
            largest_logit = std::max(largest_logit, std::abs(theirs));
            const double deviation = std::abs(theirs - ours[t][i]);
            largest_deviation = std::max(largest_deviation, std::isnan(deviation) ? HUGE_VAL : deviation);
        }
    }
    // What remains is the float32 arithmetic of the other program: it states 2.3e-5 against a
    // double-precision one.
    CHECK(largest_deviation < 4e-5);
    CHECK(largest_deviation < 1e-4 * largest_logit);
}

TEST_CASE("docs-llama-11m: likelihood of two evaluation windows", "[reference][data]") {
    const std::string data = data_with("models/docs-llama-11m/tokens_eval.safetensors");
    if (data.empty()) {
        return;
    }
    const auto m = reference::read_hugging_face(data + "models/docs-llama-11m");
    const auto tokens =
        reference::read_safetensors(data + "models/docs-llama-11m/tokens_eval.safetensors").at("tokens");
    REQUIRE(tokens.shape == std::vector<std::size_t>{128, 512});
    // Stated is only the mean over 64 windows, which the hidden case below computes. This number is from that
    // run.
    const double first_two =
        reference::nll_per_token(m.geometry, m.values, {window_of(tokens, 0), window_of(tokens, 1)});
    CHECK(first_two == Approx(2.5131625).margin(1e-6));
}

// Some minutes long, so only on demand: run with the tag [slow].
TEST_CASE("docs-llama-11m: stated likelihood of 64 evaluation windows", "[.][slow]") {
    const std::string data = data_with("models/docs-llama-11m/tokens_eval.safetensors");
    if (data.empty()) {
        return;
    }
    const auto m = reference::read_hugging_face(data + "models/docs-llama-11m");
    const auto tokens =
        reference::read_safetensors(data + "models/docs-llama-11m/tokens_eval.safetensors").at("tokens");
    std::vector<std::vector<int>> windows;
    for (std::size_t row = 0; row < 64; ++row) {
        windows.push_back(window_of(tokens, row));
    }
    CHECK(reference::nll_per_token(m.geometry, m.values, windows) == Approx(2.61571).margin(1e-5));
}
