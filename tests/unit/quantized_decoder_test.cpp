// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <commutant/recipes/quantized_decoder.hpp>

#include <catch2/catch.hpp>

#include <cmath>
#include <map>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <commutant/model/random_decoder.hpp>
#include <commutant/readings/eigen_matrix.hpp>
#include <commutant/recipes/distributions.hpp>
#include <commutant/recipes/single_quantizer.hpp>

namespace cm = commutant;
using float64 = cm::eigen_matrix<double>;
using float32 = cm::eigen_matrix<float>;
using cm::location;

namespace {

constexpr cm::model_config quantized_geometry{.n_layers = 2,
                                              .model_dim = 12,
                                              .ffn_dim = 20,
                                              .n_heads = 4,
                                              .n_kv_heads = 2,
                                              .head_dim = 6,
                                              .rotary_dim = 4,
                                              .vocab_size = 17,
                                              .max_positions = 16,
                                              .qkv_bias = true,
                                              .o_bias = true,
                                              .mlp_bias = true};

template <class M> cm::decoder<M> small_decoder(std::uint64_t seed = 3) {
    cm::random_source random(seed);
    cm::parameter_source<typename M::scalar> source(random);
    auto m = cm::random_decoder<M>(quantized_geometry, source);
    // Token 0 stands in for BOS: far away from all others, as attention sinks are.
    for (std::size_t j = 0; j < m.config.model_dim; ++j)
        m.embedding(0, j) *= typename M::scalar(j == 3 ? 200 : 1);
    return m;
}

cm::token_sequences const calibration_windows{{0, 5, 3, 8, 1}, {0, 16, 2}, {0, 9, 9, 4, 12, 11, 7}};

using place = std::pair<std::size_t, location>;

/// Keeps every activation, row 0 of each window apart.
struct recording_tap {
    std::map<place, std::vector<double>> first_rows, other_rows;
    std::map<place, std::vector<double>> everything;

    template <class M> M operator()(location where, std::size_t layer, M x) {
        for (std::size_t i = 0; i < x.rows(); ++i)
            for (std::size_t j = 0; j < x.cols(); ++j) {
                auto const value = static_cast<double>(x(i, j));
                (i == 0 ? first_rows : other_rows)[{layer, where}].push_back(value);
                everything[{layer, where}].push_back(value);
            }
        return x;
    }
};

recording_tap recorded(cm::decoder<float64> const& m, cm::token_sequences const& windows) {
    recording_tap tap;
    cm::runner<float64> const run(m);
    for (auto const& w : windows) static_cast<void>(run.logits(w, tap));
    return tap;
}

cm::quantization_settings settings_of(std::string const& bits, cm::coverage covers,
                                      cm::range_method method = cm::range_method::min_max) {
    cm::quantization_settings s = cm::with_bits({}, cm::parse_bit_widths(bits));
    s.covers = covers;
    s.weights.range.method = s.activations.range.method = s.kv_cache.range.method = method;
    return s;
}

constexpr location all_locations[] = {location::attention_input,
                                      location::query_before_rope,
                                      location::key_before_rope,
                                      location::query,
                                      location::key,
                                      location::value,
                                      location::probabilities,
                                      location::attention_output,
                                      location::o_output,
                                      location::ffn_input,
                                      location::gate_output,
                                      location::activated_gate,
                                      location::up_output,
                                      location::down_input,
                                      location::down_output,
                                      location::head_input};

}  // namespace

TEST_CASE("coverage: linears_kv is the inputs of all linears of a block, keys and values",
          "[recipes][coverage]") {
    std::set<location> const linears_kv{location::attention_input,
                                        location::attention_output,
                                        location::ffn_input,
                                        location::down_input,
                                        location::key,
                                        location::value};
    std::set<location> const bmm{location::query, location::probabilities};
    for (location const where : all_locations) {
        CAPTURE(cm::to_string(where));
        bool const inner = linears_kv.count(where) != 0;
        CHECK(cm::covers(cm::coverage::linears_kv, where) == inner);
        CHECK(cm::covers(cm::coverage::plus_bmm, where) == (inner || bmm.count(where) != 0));
        CHECK(cm::covers(cm::coverage::all_but_residual, where));
        CHECK(cm::parse_location(cm::to_string(where)) == where);
    }
    CHECK_THROWS_WITH(cm::parse_location("residual"),
                      Catch::Contains("got \"residual\", expected a location"));
}

