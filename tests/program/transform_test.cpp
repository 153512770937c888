// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <string>
#include <vector>

#include <commutant/io/checkpoint.hpp>

#include "small_models.hpp"

using namespace program_test;

namespace {

struct transform_job {
    scratch_folder scratch{};
    fs::path model = make_folder_model(scratch / "model", "llama", 6000);
    fs::path text = make_text(scratch / "text.txt");
    fs::path out = scratch / "out";

    [[nodiscard]] words arguments(words const& more) const {
        words a{"transform", model.string(), "--out", out.string(), "--json", "-"};
        a.insert(a.end(), more.begin(), more.end());
        return a;
    }
    [[nodiscard]] nlohmann::json numbers(words const& more) const {
        fs::remove_all(out);
        outcome const r = run(arguments(more));
        CAPTURE(more, r.err);
        REQUIRE(r.code == 0);
        return r.json();
    }
    [[nodiscard]] double nll(fs::path const& folder, words const& more = {}) const {
        words a{"eval", folder.string(), "--text", text.string(), "--json", "-"};
        a.insert(a.end(), more.begin(), more.end());
        outcome const r = run(a);
        CAPTURE(r.err);
        REQUIRE(r.code == 0);
        return r.json().at("nll_per_token");
    }
};

words const small_samples{"--local-steps", "12", "--sample-rows", "4", "--sample-layers", "1"};

}  // namespace

TEST_CASE("transform: norms fall, every transform moves, and the folder is the same function", "[program]") {
    transform_job const job;
    REQUIRE(fs::exists(job.model / "model.safetensors.index.json"));
    double const at_start = job.numbers({"--local-steps", "0"}).at("norms").at("after");
    auto const r = job.numbers(small_samples);
    CHECK(job.nll(job.out, {"--tokenizer", (job.model / "tok300.bin").string()}) ==
          Approx(job.nll(job.model)).epsilon(1e-5));
    CHECK(r.at("norms").at("after").get<double>() < at_start);
    CHECK(r.at("norms").at("before").get<double>() == Approx(at_start).epsilon(0.2));
    for (auto const& [site, x] : r.at("gradient_norms").items()) CHECK(x.get<double>() > 0);
    for (auto const& [site, x] : r.at("movements").items()) CHECK(x.get<double>() > 0);
    CHECK(r.at("gradient_norms").size() == 4);
    CHECK(r.at("transforms") ==
          words{"residual_stream", "query_key", "value_output", "up_down", "down_input"});
    CHECK_THAT(r.at("remarks").dump(), Catch::Contains("T_d, blocks of 8, was part of the loss"));
    CHECK(r.at("seconds").at("layers").size() == 2);
    CHECK(r.at("layer_bytes") == 8 * (2 * 16 + 2 * 16 * 16 + 2 * 8 * 16 + 3 * 24 * 16));
    CHECK(r.at("embedding_bytes") == 8 * 300 * 16);
    CHECK(r.at("peak_rss_bytes").get<double>() > 0);
    // T_d runs online on what was written.
    fs::path const calib = job.scratch / "calib.txt";
    std::string documents;
    for (std::size_t i = 1; i < 12; ++i)
        documents += "a " + std::string(i, 'm') + " cat sat on a mat\n<|endoftext|>\n";
    write_file(calib, documents);
    auto const quantized =
        run({"quantize", job.out.string(), "--tokenizer", (job.model / "tok300.bin").string(), "--recipe",
             "grids", "--transforms", "down_input", "--steps", "0", "--calib", calib.string(), "--eval",
             job.text.string(), "--json", "-"});
    CAPTURE(quantized.err);
    REQUIRE(quantized.code == 0);
    auto const nll = quantized.json().at("nll");
    CHECK(nll.at("merged").get<double>() == Approx(nll.at("float").get<double>()).epsilon(1e-5));
    CHECK(nll.at("quantized") != nll.at("rtn"));
}

TEST_CASE("transform: options reach what is written", "[program]") {
    transform_job const job;
    auto const after = [&](words const& more) {
        return job.numbers(with(small_samples, more)).at("norms").at("after").get<double>();
    };
    double const usual = after({});
    CHECK(after({}) == usual);
    for (words const& more : std::vector<words>{{"--recipe", "spinquant"},
                                                {"--transforms", "value_output,up_down"},
                                                {"--value-transform", "svd"},
                                                {"--value-transform", "orthogonal"},
                                                {"--rotation", "qr"},
                                                {"--p-local", "6"},
                                                {"--last-rate", "1"},
                                                {"--threads", "1"},
                                                {"--seed", "2"}}) {
        CAPTURE(more);
        CHECK(after(more) != usual);
    }
    CHECK(job.numbers({"--local-steps", "12", "--sample-rows", "5"}).at("norms").at("after") != usual);
    CHECK(after({"--dtype", "bfloat16"}) == usual);
    CHECK(cm::io::checkpoint::open(job.out).storage_type("lm_head.weight") == cm::io::dtype::bf16);
}

TEST_CASE("transform: an interrupt leaves nothing behind", "[program]") {
    transform_job const job;
    auto const before = listing(job.scratch.path());
    auto const r =
        run(job.arguments({"--local-steps", "10000000"}), "timeout --foreground --preserve-status -s INT 2");
    CHECK(r.code == 2);
    CHECK(r.n_error_lines() == 1);
    CHECK_THAT(r.err, Catch::Contains("transform: interrupted, nothing has been written"));
    CHECK(listing(job.scratch.path()) == before);
}

TEST_CASE("transform: refuses what does not fit", "[program]") {
    transform_job const job;
    auto const before = listing(job.scratch.path());
    auto const refused = [&](words const& arguments, std::string const& text) {
        auto const r = run(arguments);
        CAPTURE(arguments);
        CHECK(r.code == 2);
        CHECK(r.n_error_lines() == 1);
        CHECK_THAT(r.err, Catch::Contains(text));
    };
    refused(job.arguments({"--p-local", "1"}), "--p-local");
    refused(job.arguments({"--p-local", "9"}), "--p-local");
    refused(job.arguments({"--last-rate", "1.5"}), "--last-rate");
    refused(job.arguments({"--sample-rows", "0"}), "--sample-rows");
    refused(job.arguments({"--sample-layers", "0"}), "--sample-layers");
    refused(job.arguments({"--transforms", "residual_stream,value"}), "\"value\" is no site");
    refused(job.arguments({"--transforms", "residual_stream,token_scale"}), "names token_scale");
    refused({"transform", job.model.string()}, "--out");
    refused({"transform", job.model.string(), "--out", job.model.string()}, "exists");
    CHECK(listing(job.scratch.path()) == before);
}
