// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <commutant/operators/residual.hpp>
#include <commutant/recipes/fptquant.hpp>

#include "against_reference.hpp"
#include "reference/reference_random.hpp"

namespace cm = commutant;
using namespace against_reference;

// The mistakes that tests/static/proofs/mistakes refutes, in numbers: how far off the logits of a small
// random decoder are when one is made. Far above rounding, so a property test that lets one pass has too wide
// a tolerance.

namespace {

using M = matrix_of<double>;
using model = decoder_of<double>;
using residual_alone = cm::plan<cm::at<cm::sites::residual_stream, cm::orthogonal>>;
using token_scale_alone = cm::plan<cm::at<cm::sites::token_scale, cm::residual_scale>>;

constexpr double rounding = 1e-11;
constexpr int n_seeds = 9;

/// The decoder of the conformance cases, in the library's types.
model conformance_decoder(std::uint64_t seed, double eps) {
    reference::config const r = reference::conformance_config();
    reference::weights const w =
        reference::random_weights(r, seed, {.attention_biases = true, .ffn_biases = false});
    model m;
    cm::model_config& c = m.config;
    c.n_layers = r.n_layers, c.model_dim = r.model_dim, c.ffn_dim = r.ffn_dim, c.n_heads = r.n_heads;
    c.n_kv_heads = r.n_kv_heads, c.head_dim = r.head_dim, c.rotary_dim = r.rotary_dim,
    c.vocab_size = r.vocab_size;
    c.max_positions = r.seq_len, c.rms_norm_eps = eps;
    c.qkv_bias = c.o_bias = true;
    auto const matrix = [](std::vector<double> const& x, std::size_t rows) {
        M y(x.empty() ? 0 : rows, x.empty() ? 0 : x.size() / rows);
        std::copy(x.begin(), x.end(), y.elements().begin());
        return y;
    };
    auto const projection = [&](std::vector<double> const& weight, std::vector<double> const& bias,
                                std::size_t out) {
        return cm::linear<M>{matrix(weight, out), matrix(bias, 1)};
    };
    std::size_t const q = c.n_heads * c.head_dim, kv = c.n_kv_heads * c.head_dim;
    m.embedding = matrix(w.embedding, c.vocab_size);
    for (reference::layer const& l : w.layers)
        m.layers.push_back({matrix(l.attention_norm, 1), projection(l.q_proj, l.q_bias, q),
                            projection(l.k_proj, l.k_bias, kv), projection(l.v_proj, l.v_bias, kv),
                            projection(l.o_proj, l.o_bias, c.model_dim), M{}, M{}, matrix(l.ffn_norm, 1),
                            projection(l.gate_proj, l.gate_bias, c.ffn_dim),
                            projection(l.up_proj, l.up_bias, c.ffn_dim),
                            projection(l.down_proj, l.down_bias, c.model_dim)});
    m.final_norm = matrix(w.final_norm, 1);
    m.lm_head = projection(w.lm_head, {}, c.vocab_size);
    return m;
}

/// Largest deviation of a logit from the reference over 9 models, its median.
///
/// change    (model&, parameter_source<double>&) -> void
/// run       (model, tokens) -> rows of logits
template <class Change, class Run> double median_deviation(Change change, Run run, double eps = 1e-5) {
    std::vector<double> found;
    for (std::uint64_t seed = 1; seed <= n_seeds; ++seed) {
        cm::random_source random(seed);
        cm::parameter_source<double> source(random);
        model m = conformance_decoder(seed, eps);
        std::vector<int> const tokens = random_tokens(8, m.config.vocab_size, random);
        auto const expected =
            reference::logits(config_for_reference(m.config), weights_for_reference(m), tokens);
        change(m, source);
        auto const z = run(m, tokens);
        double largest = 0;
        for (std::size_t t = 0; t < z.size(); ++t)
            for (std::size_t v = 0; v < z[t].size(); ++v)
                largest = std::max(largest, std::abs(z[t][v] - expected[t][v]));
        found.push_back(largest);
    }
    std::nth_element(found.begin(), found.begin() + n_seeds / 2, found.end());
    return found[n_seeds / 2];
}
template <class Change> double median_deviation(Change change, double eps = 1e-5) {
    return median_deviation(
        change, [](model const& m, std::vector<int> const& t) { return logits_in_steps(m, t); }, eps);
}

/// Within a factor of 10 of a stated size.
bool is_about(double found, double stated) { return found > stated / 10 && found < stated * 10; }

template <class Kind> auto one_for_each_kv_head(model const& m, cm::parameter_source<double>& source) {
    std::vector<cm::value_of<Kind, M>> r;
    cm::model_config const& c = m.config;
    for (std::size_t g = 0; g < c.n_kv_heads; ++g)
        r.push_back(cm::make_transform<Kind, M>(source, {c.head_dim, c.rotary_dim, c.rope_pairing}));
    return r;
}

/// S_n with the bias of o_proj as it stands in the checkpoint.
struct unscaled_bias : cm::scaled_residual<M> {
    using scaled_residual::scaled_residual;
    [[nodiscard]] M branch_bias(M const& bias) const { return bias; }
};

}  // namespace