TEST_CASE("locations go by names that files keep", "[recipes][coverage]") {
    std::vector<std::string> const names{
        "attention_input", "query_before_rope", "key_before_rope",  "query",      "key",
        "value",           "probabilities",     "attention_output", "o_output",   "ffn_input",
        "gate_output",     "activated_gate",    "up_output",        "down_input", "down_output",
        "head_input"};
    REQUIRE(names.size() == cm::n_locations);
    for (std::size_t i = 0; i < names.size(); ++i) CHECK(cm::to_string(all_locations[i]) == names[i]);
}

TEST_CASE("settings: what enters the KV cache follows the KV width, everything else the activations'",
          "[recipes][coverage]") {
    auto const kv_only = settings_of("16-16-4", cm::coverage::all_but_residual);
    auto const activations_only = settings_of("16-4-16", cm::coverage::all_but_residual);
    for (location const where : all_locations) {
        bool const in_cache = where == location::key || where == location::value;
        CHECK(cm::is_quantized(kv_only, where) == in_cache);
        CHECK(cm::is_quantized(activations_only, where) == !in_cache);
    }
}

TEST_CASE("calibrate: min-max grids cover the rows of all windows but the first of each",
          "[recipes][calibration]") {
    auto const m = small_decoder<float64>();
    auto const seen = recorded(m, calibration_windows);
    for (bool const symmetric : {false, true}) {
        auto settings = settings_of("16-4-8", cm::coverage::all_but_residual);
        settings.activations.symmetric = settings.kv_cache.symmetric = symmetric;
        auto const grids = cm::calibrate(m, calibration_windows, settings);
        for (auto const& [where, values] : seen.other_rows) {
            CAPTURE(where.first, cm::to_string(where.second));
            int const bits = cm::settings_at(settings, where.second).num_bits;
            cm::grid const expected =
                cm::min_max_grid(cm::range_of(std::span<double const>(values)), bits, symmetric);
            CHECK(grids.at(where.first, where.second) == expected);
        }
    }
    // BOS would have widened the input of the first linears, so the test above can tell.
    place const first{0, location::o_output};
    auto with_bos = cm::range_of(std::span<double const>(seen.everything.at(first)));
    CHECK_FALSE(with_bos == cm::range_of(std::span<double const>(seen.other_rows.at(first))));
}

TEST_CASE("calibrate: L_p grids minimise the error summed over all windows", "[recipes][calibration]") {
    auto const m = small_decoder<float64>();
    auto const seen = recorded(m, calibration_windows);
    auto settings = settings_of("16-4-4", cm::coverage::plus_bmm, cm::range_method::lp_norm);
    auto const grids = cm::calibrate(m, calibration_windows, settings);
    bool clips = false;
    for (auto const& [where, values] : seen.other_rows) {
        CAPTURE(where.first, cm::to_string(where.second));
        if (!cm::is_quantized(settings, where.second)) {
            CHECK(grids.at(where.first, where.second).is_float());
            continue;
        }
        cm::grid const expected =
            cm::set_range(std::span<double const>(values), 4, false, settings.activations.range);
        CHECK(grids.at(where.first, where.second) == expected);
        clips = clips || expected.scale <
                             cm::min_max_grid(cm::range_of(std::span<double const>(values)), 4, false).scale;
    }
    CHECK(clips);
}

