// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <commutant/model/inference.hpp>
#include <commutant/recipes/local_stage.hpp>
#include <commutant/recipes/streamed_stage.hpp>
#include <support/training_models.hpp>
#include <unit/io_support.hpp>

namespace cm = commutant;
using namespace cm::testing;

namespace {

double relative_deviation(cm::decoder<running> const& a, cm::decoder<running> const& b) {
    running const x = cm::runner<running>(a).logits(small_tokens),
                  y = cm::runner<running>(b).logits(small_tokens);
    return (x.values - y.values).cwiseAbs().maxCoeff() / y.values.cwiseAbs().maxCoeff();
}

bool same_values(cm::transform_parameters<running> const& a, cm::transform_parameters<running> const& b) {
    std::vector<running> of_a, of_b;
    cm::visit_trained(a, [&](auto, auto const&, running const& x) { of_a.push_back(x); });
    cm::visit_trained(b, [&](auto, auto const&, running const& x) { of_b.push_back(x); });
    bool same = of_a.size() == of_b.size();
    for (std::size_t k = 0; same && k < of_a.size(); ++k) same = of_a[k].values == of_b[k].values;
    return same;
}

/// A model in a folder, float64, in several files.
struct stored_model {
    temporary_directory folder{};
    cm::io::checkpoint source;

    explicit stored_model(nlohmann::json const& config) : source(written(folder.path(), config)) {}

    [[nodiscard]] cm::decoder<running> model() const { return cm::load_decoder<running>(source); }
    /// Where a transformed model may go.
    [[nodiscard]] std::filesystem::path out(std::string const& name) const {
        auto const path = folder.path() / name;
        std::filesystem::create_directory(path);
        return path;
    }

private:
    static cm::io::checkpoint written(std::filesystem::path const& folder, nlohmann::json const& config) {
        write_file(folder / "config.json", config.dump(1));
        auto const c = cm::io::parse_hf_config(config.dump(), "config.json");
        auto m = small_decoder(c);
        std::vector<cm::io::tensor_declaration> declared;
        for (auto const& t : cm::io::decoder_tensors(c))
            declared.push_back({t.name, cm::io::dtype::f64, t.shape});
        cm::io::sharded_writer writer(folder, declared, 8000);
        cm::visit_tensors(m, [&](std::string const& name, running const& w) {
            if (w.size() != 0) writer.write(name, std::span<double const>(w.data(), w.size()));
        });
        writer.commit();
        return cm::io::checkpoint::open(folder);
    }
};

nlohmann::json config_with(std::vector<std::pair<std::string, nlohmann::json>> const& changes) {
    auto config = tiny_llama_config();
    config["max_position_embeddings"] = 8;
    for (auto const& [key, value] : changes) config[key] = value;
    return config;
}

/// Every bias; a head of its own; normed queries and keys with a tied head.
std::vector<nlohmann::json> configs() {
    return {config_with({{"attention_bias", true}, {"mlp_bias", true}}),
            config_with({{"model_type", "qwen3"}, {"tie_word_embeddings", true}})};
}

/// Largest deviation of any tensor of two models.
double deviation(cm::decoder<running> const& a, cm::decoder<running> const& b) {
    std::vector<running> of_a;
    cm::visit_tensors(a, [&](std::string const&, running const& w) { of_a.push_back(w); });
    double worst = 0;
    std::size_t k = 0;
    cm::visit_tensors(b, [&](std::string const&, running const& w) {
        running const& other = of_a[k++];
        REQUIRE(other.size() == w.size());
        if (w.size() != 0) worst = std::max(worst, (other.values - w.values).cwiseAbs().maxCoeff());
    });
    return worst;
}

std::vector<cm::transform_forms> mergeable_forms() {
    auto forms = all_forms();
    forms.pop_back();
    for (auto& f : forms) f.chosen.token_scale = false, f.down_block = 4;
    return forms;
}

cm::streaming_options sampled(std::size_t n_threads = 1) {
    return {.local = {.n_steps = 20, .n_threads = n_threads}, .sample_rows = 3, .sample_layers = 2};
}

}  // namespace

