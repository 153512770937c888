// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <commutant/recipes/int4_decoder.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <commutant/kernels/executor.hpp>
#include <commutant/model/random_decoder.hpp>
#include <commutant/readings/eigen_matrix.hpp>

namespace cm = commutant;
using float32 = cm::eigen_matrix<float>;

namespace {

constexpr cm::model_config int4_geometry{.n_layers = 2,
                                         .model_dim = 16,
                                         .ffn_dim = 24,
                                         .n_heads = 4,
                                         .n_kv_heads = 2,
                                         .head_dim = 6,
                                         .rotary_dim = 4,
                                         .vocab_size = 17,
                                         .max_positions = 128,
                                         .qkv_bias = true,
                                         .o_bias = true,
                                         .mlp_bias = true};

/// A decoder with every online part that a merged model may have.
cm::decoder<float32> small_decoder(bool online, cm::model_config const& c = int4_geometry) {
    cm::random_source random(3);
    cm::parameter_source<float> source(random);
    auto m = cm::random_decoder<float32>(c, source);
    if (online) {
        for (auto& l : m.layers) l.attention_norm = l.ffn_norm = float32();
        m.final_norm = float32();
        m.online.down_input.emplace(c.ffn_dim, 0);
        m.online.token_scale = true;
    }
    return m;
}

cm::token_sequences const windows{{0, 5, 3, 8, 1, 14, 2, 2, 10}, {0, 16, 2}, {0, 9, 9, 4, 12, 11, 7}};

cm::quantization_settings settings_of(std::string const& bits) {
    return cm::with_bits({}, cm::parse_bit_widths(bits));
}

/// Largest difference of logits over the largest logit.
double deviation(cm::quantized_decoder<float32> const& q, cm::kernels::executor const& threads = {}) {
    cm::int4_decoder const engine = cm::to_int4(q, threads);
    cm::runner<float32> const fake(q.model);
    auto const integers = engine.make_runner();
    double largest = 0, difference = 0;
    for (auto const& w : windows) {
        auto fake_tap = q.tap();
        auto engine_tap = engine.tap();
        auto const expected = fake.logits(w, fake_tap);
        auto const found = integers.logits(w, engine_tap);
        REQUIRE(found.rows() == expected.rows());
        REQUIRE(found.cols() == expected.cols());
        for (std::size_t i = 0; i < expected.rows(); ++i)
            for (std::size_t j = 0; j < expected.cols(); ++j) {
                double const e = static_cast<double>(expected(i, j));
                largest = std::max(largest, std::abs(e));
                difference = std::max(difference, std::abs(static_cast<double>(found(i, j)) - e));
            }
    }
    return difference / largest;
}

std::vector<float> int4_elements(cm::engine_rows const& m) { return {m.data(), m.data() + m.size()}; }

}  // namespace

TEST_CASE("the integer decoder computes what fake quantisation computes", "[int4_decoder]") {
    for (bool const online : {false, true})
        for (char const* bits : {"4-4-4", "4-8-4", "4-8-8", "3-6-5", "2-5-16"})
            for (auto const timing : {cm::grid_timing::static_grid, cm::grid_timing::dynamic_grid})
                for (bool const symmetric : {false, true}) {
                    auto settings = settings_of(bits);
                    settings.activations.timing = settings.kv_cache.timing = timing;
                    settings.activations.symmetric = settings.kv_cache.symmetric = symmetric;
                    CAPTURE(online, bits, to_string(timing), symmetric);
                    CHECK(deviation(cm::quantize_decoder(small_decoder(online), windows, settings)) < 2e-6);
                }
}

TEST_CASE("folded gains and T_d without the residual scaling", "[int4_decoder]") {
    for (auto const timing : {cm::grid_timing::static_grid, cm::grid_timing::dynamic_grid}) {
        auto model = small_decoder(true);
        model.online.token_scale = false;
        auto settings = settings_of("4-4-4");
        settings.activations.timing = settings.kv_cache.timing = timing;
        CHECK(deviation(cm::quantize_decoder(std::move(model), windows, settings)) < 2e-6);
    }
}