TEST_CASE("mistakes: the conformance decoder without one agrees to rounding", "[merge]") {
    CHECK(median_deviation([](model&, auto&) {}) <= rounding);
    CHECK(median_deviation([](model& m, auto& source) {
              cm::fold_plan(cm::random_transforms<cm::fptquant_plan, M>(m.config, source, 8), m);
          }) <= rounding);
}

TEST_CASE("mistakes: a transposed query rotation moves logits by tenths", "[merge]") {
    auto const deviation_with = [](bool transposed) {
        return median_deviation([transposed](model& m, auto& source) {
            for (auto& layer : m.layers) {
                auto const t = one_for_each_kv_head<cm::scaled_rotation>(m, source);
                cm::fold_query_key(t, m.config.n_rep(), layer.q_proj, layer.k_proj);
                if (!transposed) continue;
                // (1/s) R(phi) taken off the queries again, (1/s) R(-phi) put on.
                cm::merge_output_side(layer.q_proj, m.config.head_dim, [&](std::size_t h) {
                    return transpose(t[cm::kv_head_of(h, m.config.n_rep())]);
                });
                cm::merge_output_side(layer.q_proj, m.config.head_dim, [&](std::size_t h) {
                    return inverse(t[cm::kv_head_of(h, m.config.n_rep())]);
                });
            }
        });
    };
    CHECK(deviation_with(false) <= rounding);
    double const wrong = deviation_with(true);
    CAPTURE(wrong);
    CHECK(is_about(wrong, 0.3));
}

TEST_CASE("mistakes: T_v's inverse repeated in cycles moves logits by units", "[merge]") {
    auto const deviation_with = [](bool cyclic) {
        return median_deviation([cyclic](model& m, auto& source) {
            cm::model_config const& c = m.config;
            for (auto& layer : m.layers) {
                auto const t = one_for_each_kv_head<cm::dense>(m, source);
                cm::merge_output_side(
                    layer.v_proj, c.head_dim, [&](std::size_t g) -> auto const& { return t[g]; });
                cm::merge_input_side(
                    layer.o_proj, c.head_dim, [&](std::size_t h) -> auto const& {
                        return t[cyclic ? h % c.n_kv_heads : h / c.n_rep()];
                    });
            }
        });
    };
    CHECK(deviation_with(false) <= rounding);
    double const wrong = deviation_with(true);
    CAPTURE(wrong);
    CHECK(is_about(wrong, 2));
}