TEST_CASE("calibrate: nothing is asked of the windows unless static grids are wanted",
          "[recipes][calibration]") {
    auto const m = small_decoder<float64>();
    auto settings = settings_of("4-4-4", cm::coverage::linears_kv);
    CHECK_THROWS_WITH(cm::calibrate(m, {{0}, {0}}, settings), Catch::Contains("hold no token behind BOS"));
    CHECK_THROWS_WITH(cm::calibrate(m, {}, settings), Catch::Contains("hold no token behind BOS"));
    settings.activations.timing = settings.kv_cache.timing = cm::grid_timing::dynamic_grid;
    auto const grids = cm::calibrate(m, {}, settings);
    CHECK(grids.n_layers() == 2);
    CHECK(grids.at(0, location::attention_input).is_float());
    CHECK_THROWS_WITH(cm::calibrate(m, {{0, 17}}, settings_of("4-4-4", cm::coverage::linears_kv)),
                      "logits: token 17, expected 0 .. 16");
}

TEST_CASE("calibrate: windows longer than the model has positions are refused", "[recipes][calibration]") {
    auto const m = small_decoder<float64>();
    cm::token_sequences const too_long{std::vector<int>(17, 1)};
    CHECK_THROWS_WITH(cm::calibrate(m, too_long, settings_of("4-4-4", cm::coverage::linears_kv)),
                      Catch::Contains("position 16 asked for, expected below 16"));
}

TEST_CASE("quantizing_tap: activations land on their grids where covered, and nowhere else",
          "[recipes][tap]") {
    auto const m = small_decoder<float64>();
    for (auto const covers :
         {cm::coverage::linears_kv, cm::coverage::plus_bmm, cm::coverage::all_but_residual}) {
        for (bool const dynamic : {false, true}) {
            auto settings = settings_of("16-4-3", covers);
            if (dynamic)
                settings.activations.timing = settings.kv_cache.timing = cm::grid_timing::dynamic_grid;
            auto const grids = cm::calibrate(m, calibration_windows, settings);
            cm::quantizing_tap const tap(settings, grids);
            std::size_t n_rounded = 0;
            auto const watched = [&](location where, std::size_t layer, float64 x) {
                float64 const y = tap(where, layer, x);
                CAPTURE(layer, cm::to_string(where), dynamic);
                float64 expected = x;
                if (cm::is_quantized(settings, where)) {
                    ++n_rounded;
                    int const bits = cm::settings_at(settings, where).num_bits;
                    for (std::size_t i = 0; i < x.rows(); ++i) {
                        std::span<double> const row(expected.data() + i * x.cols(), x.cols());
                        cm::grid const g =
                            dynamic
                                ? cm::min_max_grid(cm::range_of(std::span<double const>(row)), bits, false)
                                : grids.at(layer, where);
                        for (double& v : row) v = cm::fake_quantize(v, g);
                    }
                    CHECK_FALSE(y.values == x.values);
                }
                CHECK(y.values == expected.values);
                return y;
            };
            cm::runner<float64> const run(m);
            static_cast<void>(run.logits(std::vector<int>{0, 4, 15, 2, 6}, watched));
            // Of a layer: 6 places, 4 heads' probabilities and the query, and 7 more; the head's input once.
            std::size_t const per_layer = covers == cm::coverage::linears_kv ? 6
                                          : covers == cm::coverage::plus_bmm ? 11
                                                                             : 18;
            CHECK(n_rounded == 2 * per_layer + (covers == cm::coverage::all_but_residual ? 1 : 0));
        }
    }
}