TEST_CASE("weights in groups, on one grid, and under q/k norms", "[int4_decoder]") {
    auto settings = settings_of("4-8-4");
    settings.weights.scope = cm::granularity::per_group;
    settings.weights.group_size = 8;
    CHECK(deviation(cm::quantize_decoder(small_decoder(true), windows, settings)) < 2e-6);
    settings.weights.scope = cm::granularity::per_tensor;
    CHECK(deviation(cm::quantize_decoder(small_decoder(true), windows, settings)) < 2e-6);
    cm::model_config c = int4_geometry;
    c.qk_norm = true;
    c.rope_pairing = cm::pairing::interleaved;
    CHECK(deviation(cm::quantize_decoder(small_decoder(false, c), windows, settings_of("4-4-4"))) < 2e-6);
}

TEST_CASE("tokens one by one give the same logits, and any number of threads the same bits",
          "[int4_decoder]") {
    auto const q = cm::quantize_decoder(small_decoder(true), windows, settings_of("4-4-4"));
    cm::int4_decoder const alone = cm::to_int4(q);
    auto const run = alone.make_runner();
    auto tap = alone.tap();
    std::vector<int> tokens;
    for (int i = 0; i < 100; ++i) tokens.push_back(i * 7 % 17);  // beyond the first capacity of the cache
    auto const whole = int4_elements(run.logits(std::span<int const>(tokens), tap));

    cm::kv_cache<cm::engine_rows> cache(q.model.config);
    std::vector<float> one_by_one;
    for (int const t : tokens) {
        auto const row = int4_elements(run.logits(std::span<int const>(&t, 1), cache, tap));
        one_by_one.insert(one_by_one.end(), row.begin(), row.end());
    }
    // The output head is a float product, whose order of sums depends on the number of rows.
    auto const require_close = [&](std::vector<float> const& found) {
        REQUIRE(found.size() == whole.size());
        float difference = 0, largest = 0;
        for (std::size_t k = 0; k < whole.size(); ++k) {
            difference = std::max(difference, std::abs(found[k] - whole[k]));
            largest = std::max(largest, std::abs(whole[k]));
        }
        CHECK(difference < 1e-6F * largest);
    };
    require_close(one_by_one);
    require_close(int4_elements(alone.make_runner(0, 33).logits(std::span<int const>(tokens), tap)));

    for (std::size_t const n : {2, 3}) {
        cm::kernels::thread_pool pool(n);
        cm::int4_decoder const threaded = cm::to_int4(q, pool);
        auto const threaded_run = threaded.make_runner();
        auto threaded_tap = threaded.tap();
        bool const same =
            int4_elements(threaded_run.logits(std::span<int const>(tokens), threaded_tap)) == whole;
        CHECK(same);
    }
}

TEST_CASE("settings that the integer kernels do not run are refused", "[int4_decoder]") {
    auto const message_of = [](cm::quantization_settings const& s) {
        try {
            cm::require_int4(s);
        } catch (std::invalid_argument const& error) {
            return std::string(error.what());
        }
        return std::string("accepted");
    };
    CHECK(message_of(settings_of("4-4-4")) == "accepted");
    CHECK_THAT(message_of(settings_of("8-8-8")), Catch::Contains("weights have 8 bits"));
    CHECK_THAT(message_of(settings_of("4-16-4")), Catch::Contains("activations are floating point"));
    auto settings = settings_of("4-4-4");
    settings.covers = cm::coverage::plus_bmm;
    CHECK_THAT(message_of(settings), Catch::Contains("plus_bmm"));
    settings = settings_of("4-4-4");
    settings.weights.scope = cm::granularity::per_group;
    settings.weights.group_size = 12;
    CHECK_THAT(message_of(settings), Catch::Contains("groups of 12"));
}