TEST_CASE("transform_parameters: every form starts and stays function-preserving, in or out of the plan",
          "[optimize][merge][gqa]") {
    auto const c = small_config();
    auto const base = small_decoder(c);
    for (auto const& forms : all_forms()) {
        auto p = small_parameters(c, forms);
        move_randomly(p);
        for (auto const eps : {cm::eps_rule::exact, cm::eps_rule::plain}) {
            auto merged = base;
            cm::fold_parameters(p, eps, merged);
            CHECK(merged.online.token_scale == forms.chosen.token_scale);
            CHECK(merged.online.down_input.has_value() == forms.chosen.down_input);
            if (eps == cm::eps_rule::exact || !forms.chosen.token_scale)
                CHECK(relative_deviation(merged, base) < 1e-12);
            else
                CHECK(relative_deviation(merged, base) > 1e-6);  // eps of 1e-2
        }
    }
}

TEST_CASE("merge_offline and merge_online: together what fold_parameters does", "[recipes][merge]") {
    auto c = small_config();
    for (bool const normed : {false, true}) {
        c.qk_norm = normed;
        auto const base = small_decoder(c);
        for (auto const& forms : all_forms()) {
            auto p = small_parameters(c, forms);
            CHECK(p.chosen.query_key == (forms.chosen.query_key && !normed));
            move_randomly(p);
            auto whole = base, parts = base;
            cm::fold_parameters(p, cm::eps_rule::exact, whole);
            cm::merge_offline(p, parts, {10, 1e6});
            CHECK_FALSE(parts.online.token_scale);
            CHECK(relative_deviation(parts, base) < 1e-12);
            cm::merge_online(p, cm::eps_rule::exact, parts, {10, 1e6});
            CHECK(relative_deviation(parts, whole) < 1e-13);
            CHECK(parts.online.token_scale == whole.online.token_scale);
        }
    }
}

TEST_CASE("weight norms: the gradient of every trained transform is that of central differences",
          "[optimize][merge][gqa]") {
    auto const c = small_config();
    auto const base = small_decoder(c);
    for (auto const& forms : all_forms()) {
        auto const p = moved_parameters(c, forms);
        auto const norms = [&]<class M>(std::vector<M> const& values) {
            auto m = cm::converted<M>(base);
            cm::fold_parameters(with_values<M>(p, values), cm::eps_rule::exact, m);
            M sizes(0, 1);
            cm::visit_tensors(m, [&](std::string const&, M const& w) {
                if (w.rows() > 1) sizes = append_rows(sizes, mean_square_rows(elementwise_product(w, w)));
            });
            return sizes;
        };
        CHECK(gradient_deviation(values_of(p), norms) < gradient_tolerance);
    }
}

TEST_CASE("local stage: norms fall, every transform has a gradient and moves, and the function stays",
          "[recipes][optimize]") {
    auto const c = small_config();
    auto const base = small_decoder(c);
    for (auto const& forms : all_forms())
        for (bool const sequential : {true, false}) {
            auto const start = small_parameters(c, forms);
            auto p = start;
            cm::local_options const options{.n_steps = 30, .p = 4, .sequential = sequential};
            std::size_t calls = 0, last = 0;
            auto const report = cm::minimise_weight_norms(
                base, p, options, [&](std::size_t done, std::size_t total) { ++calls, last = total - done; });
            CHECK(calls > 0);
            CHECK(last <= 30);
            CHECK(report.loss_after < 0.995 * report.loss_before);
            auto merged = base;
            cm::fold_parameters(p, cm::eps_rule::exact, merged);
            CHECK(cm::weight_norms(merged, 4) == Approx(report.loss_after));
            CHECK(relative_deviation(merged, base) < 1e-12);
            std::vector<running> before;
            cm::visit_trained(start, [&](auto, auto const&, running const& x) { before.push_back(x); });
            std::size_t k = 0;
            cm::visit_trained(p, [&](cm::parameter_group group, std::string const& name, running const& x) {
                CAPTURE(name, sequential);
                CHECK((x.values - before[k++].values).norm() > 1e-3);
                CHECK(report.gradient_norms[static_cast<std::size_t>(group)] > 1e-4);
                CHECK(report.movements[static_cast<std::size_t>(group)] > 1e-3);
            });
        }
}

