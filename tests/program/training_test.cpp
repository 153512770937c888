// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <string>
#include <vector>

#include "small_models.hpp"

using namespace program_test;

namespace {

struct training_job {
    scratch_folder scratch{};
    fs::path model = make_folder_model(scratch / "model");
    fs::path calib = make_training_text(scratch / "calib.txt"), text = make_text(scratch / "text.txt");

    [[nodiscard]] words arguments(std::string const& recipe, words const& more) const {
        words a{"quantize", model.string(), "--recipe", recipe,        "--bits", "4-8-6",
                "--calib",  calib.string(), "--eval",   text.string(), "--json", "-"};
        a.insert(a.end(), more.begin(), more.end());
        return a;
    }
    [[nodiscard]] outcome run(std::string const& recipe, words const& more = {},
                              std::string const& first = {}) const {
        return program_test::run(arguments(recipe, more), first);
    }
    [[nodiscard]] nlohmann::json numbers(std::string const& recipe, words const& more = {}) const {
        outcome const r = run(recipe, more);
        CAPTURE(recipe, more, r.err);
        REQUIRE(r.code == 0);
        return r.json();
    }
};

words const few_steps{"--local-steps", "5", "--steps", "8", "--batch", "4"};

}  // namespace

TEST_CASE("quantize: recipes that train, their stages, and folders that read back", "[program]") {
    training_job const job;
    for (char const* recipe : {"fptquant", "spinquant", "grids"}) {
        CAPTURE(recipe);
        fs::path const out = job.scratch / (std::string("out-") + recipe);
        auto const r = job.numbers(recipe, with(few_steps, {"--out", out.string()}));
        auto const nll = [&](char const* key) { return r.at("nll").at(key).get<double>(); };
        CHECK(nll("merged") == Approx(nll("float")).epsilon(1e-5));
        CHECK(nll("stored") == Approx(nll("float")).epsilon(1e-5));
        // The state that held-out text likes best may be the one that training began with.
        CHECK((nll("local") != nll("quantized")) == (r.at("training").at("best_step") != 0));
        CHECK(nll("quantized") != nll("rtn"));
        for (auto const& [folder, key] :
             {std::pair("merged", "stored"), std::pair("quantized", "quantized")}) {
            auto const again =
                run({"eval", (out / folder).string(), "--text", job.text.string(), "--json", "-"});
            REQUIRE(again.code == 0);
            CHECK(again.json().at("nll_per_token").get<double>() == Approx(nll(key)).epsilon(1e-9));
        }
        auto const& t = r.at("training");
        CHECK(t.at("steps") == 8);
        CHECK(t.at("curve").size() == 8);
        CHECK(t.at("held_out").at("trained").get<double>() <= t.at("held_out").at("local").get<double>());
        CHECK(t.at("held_out_windows") >= 1);
        CHECK(t.at("training_windows").get<int>() > t.at("held_out_windows").get<int>());
        if (recipe == std::string("grids")) CHECK(t.at("transforms").empty());
        if (recipe == std::string("spinquant"))
            CHECK(t.at("transforms") == words{"residual_stream", "value_output", "down_input"});
        if (recipe != std::string("fptquant")) continue;
        CHECK(t.at("transforms").size() >= 5);
        CHECK(t.at("local").at("norms_after").get<double>() < t.at("local").at("norms_before").get<double>());
        for (auto const& [site, x] : t.at("local").at("gradient_norms").items()) CHECK(x.get<double>() > 0);
        for (auto const& [site, x] : t.at("local").at("movements").items()) CHECK(x.get<double>() > 0);
        CHECK_THAT(r.at("remarks").dump(), Catch::Contains("S_n is"));
    }
}

TEST_CASE("quantize: options of training reach the numbers", "[program]") {
    training_job const job;
    auto const plain = with(few_steps, {"--token-scale", "off"});
    double const usual = job.numbers("fptquant", plain).at("nll").at("quantized");
    CHECK(job.numbers("fptquant", plain).at("nll").at("quantized") == usual);
    for (words const& more : std::vector<words>{{"--value-transform", "svd"},
                                                {"--value-transform", "orthogonal"},
                                                {"--value-transform", "low-rank"},
                                                {"--value-transform", "low-rank", "--value-rank", "2"},
                                                {"--residual-start", "identity"},
                                                {"--value-start", "identity"},
                                                {"--value-start", "moments"},
                                                {"--up-start", "moments"},
                                                {"--rotation", "qr"},
                                                {"--local-order", "joint"},
                                                {"--p-local", "6"},
                                                {"--learning-rate", "0.5"},
                                                {"--loss", "kl"},
                                                {"--loss", "top-kl"},
                                                {"--loss", "next-token"},
                                                {"--training-windows", "6"},
                                                {"--seed", "2"},
                                                {"--transforms", "query_key,up_down"}}) {
        CAPTURE(more);
        CHECK(job.numbers("fptquant", with(plain, more)).at("nll").at("quantized").get<double>() != usual);
    }
    CHECK(job.numbers("fptquant", with(few_steps, {"--token-scale", "static"})).at("nll").at("quantized") !=
          usual);
    auto const scaled = [&](char const* eps) {
        return job.numbers("fptquant", with(few_steps, {"--token-scale", "on", "--eps", eps}));
    };
    auto const exact = scaled("exact"), other = scaled("plain");
    CHECK(exact.at("training").at("transforms").back() == "token_scale");
    CHECK(exact.at("nll").at("quantized") != other.at("nll").at("quantized"));
    CHECK(job.numbers("fptquant", {"--steps", "0", "--local-steps", "5", "--token-scale", "off"})
              .at("training")
              .at("curve")
              .empty());
    CHECK(job.numbers("grids", {"--steps", "2", "--transforms", "none"})
              .at("training")
              .at("transforms")
              .empty());
}