TEST_CASE("quantize_decoder: block weights lie on their grids, everything else stays as it was",
          "[recipes]") {
    auto const m = small_decoder<float32>();
    for (bool const grouped : {false, true}) {
        auto settings = settings_of("4-16-16", cm::coverage::linears_kv);
        if (grouped) settings.weights.scope = cm::granularity::per_group, settings.weights.group_size = 4;
        auto const q = cm::quantize_decoder(m, {}, settings);
        CHECK(q.model.embedding.values == m.embedding.values);
        CHECK(q.model.lm_head.weight.values == m.lm_head.weight.values);
        CHECK(q.model.final_norm.values == m.final_norm.values);
        std::vector<cm::linear<float32> const*> before;
        cm::visit_block_linears(m, [&](std::string const&, auto const& l) { before.push_back(&l); });
        std::size_t next = 0;
        cm::visit_block_linears(q.model, [&](std::string const& name, auto const& l) {
            CAPTURE(name, grouped);
            auto const& w = before[next++]->weight;
            auto const& grids = q.weight_grids.at(name);
            std::size_t const slice = grouped ? 4 : w.cols();
            REQUIRE(grids.size() * slice == w.size());
            CHECK(l.bias.values == before[next - 1]->bias.values);
            for (std::size_t k = 0; k < w.size(); ++k) {
                cm::grid const& g = grids[k / slice];
                CHECK(g == cm::set_range(std::span<float const>(w.data() + k / slice * slice, slice), 4, true,
                                         settings.weights.range));
                REQUIRE(l.weight.data()[k] == cm::fake_quantize(w.data()[k], g));
            }
        });
        CHECK(next == 14);
        CHECK(q.weight_grids.size() == 14);
    }
}

TEST_CASE("quantize_decoder: at 16-16-16 the likelihood is that of the float model bit for bit",
          "[recipes]") {
    auto const m = small_decoder<float32>();
    cm::token_sequences const windows{{0, 1, 2, 3}, {0, 16, 5}};
    auto const q = cm::quantize_decoder(m, {}, settings_of("16-16-16", cm::coverage::all_but_residual));
    CHECK(q.weight_grids.empty());
    auto const before = cm::windows_likelihood(m, windows), after = cm::windows_likelihood(q, windows);
    CHECK(before.tokens == 5);
    CHECK(after.tokens == 5);
    CHECK(before.nll == after.nll);
}

TEST_CASE("tapped_likelihood: any number of threads gives the same bytes", "[recipes]") {
    auto const m = small_decoder<float32>();
    auto const q =
        cm::quantize_decoder(m, calibration_windows, settings_of("4-4-4", cm::coverage::linears_kv));
    cm::token_sequences windows;
    for (int i = 0; i < 13; ++i) windows.push_back({0, i, 16 - i, (5 * i) % 17});
    auto const alone = cm::windows_likelihood(q, windows);
    CHECK(alone.tokens == 39);
    for (std::size_t const n : {0u, 2u, 3u, 40u}) {
        std::vector<std::size_t> reported;
        auto const together = cm::windows_likelihood(
            q, windows, [&](std::size_t done, std::size_t) { reported.push_back(done); }, n);
        CHECK(together.nll == alone.nll);
        CHECK(together.tokens == alone.tokens);
        REQUIRE(reported.size() == windows.size());
        for (std::size_t i = 0; i < reported.size(); ++i) CHECK(reported[i] == i + 1);
    }
    CHECK(cm::windows_likelihood(q, {}, {}, 2).tokens == 0);
    windows[4][1] = 17;
    CHECK_THROWS_AS(cm::windows_likelihood(q, windows, {}, 3), std::invalid_argument);
}

TEST_CASE("quantize_decoder: four bits fewer cost about a factor of sixteen in the logits", "[recipes]") {
    auto const m = small_decoder<float64>();
    std::vector<int> const window{0, 4, 9, 13, 2, 7};
    float64 const exact = cm::runner<float64>(m).logits(window);
    auto const error = [&](std::string const& bits) {
        auto const q =
            cm::quantize_decoder(m, calibration_windows, settings_of(bits, cm::coverage::all_but_residual));
        auto tap = q.tap();
        float64 z = cm::runner<float64>(q.model).logits(window, tap);
        return (z.values - exact.values).norm();
    };
    // Row 0 is BOS, which static grids clip at every width, so the factor is asked of weights and cache.
    double const at_4 = error("4-16-4"), at_8 = error("8-16-8");
    CHECK(at_4 > 4 * at_8);
    CHECK(at_8 > 0);
}