TEST_CASE("mistakes: a plain eps under S_n is off by about eps", "[merge]") {
    double const eps = 1e-2;
    auto const deviation_with = [eps](cm::eps_rule rule) {
        return median_deviation(
            [rule](model& m, auto& source) {
                cm::fold_plan(cm::random_transforms<token_scale_alone, M>(m.config, source), m);
                m.online.eps = rule;
            },
            eps);
    };
    CHECK(deviation_with(cm::eps_rule::exact) <= rounding);
    double const wrong = deviation_with(cm::eps_rule::plain);
    CAPTURE(wrong);
    CHECK(is_about(wrong, eps));
    // The reference has the same switch: the wrong functions agree too.
    CHECK(median_deviation(
              [](model& m, auto& source) {
                  cm::fold_plan(cm::random_transforms<token_scale_alone, M>(m.config, source), m);
                  m.online.eps = cm::eps_rule::plain;
              },
              [](model const& m, std::vector<int> const& t) {
                  auto difference = logits_in_steps(m, t);
                  auto const judge =
                      reference::logits(config_for_reference(m.config), weights_for_reference(m), t,
                                        reference::residual_mode::scaled_plain_eps);
                  auto const plain =
                      reference::logits(config_for_reference(m.config), weights_for_reference(m), t);
                  for (std::size_t i = 0; i < difference.size(); ++i)
                      for (std::size_t v = 0; v < difference[i].size(); ++v)
                          difference[i][v] += plain[i][v] - judge[i][v];
                  return difference;
              },
              eps) <= rounding);
}

TEST_CASE("mistakes: o_proj's bias left unscaled under S_n moves logits by units", "[merge]") {
    auto const deviation_with = []<class Residual>(Residual*) {
        return median_deviation(
            [](model& m, auto& source) {
                cm::fold_plan(cm::random_transforms<token_scale_alone, M>(m.config, source), m);
            },
            [](model const& m, std::vector<int> const& tokens) {
                cm::decoder_constants<double> const k{1 / std::sqrt(static_cast<double>(m.config.head_dim)),
                                                      m.config.rms_norm_eps};
                auto const angles = cm::rope_table<M>(m.config, tokens.size());
                cm::kv_cache<M> cache(m.config);
                cm::no_tap tap;
                Residual const stream(cm::gather_rows(m.embedding, std::span<int const>(tokens)),
                                      k.rms_norm_eps);
                M const z = cm::logits_from(m, k, stream, angles, cache, tap);
                reference::rows r;
                for (std::size_t i = 0; i < z.rows(); ++i)
                    r.emplace_back(z.data() + i * z.cols(), z.data() + (i + 1) * z.cols());
                return r;
            });
    };
    CHECK(deviation_with(static_cast<cm::scaled_residual<M>*>(nullptr)) <= rounding);
    double const wrong = deviation_with(static_cast<unscaled_bias*>(nullptr));
    CAPTURE(wrong);
    CHECK(is_about(wrong, 1.5));
}

TEST_CASE("mistakes: an embedding without its mean moves logits by tenths, rotated or not", "[merge]") {
    auto const deviation_with = [](bool subtracted, bool rotated) {
        return median_deviation([=](model& m, auto& source) {
            if (subtracted) m.embedding.values.colwise() -= m.embedding.values.rowwise().mean().eval();
            if (rotated) cm::fold_plan(cm::random_transforms<residual_alone, M>(m.config, source), m);
        });
    };
    CHECK(deviation_with(false, true) <= rounding);
    double const alone = deviation_with(true, false), rotated = deviation_with(true, true);
    CAPTURE(alone, rotated);
    CHECK(is_about(alone, 0.3));
    // The rotation is innocent: the same mistake, the same distance.
    CHECK(std::abs(alone - rotated) <= rounding);
}

TEST_CASE("mistakes: S_n refuses gains that have not been folded", "[merge]") {
    model m = conformance_decoder(1, 1e-5);
    m.online.token_scale = true;
    CHECK_THROWS_WITH(logits_in_steps(m, std::vector<int>{1, 2}), Catch::Contains("fold the norm gains"));
}