TEST_CASE("local stage: same bytes again, nearly the same on two threads, every p accepted in its range",
          "[recipes][optimize]") {
    auto const c = small_config();
    auto const base = small_decoder(c);
    auto const forms = all_forms().front();
    auto const run = [&](cm::local_options const& options) {
        auto p = small_parameters(c, forms);
        cm::minimise_weight_norms(base, p, options);
        return p;
    };
    cm::local_options options{.n_steps = 10};
    auto const once = run(options);
    CHECK(same_values(once, run(options)));
    options.n_threads = 2;
    auto const on_two = run(options);
    CHECK(same_values(on_two, run(options)));
    auto const a = values_of(once), b = values_of(on_two);
    for (std::size_t k = 0; k < a.size(); ++k)
        CHECK((a[k].values - b[k].values).cwiseAbs().maxCoeff() < 1e-9);  // sums in another order
    for (int const p : {1, 9}) {
        options.p = p;
        CHECK_THROWS_WITH(run(options),
                          "minimise_weight_norms: p is " + std::to_string(p) + ", expected 2 to 8");
    }
}

TEST_CASE("streamed stage: taking everything, it writes what the stage in memory finds",
          "[recipes][optimize][io]") {
    for (auto const& config : configs()) {
        stored_model const stored(config);
        auto const base = stored.model();
        int n = 0;
        for (auto const& forms : mergeable_forms()) {
            auto streamed = small_parameters(base.config, forms), at_once = streamed;
            cm::local_options const local{.n_steps = 8};
            auto const out = stored.out(std::to_string(n++));
            auto const report = cm::transform_checkpoint(
                stored.source, streamed, out, {.local = local, .sample_rows = 1000, .sample_layers = 1000});
            auto const expected = cm::minimise_weight_norms(base, at_once, local);
            auto merged = base;
            cm::merge_offline(at_once, merged, {});
            auto const read = cm::load_decoder<running>(cm::io::checkpoint::open(out));
            cm::visit_tensors(merged, [](std::string const& name, running& w) {
                if (w.size() == 0 && name.ends_with("norm.weight") &&
                    name.find("self_attn") == std::string::npos)
                    w = cm::shifted(running(1, 12), 1.0);
            });
            CHECK(deviation(read, merged) < 1e-9);  // Adam's first steps look at signs: sums in another order
            CHECK(report.original_norms ==
                  Approx(cm::weight_norms(base, 4) + (base.config.tied_head && forms.chosen.residual_stream
                                                          ? cm::lp_norm_of(base.embedding, 4)
                                                          : 0)));
            CHECK(report.local.loss_before == Approx(expected.loss_before));
            CHECK(report.local.loss_after == Approx(expected.loss_after));
            for (std::size_t g = 0; g < 4; ++g) {
                CHECK((report.local.gradient_norms[g] > 0) == (expected.gradient_norms[g] > 0));
                CHECK((report.local.movements[g] > 0) == (expected.movements[g] > 0));
            }
        }
    }
}