TEST_CASE("single quantisers: what is named is rounded as in the whole, everything else stays as it was",
          "[recipes]") {
    auto const m = small_decoder<float64>();
    auto const settings = settings_of("4-4-5", cm::coverage::plus_bmm);
    auto const grids = cm::set_grids(m, calibration_windows, settings);
    auto const whole = cm::quantize_decoder_on(m, grids, settings);
    auto const weights = cm::with_weights_quantized(m, grids, settings);
    std::vector<cm::linear<float64> const*> of_whole;
    cm::visit_block_linears(whole.model, [&](std::string const&, auto const& l) { of_whole.push_back(&l); });
    std::size_t next = 0;
    cm::visit_block_linears(weights.model, [&](std::string const& name, auto const& l) {
        CAPTURE(name);
        CHECK(l.weight.values == of_whole[next++]->weight.values);
    });
    cm::random_source random(8);
    cm::parameter_source<double> source(random);
    auto const x = cm::parameter_matrix<float64>(source, 5, 12, 0);
    for (location const where : all_locations) {
        CAPTURE(cm::to_string(where));
        CHECK(weights.tap()(where, 1, x).values == x.values);
        if (!cm::is_quantized(settings, where)) continue;
        auto const one = cm::with_location_quantized(m, where, grids, settings);
        CHECK(one.model.layers[0].q_proj.weight.values == m.layers[0].q_proj.weight.values);
        CHECK(one.model.layers[1].down_proj.weight.values == m.layers[1].down_proj.weight.values);
        for (location const other : all_locations) {
            CAPTURE(cm::to_string(other));
            auto const rounded = one.tap()(other, 1, x);
            if (other == where)
                CHECK(rounded.values == whole.tap()(where, 1, x).values);
            else
                CHECK(rounded.values == x.values);
        }
    }
}

TEST_CASE("distributions: every covered activation is counted, the first token of a window apart",
          "[recipes]") {
    auto const m = small_decoder<float64>();
    auto const seen = recorded(m, calibration_windows);
    auto const found = cm::activation_distributions(m, calibration_windows, cm::coverage::linears_kv);
    for (std::size_t layer = 0; layer <= m.layers.size(); ++layer)
        for (location const where : all_locations) {
            CAPTURE(layer, cm::to_string(where));
            auto const& s = found.at(layer, where);
            bool const is_there = layer < m.layers.size() && cm::covers(cm::coverage::linears_kv, where);
            if (!is_there) {
                CHECK(s.all().count() == 0);
                continue;
            }
            auto const agrees = [](cm::value_statistics const& counted, std::vector<double> const& values) {
                cm::value_statistics expected;
                expected.observe(std::span<double const>(values));
                CHECK(counted.count() == values.size());
                CHECK(counted.max_abs() == expected.max_abs());
                CHECK(counted.rms() == Approx(expected.rms()));
                CHECK(counted.histogram() == expected.histogram());
            };
            agrees(s.first_token, seen.first_rows.at({layer, where}));
            agrees(s.behind_first, seen.other_rows.at({layer, where}));
            agrees(s.all(), seen.everything.at({layer, where}));
        }
}

TEST_CASE("quantize_decoder: a weight that its settings do not fit is named", "[recipes]") {
    auto settings = settings_of("4-16-16", cm::coverage::linears_kv);
    settings.weights.scope = cm::granularity::per_group;
    settings.weights.group_size = 12;  // 12 and 24 columns, but down_proj has 20
    CHECK_THROWS_WITH(
        cm::quantize_decoder(small_decoder<float32>(), {}, settings),
        "model.layers.0.mlp.down_proj.weight: slice_size: group_size is 12, expected a positive divisor "
        "of the 20 columns");
    settings.weights.num_bits = 9;
    CHECK_THROWS_WITH(cm::quantize_decoder(small_decoder<float32>(), {}, settings),
                      Catch::Contains("num_bits is 9"));
}