TEST_CASE(
    "quantize: where S_n is measured, the better trial goes on and ends where it would have ended alone",
    "[program]") {
    training_job const job;
    words const steps{"--local-steps", "2", "--steps", "30",
                      "--batch",       "2"};  // held-out text is looked at after 25
    auto const with_choice = [&](char const* choice) {
        return job.numbers("fptquant", with(steps, {"--token-scale", choice})).at("training");
    };
    auto const measured = with_choice("auto"), on = with_choice("on"), off = with_choice("off");
    CHECK(on.at("held_out") != off.at("held_out"));
    auto const& alone = measured.at("transforms").back() == "token_scale" ? on : off;
    CHECK(measured.at("held_out") == alone.at("held_out"));
    CHECK(measured.at("curve") == alone.at("curve"));

    // What a checkpoint is of has been decided.
    words const kept{"--checkpoint", (job.scratch / "state.safetensors").string()};
    for (char const* choice : {"on", "off"}) {
        fs::remove(kept.back());
        REQUIRE(job.run("fptquant", with(with(few_steps, {"--token-scale", choice}), kept)).code == 0);
        auto const resumed = job.numbers("fptquant", with(with(few_steps, {"--token-scale", "auto"}), kept));
        CHECK_THAT(resumed.at("remarks").dump(),
                   Catch::Contains("S_n is " + std::string(choice) + ", as in the checkpoint"));
    }
}

TEST_CASE("quantize: training goes on from its checkpoint, and ends where it would have ended", "[program]") {
    training_job const job;
    words const options = with(few_steps, {"--token-scale", "off"});
    auto const usual = job.numbers("fptquant", options).at("nll").at("quantized");
    words const kept = with(options, {"--checkpoint", (job.scratch / "state.safetensors").string()});
    CHECK(job.numbers("fptquant", kept).at("nll").at("quantized") == usual);
    auto const again = job.numbers("fptquant", kept);
    CHECK(again.at("nll").at("quantized") == usual);
    CHECK_THAT(again.at("remarks").dump(), Catch::Contains("resumed at step 8"));
    // The schedule may be another one.
    words const longer = {"--local-steps", "5",   "--steps",      "12",        "--batch",        "4",
                          "--token-scale", "off", "--checkpoint", kept.back(), "--shift-windows"};
    auto const more = job.numbers("fptquant", longer);
    CHECK_THAT(more.at("remarks").dump(), Catch::Contains("trained by 8 steps of 4 windows") &&
                                              Catch::Contains("then by 12 steps of 4 shifted windows"));
    CHECK(more.at("training").at("curve").size() == 12);
    CHECK(more.at("training").at("curve")[7] == again.at("training").at("curve")[7]);
    CHECK_THAT(job.run("fptquant", with(longer, {"--residual-start", "identity"})).err,
               Catch::Contains("holds another residual_stream.start"));
    // Another job's checkpoint is bad input.
    auto const other = job.run("fptquant", with(kept, {"--seed", "5"}));
    CHECK(other.code == 2);
    CHECK_THAT(other.err, Catch::Contains("is a checkpoint of"));
}

TEST_CASE("quantize: an interrupt ends training with the best so far", "[program]") {
    training_job const job;
    auto const r =
        job.run("grids", {"--steps", "10000000"}, "timeout --foreground --preserve-status -s INT 4");
    CAPTURE(r.err);
    REQUIRE(r.code == 0);
    CHECK_THAT(r.json().at("remarks").dump(), Catch::Contains("the best so far was kept"));
    CHECK(r.json().at("training").at("steps").get<int>() > 0);

    // In a trial nothing is decided yet, and there is no state to go on from.
    fs::path const state = job.scratch / "state.safetensors";
    auto const trial = job.run("fptquant",
                               {"--steps", "10000000", "--local-steps", "0", "--token-scale", "auto",
                                "--checkpoint", state.string()},
                               "timeout --foreground --preserve-status -s INT 4");
    CAPTURE(trial.err);
    REQUIRE(trial.code == 0);
    CHECK_THAT(trial.json().at("remarks").dump(), Catch::Contains("S_n is off: training ended before"));
    CHECK(trial.json().at("training").at("steps").get<int>() > 0);
    CHECK(!fs::exists(state));
}

TEST_CASE("quantize: training refuses what does not fit", "[program]") {
    training_job const job;
    auto const refused = [&](outcome const& r, std::string const& text) {
        CHECK(r.code == 2);
        CHECK(r.n_error_lines() == 1);
        CHECK_THAT(r.err, Catch::Contains(text));
    };
    refused(job.run("hadamard", {"--steps", "3"}),
            "--steps was given with --recipe hadamard, which does not train");
    refused(job.run("fptquant", {"--transforms", "residual_stream,value"}), "\"value\" is no site");
    refused(run({"quantize", job.model.string(), "--recipe", "grids", "--bits", "4-16-16", "--eval",
                 job.text.string()}),
            "give --calib FILE, the text that --recipe grids trains on");
    refused(run({"quantize", job.model.string(), "--recipe", "grids", "--calib", job.text.string(), "--eval",
                 job.text.string()}),
            "windows of --eval are in --calib too");
    refused(job.run("grids", {"--training-windows", "1"}), "expected at least 2");
    refused(job.run("spinquant", {"--value-start", "moments"}), "T_v is not dense");
    refused(job.run("spinquant", {"--token-scale", "static"}), "expected T_v and T_u");
    refused(job.run("fptquant", {"--value-transform", "low-rank", "--value-rank", "999"}), "rank 999");
}