TEST_CASE(
    "streamed stage: on samples, norms fall, every transform has a gradient and moves, and the function "
    "stays",
    "[recipes][optimize][io]") {
    for (auto const& config : configs()) {
        stored_model const stored(config);
        auto const base = stored.model();
        int n = 0;
        for (auto const& forms : mergeable_forms()) {
            auto const start = small_parameters(base.config, forms);
            auto p = start;
            auto const out = stored.out(std::to_string(n++));
            auto const report = cm::transform_checkpoint(stored.source, p, out, sampled());
            auto const read = cm::load_decoder<running>(cm::io::checkpoint::open(out));
            CHECK(relative_deviation(read, base) < 1e-12);
            CHECK(read.config.tied_head == (base.config.tied_head && !forms.chosen.residual_stream));
            auto merged_start = base;
            cm::fold_parameters(start, cm::eps_rule::exact, merged_start);
            CHECK(report.local.loss_after < 0.998 * cm::weight_norms(merged_start, 4));
            CHECK(report.local.loss_before == Approx(cm::weight_norms(merged_start, 4)).epsilon(0.2));
            CHECK(report.layer_seconds.size() == 2);
            auto const before = values_of(start);
            std::size_t k = 0;
            cm::visit_trained(p, [&](cm::parameter_group group, std::string const& name, running const& x) {
                CAPTURE(name);
                CHECK((x.values - before[k++].values).norm() > 1e-3);
                CHECK(report.local.gradient_norms[static_cast<std::size_t>(group)] > 1e-4);
                CHECK(report.local.movements[static_cast<std::size_t>(group)] > 1e-3);
            });
        }
    }
}

TEST_CASE("streamed stage: same bytes again, other samples on two threads", "[recipes][optimize][io]") {
    stored_model const stored(configs().front());
    auto const forms = mergeable_forms().front();
    int n = 0;
    auto const run = [&](cm::streaming_options const& options) {
        auto p = small_parameters(stored.source.config(), forms);
        auto const out = stored.out(std::to_string(n++));
        cm::transform_checkpoint(stored.source, p, out, options);
        return cm::load_decoder<running>(cm::io::checkpoint::open(out));
    };
    for (std::size_t const threads : {1, 2}) {
        auto const once = run(sampled(threads));
        CHECK(deviation(once, run(sampled(threads))) == 0);
        auto other = sampled(threads);
        other.seed = 2;
        CHECK(deviation(once, run(other)) > 1e-6);
    }
    // Without training, whatever the threads.
    auto merged_only = sampled();
    merged_only.local.n_steps = 0;
    auto const merged = run(merged_only);
    merged_only.local.n_threads = 3;
    CHECK(deviation(merged, run(merged_only)) == 0);
    auto expected = stored.model();
    cm::merge_offline(small_parameters(expected.config, forms), expected, {});
    CHECK((merged.layers[1].down_proj.weight.values - expected.layers[1].down_proj.weight.values)
              .cwiseAbs()
              .maxCoeff() < 1e-14);
}

TEST_CASE("streamed stage: stops when asked to, and refuses what it cannot do", "[recipes][io]") {
    stored_model const stored(configs().front());
    auto p = small_parameters(stored.source.config(), mergeable_forms().front());
    auto const out = stored.out("out");
    std::vector<std::string> stages;
    std::size_t looks = 0;
    cm::streaming_watch watch;
    watch.progress = [&](std::string const& stage, std::size_t done, std::size_t total) {
        CHECK(done <= total);
        if (stages.empty() || stages.back() != stage) stages.push_back(stage);
    };
    watch.stop = [&] { return ++looks == 30; };
    CHECK_THROWS_AS(cm::transform_checkpoint(stored.source, p, out, sampled(), watch), cm::interrupted);
    CHECK(looks == 30);
    CHECK(stages ==
          std::vector<std::string>{"T_r, norms of the start", "T_r", "embedding", "head", "block 1 of 2"});

    auto const refused = [&](cm::streaming_options const& options, std::string const& words) {
        CHECK_THROWS_WITH(cm::transform_checkpoint(stored.source, p, out, options),
                          Catch::Contains("transform_checkpoint: " + words));
    };
    auto options = sampled();
    options.local.p = 9;
    refused(options, "p is 9, expected 2 to 8");
    options = sampled();
    options.sample_rows = 0;
    refused(options, "samples of 0 rows of 2 blocks");
    options = sampled();
    options.sample_layers = 0;
    refused(options, "samples of 3 rows of 0 blocks");
    p.chosen.token_scale = true;
    refused(sampled(), "S_n runs online");
}
