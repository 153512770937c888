// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// The reference's operators against numbers worked out by hand, and the whole of it against itself.

#include "reference_model.hpp"
#include "reference_random.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

namespace {

using reference::rope_kind;
using reference::rope_pairing;
using reference::rows;

// A dozen roundings of numbers of order one.
constexpr double rounding = 1e-14;
// Two layers of them: the recursion of the scaled residual was measured at 6e-15.
constexpr double model_rounding = 1e-13;

constexpr std::uint64_t seed = 20250611;
const std::vector<int> some_tokens{3, 1, 4, 1, 5, 9, 2, 6};

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
    REQUIRE(a.size() == b.size());
    double largest = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double difference = std::abs(a[i] - b[i]);
        largest = std::max(largest, std::isnan(difference) ? HUGE_VAL : difference);  // max would drop a NaN
    }
    return largest;
}

double largest_difference(const rows& a, const rows& b) {
    REQUIRE(a.size() == b.size());
    double largest = 0.0;
    for (std::size_t t = 0; t < a.size(); ++t) {
        largest = std::max(largest, largest_difference(a[t], b[t]));
    }
    return largest;
}

// One head of `head_dim` features, all else left at its default.
reference::config one_head(std::size_t head_dim, std::size_t rotary_dim, rope_pairing pairing) {
    reference::config c;
    c.n_heads = 1;
    c.n_kv_heads = 1;
    c.head_dim = head_dim;
    c.rotary_dim = rotary_dim;
    c.pairing = pairing;
    return c;
}

// One layer, model_dim 2, every number of it followed by hand below. The stretching 2 / pi makes RoPE turn by
// a right angle per position: (a, b) at position 1 becomes (-b, a).
struct tiny_model {
    reference::config c = one_head(2, 2, rope_pairing::half_split);
    reference::weights w;

    tiny_model() {
        c.n_layers = 1;
        c.model_dim = 2;
        c.ffn_dim = 2;
        c.vocab_size = 3;
        c.rms_norm_eps = 0.0;
        c.scaling.kind = rope_kind::linear;
        c.scaling.factor = 2.0 / 3.14159265358979323846;
        w.embedding = {1, 1, 1, -1, 2, 0};
        reference::layer l;
        l.attention_norm = {2, 1};
        l.q_proj = {1, 0, 0, 1};
        l.k_proj = {2, 0, 0, 1};
        l.v_proj = {0, 1, 1, 0};
        l.o_proj = {1, 0, 0, 0.5};
        l.ffn_norm = {1, 1};
        l.gate_proj = {1, 0, 0, 1};
        l.up_proj = {1, 1, 1, -1};
        l.down_proj = {1, 2, 3, 4};
        w.layers = {l};
        w.final_norm = {1, 2};
    }
};

std::string message_of(const reference::config& c, const reference::weights& w,
                       const std::vector<int>& tokens,
                       reference::residual_mode mode = reference::residual_mode::pre_norm) {
    try {
        (void)reference::logits(c, w, tokens, mode);
    } catch (const std::invalid_argument& error) {
        return error.what();
    }
    return "nothing was thrown";
}

// Rows of q or k (and their bias) from (2i, 2i + 1) order to (i, i + rotary_dim / 2) order, head by head.
std::vector<double> rows_to_half_split(const reference::config& c, const std::vector<double>& weight,
                                       std::size_t in) {
    std::vector<double> moved = weight;
    for (std::size_t head = 0; head < weight.size() / in; head += c.head_dim) {
        for (std::size_t i = 0; i < c.rotary_dim / 2; ++i) {
            for (std::size_t j = 0; j < in; ++j) {
                moved[(head + i) * in + j] = weight[(head + 2 * i) * in + j];
                moved[(head + i + c.rotary_dim / 2) * in + j] = weight[(head + 2 * i + 1) * in + j];
            }
        }
    }
    return moved;
}

}  // namespace

TEST_CASE("rms_norm: divides by the root mean square and multiplies by the gain", "[reference]") {
    // mean(1, 49) = 25, so the root of 25 + eps = 11 is 6.
    const auto y = reference::rms_norm(std::vector<double>{1, 7}, std::vector<double>{3, -6}, 11.0);
    CHECK(largest_difference(y, {0.5, -7.0}) < rounding);
    CHECK(largest_difference(reference::rms_norm(std::vector<double>{1, 7}, {}, 0.0), {0.2, 1.4}) < rounding);
}

TEST_CASE("linear: rows of W are outputs, and the bias is added", "[reference]") {
    // 5 inputs, so that both the loop of four and its tail run: 1 + 4 + 9 + 16 + 25 = 55, 3 - 12 + 10 = 1.
    const std::vector<double> weight{1, 2, 3, 4, 5, 3, 0, 0, -3, 2};
    const auto y =
        reference::linear(std::vector<double>{1, 2, 3, 4, 5}, weight, std::vector<double>{0.5, -1});
    CHECK(largest_difference(y, {55.5, 0.0}) < rounding);
    CHECK(largest_difference(reference::linear(std::vector<double>{1, 2, 3, 4, 5}, weight, {}), {55, 1}) <
          rounding);
}

TEST_CASE("swiglu: silu of the gate times up", "[reference]") {
    // silu(1) = 1 / (1 + 1/e) = 0.7310585786300049; silu(-1) = silu(1) - 1; silu(0) = 0.
    const auto y = reference::swiglu(std::vector<double>{1, -1, 0}, std::vector<double>{2, 3, 5});
    CHECK(largest_difference(y, {1.4621171572600098, -0.8068242641099853, 0.0}) < rounding);
}

TEST_CASE("rope: pairs, angles and the features that do not turn", "[reference][rope]") {
    // theta 100, rotary_dim 4: frequencies 1 and 100^(-2/4) = 0.1, at position 2 angles 2 and 0.2.
    const double c0 = -0.4161468365471424, s0 = 0.9092974268256817;  // cos 2, sin 2
    const double c1 = 0.9800665778412416, s1 = 0.19866933079506122;  // cos 0.2, sin 0.2

    for (const rope_pairing pairing : {rope_pairing::half_split, rope_pairing::interleaved}) {
        reference::config c = one_head(6, 4, pairing);
        c.rope_theta = 100.0;
        const auto frequencies = reference::rope_frequencies(c);
        CHECK(largest_difference(frequencies, {1.0, 0.1}) < rounding);
        std::vector<double> head{1, 2, 3, 4, 5, 6};
        reference::rope_in_place(c, frequencies, 2, head);
        const bool halves = pairing == rope_pairing::half_split;
        const std::vector<double> pairs_1_3_and_2_4{
            c0 - 3 * s0, 2 * c1 - 4 * s1, s0 + 3 * c0, 2 * s1 + 4 * c1, 5, 6};
        const std::vector<double> pairs_1_2_and_3_4{c0 - 2 * s0,     s0 + 2 * c0, 3 * c1 - 4 * s1,
                                                    3 * s1 + 4 * c1, 5,           6};
        CHECK(largest_difference(head, halves ? pairs_1_3_and_2_4 : pairs_1_2_and_3_4) < rounding);
    }
}

TEST_CASE("rope: linear scaling divides every frequency", "[reference][rope]") {
    reference::config c = one_head(4, 4, rope_pairing::half_split);
    c.rope_theta = 100.0;
    c.scaling.kind = rope_kind::linear;
    c.scaling.factor = 4.0;
    CHECK(largest_difference(reference::rope_frequencies(c), {0.25, 0.025}) < rounding);
    CHECK(reference::rope_attention_factor(c) == 1.0);
}

TEST_CASE("rope: llama3 scaling at a fast, two middle and a slow pair", "[reference][rope]") {
    // Llama 3.1: theta 5e5, head_dim 128, factor 8, low 1, high 4, trained on 8192 positions. Wavelengths
    // below 8192 / 4 = 2048 keep their frequency, those above 8192 / 1 are stretched by 8. Between:
    //   pair  frequency 5e5^(-i/64)      wavelength  smooth = (8192 / wavelength - 1) / 3
    //     30  0.0021311195369119653      2948.30     0.5928492950029659
    //     31  0.0017360467021768657      3619.25     0.42115099740796696
    // and the result is frequency * ((1 - smooth) / 8 + smooth).
    reference::config c = one_head(128, 128, rope_pairing::half_split);
    c.rope_theta = 500000.0;
    c.scaling.kind = rope_kind::llama3;
    c.scaling.factor = 8.0;
    c.scaling.original_max_positions = 8192;
    const auto frequencies = reference::rope_frequencies(c);
    REQUIRE(frequencies.size() == 64);
    CHECK(frequencies[0] == 1.0);
    // The pairs beside the two limits: wavelengths 1956.5 and 2401.7, 6695.1 and 8218.7.
    CHECK(frequencies[28] == Approx(0.003211445994752591).epsilon(1e-13));
    CHECK(frequencies[29] == Approx(0.002166570763503359).epsilon(1e-13));
    CHECK(frequencies[34] == Approx(0.0001785078127679964).epsilon(1e-13));
    CHECK(frequencies[35] == Approx(0.0007644969883171747 / 8).epsilon(1e-13));
    CHECK(frequencies[30] == Approx(0.0013718935677611381).epsilon(1e-13));
    CHECK(frequencies[31] == Approx(0.0008567514129196321).epsilon(1e-13));
    CHECK(frequencies[63] == Approx(2.455140791131609e-06 / 8).epsilon(1e-13));
    CHECK(reference::rope_attention_factor(c) == 1.0);
}

TEST_CASE("rope: yarn scaling at a fast, a middle and a slow pair", "[reference][rope]") {
    // Qwen2.5: theta 1e6, head_dim 128, factor 4, trained on 32768 positions, beta 32 and 1. The ramp runs
    // between
    //   128 ln(32768 / (32 * 2 pi)) / (2 ln 1e6) = 23.5959476083381  -> 23
    //   128 ln(32768 / ( 1 * 2 pi)) / (2 ln 1e6) = 39.6508807104171  -> 40
    // Pair 10 lies before it, pair 50 behind it, and pair 30 at (30 - 23) / 17 = 7/17 of it, which
    // leaves 7/17 / 4 + 10/17 = 47/68.
    reference::config c = one_head(128, 128, rope_pairing::half_split);
    c.rope_theta = 1e6;
    c.scaling.kind = rope_kind::yarn;
    c.scaling.factor = 4.0;
    c.scaling.original_max_positions = 32768;
    const double plain_10 = 0.11547819846894582, plain_30 = 0.001539926526059492,
                 plain_50 = 2.0535250264571462e-05;

    auto frequencies = reference::rope_frequencies(c);
    CHECK(frequencies[10] == Approx(plain_10).epsilon(1e-13));
    CHECK(frequencies[30] == Approx(plain_30 * 47 / 68).epsilon(1e-13));
    CHECK(frequencies[50] == Approx(plain_50 / 4).epsilon(1e-13));

    // Unrounded ends: (30 - 23.5959476083381) / (39.6508807104171 - 23.5959476083381) = 0.398883779268605.
    c.scaling.truncate = false;
    frequencies = reference::rope_frequencies(c);
    CHECK(frequencies[30] == Approx(0.0010792377416765538).epsilon(1e-12));
}

TEST_CASE("rope: yarn's ramp is cut at the first pair and survives ends that meet", "[reference][rope]") {
    // Trained on 16 positions, beta 32: ln(16 / 201) < 0, so the ramp begins at pair 0. theta e^4, rotary_dim
    // 8 and beta_slow 1: 8 ln(16 / 2 pi) / 8 = 0.93 -> 1. Ramp 0 at pair 0 and 1 from pair 1 on.
    reference::config c = one_head(8, 8, rope_pairing::half_split);
    c.rope_theta = std::exp(4.0);
    c.scaling.kind = rope_kind::yarn;
    c.scaling.factor = 2.0;
    c.scaling.original_max_positions = 16;
    const std::vector<double> expected{1.0, std::exp(-1.0) / 2, std::exp(-2.0) / 2, std::exp(-3.0) / 2};
    CHECK(largest_difference(reference::rope_frequencies(c), expected) < rounding);

    // Trained on 2 pi exp(-0.3) positions: the ramp ends at ceil(-0.3) = 0 too, and steps behind pair 0.
    c.scaling.original_max_positions = 2.0 * 3.14159265358979323846 * std::exp(-0.3);
    CHECK(largest_difference(reference::rope_frequencies(c), expected) < rounding);
}

TEST_CASE("rope: yarn's attention factor is given, derived from factor, or from both mscales",
          "[reference][rope]") {
    reference::config c = one_head(2, 2, rope_pairing::half_split);
    c.scaling.kind = rope_kind::yarn;
    c.scaling.original_max_positions = 64;
    c.scaling.factor = 4.0;
    CHECK(reference::rope_attention_factor(c) == Approx(1.138629436111989).epsilon(1e-14));  // 0.1 ln 4 + 1
    c.scaling.factor = 40.0;
    c.scaling.mscale = 0.5;
    // One of the two alone is not read: 0.1 ln 40 + 1.
    CHECK(reference::rope_attention_factor(c) == Approx(1.3688879454113936).epsilon(1e-14));
    c.scaling.mscale = 1.0;
    c.scaling.mscale_all_dim = 0.707;
    // (0.1 ln 40 + 1) / (0.0707 ln 40 + 1)
    CHECK(reference::rope_attention_factor(c) == Approx(1.0857263992561355).epsilon(1e-14));
    c.scaling.factor = 0.5;
    CHECK(reference::rope_attention_factor(c) == 1.0);
    c.scaling.attention_factor = 1.5;
    CHECK(reference::rope_attention_factor(c) == 1.5);

    // It multiplies what RoPE gives: angle 1 at position 1, cos 1 and sin 1.
    std::vector<double> head{2, 4};
    reference::rope_in_place(c, std::vector<double>{1.0}, 1, head);
    const double c1 = 0.5403023058681398, s1 = 0.8414709848078965;
    CHECK(largest_difference(head, {3 * c1 - 6 * s1, 3 * s1 + 6 * c1}) < rounding);
}

TEST_CASE("attention: query head h reads kv head h / n_rep", "[reference][gqa]") {
    reference::config c = one_head(1, 0, rope_pairing::half_split);
    c.n_heads = 4;
    c.n_kv_heads = 2;
    // One token attends to itself alone, so each head returns its value.
    const auto alone = reference::attention(c, {{7, 7, 7, 7}}, {{1, 1}}, {{10, 20}});
    CHECK(largest_difference(alone, {{10, 10, 20, 20}}) < rounding);

    // Keys ln 3 and 0 under query 1: weights 3/4 and 1/4. Kv head 1 has them the other way round.
    const double ln3 = 1.0986122886681098;
    const auto two =
        reference::attention(c, {{0, 0, 0, 0}, {1, 1, 1, 1}}, {{ln3, 0}, {0, ln3}}, {{8, 8}, {16, 16}});
    CHECK(largest_difference(two, {{8, 8, 8, 8}, {10, 10, 14, 14}}) < rounding);
}

TEST_CASE("attention: logits are divided by the root of head_dim and only the past is seen", "[reference]") {
    reference::config c = one_head(4, 0, rope_pairing::half_split);
    // q.k = 2 ln 3 and 0, divided by root 4: weights 3/4 and 1/4.
    const double two_ln3 = 2.1972245773362196;
    rows v{{4, 0, 0, 0}, {0, 8, 0, 0}};
    const auto out =
        reference::attention(c, {{1, 0, 0, 0}, {1, 0, 0, 0}}, {{two_ln3, 0, 0, 0}, {0, 0, 0, 0}}, v);
    CHECK(largest_difference(out, {{4, 0, 0, 0}, {3, 2, 0, 0}}) < rounding);
}

TEST_CASE("logits: a model of width 2 followed by hand", "[reference]") {
    // Tokens a = (1, 1) and b = (1, -1); both have mean square 1, so the norm only multiplies by the gain (2,
    // 1):
    //   n_a = (2, 1), n_b = (2, -1).
    // q = n, k = (2 n_0, n_1), v = (n_1, n_0). Position 1 turns (x, y) into (-y, x):
    //   q_b = (1, 2); k_a = (4, 1), k_b = turned (4, -1) = (1, 4); v_a = (1, 2), v_b = (-1, 2).
    // Position 1: q.k = 6 and 9, over root 2; p = 1 / (1 + exp(-3 / root 2)) = 0.8929581985348296 on itself.
    //   attention gives (1, 2) and (1 - 2p, 2); o_proj halves the second, and the stream becomes
    //   x_a = (2, 2), x_b = (2 - 2p, 0).
    // MLP, gain 1: norms (1, 1) and (root 2, 0). gate = n, up = (n_0 + n_1, n_0 - n_1):
    //   a: silu(1) * 2 = 2s, silu(1) * 0 = 0, s = 0.7310585786300049; down adds 2s (1, 3)
    //   b: silu(root 2) * root 2 = 2g, 0 * root 2 = 0, g = 1 / (1 + exp(-root 2)) = 0.8044296825069569; adds
    //   2g (1, 3) x_a = (2 + 2s, 2 + 6s) = (3.4621171572600096, 6.386351471780030) x_b = (2 - 2p + 2g, 6g) =
    //   (1.8229429679442546, 4.826578095041741)
    // Final norm, gain (1, 2): (0.6739940298893693, 2.486549454705044), (0.4996804955533686,
    // 2.645992745540728). Tied head: products with (1, 1), (1, -1), (2, 0).
    const tiny_model m;
    const auto z = reference::logits(m.c, m.w, std::vector<int>{0, 1});
    CHECK(largest_difference(z, {{3.160543484594413, -1.8125554248156748, 1.3479880597787386},
                                 {3.1456732410940966, -2.1463122499873593, 0.9993609911067372}}) < rounding);

    // An untied head of twice the embedding doubles them.
    tiny_model untied;
    untied.w.lm_head = {2, 2, 2, -2, 4, 0};
    const auto twice = reference::logits(untied.c, untied.w, std::vector<int>{0});
    CHECK(largest_difference(twice, {{6.321086969188826, -3.6251108496313496, 2.6959761195574772}}) <
          rounding);

    // -log softmax of token 1 after token 0: ln(1 + e^(3.1605.. + 1.8125..) + e^(1.3479.. + 1.8125..)).
    const double nll = reference::negative_log_likelihood(m.c, m.w, std::vector<int>{0, 1});
    CHECK(nll ==
          Approx(std::log(1 + std::exp(4.973098909410088) + std::exp(3.1605434845944134))).epsilon(1e-13));
}

TEST_CASE("logits: every bias enters where it belongs", "[reference][bias]") {
    // One token, zero q, k, v projections: attention returns v_bias. With gate_proj = up_proj = 0 the MLP
    // adds down (silu(gate_bias) * up_bias) + down_bias, whatever the stream is.
    tiny_model m;
    reference::layer& l = m.w.layers[0];
    l.q_proj = l.k_proj = l.v_proj = {0, 0, 0, 0};
    l.v_bias = {3, 4};   // o_proj: (3, 2)
    l.o_bias = {-4, 1};  // stream: (1, 1) + (3, 2) + (-4, 1) = (0, 4)
    l.gate_proj = l.up_proj = {0, 0, 0, 0};
    l.gate_bias = {1, 0};       // silu: s, 0
    l.up_bias = {10, 7};        // product: (10 s, 0); down: (10 s, 30 s)
    l.down_bias = {0.5, -0.5};  // stream: (10 s + 0.5, 30 s + 3.5)
    const double a = 7.810585786300049, b = 25.431757358900147;
    const double rms = std::sqrt((a * a + b * b) / 2);
    const auto z = reference::logits(m.c, m.w, std::vector<int>{0});
    CHECK(largest_difference(z, {{(a + 2 * b) / rms, (a - 2 * b) / rms, 2 * a / rms}}) < rounding);

    // Queries and keys from biases alone: at position 1 q = turned (1, 0) = (0, 1), k_a = (0, 2 root 2 ln 3),
    // k_b = turned (0, ..) is orthogonal to q. So weights are 9/10 on a and 1/10 on b.
    tiny_model qk;
    reference::layer& r = qk.w.layers[0];
    r.q_proj = r.k_proj = {0, 0, 0, 0};
    r.q_bias = {1, 0};
    r.k_bias = {0, 2.8284271247461903 * 1.0986122886681098};
    const std::vector<std::vector<double>> normed{{2, 1}, {2, -1}};
    const auto out = reference::attention_block(qk.c, r, normed);
    // v_a = (1, 2), v_b = (-1, 2): 0.9 - 0.1 = 0.8 and 2, halved by o_proj.
    CHECK(largest_difference(out[1], {0.8, 1.0}) < rounding);
}

TEST_CASE("attention_block: q and k norms act per head, before RoPE", "[reference][qk_norm]") {
    // Position 0, so RoPE does nothing. Heads (3, 4) and (0, 5): root mean squares 5 / root 2; gains (root 2,
    // 1). What reaches q.k is read off position 1 of a two-token run in which all keys are equal at both
    // positions.
    tiny_model m;
    reference::layer& l = m.w.layers[0];
    l.q_proj = l.k_proj = {0, 0, 0, 0};
    l.q_bias = {3,
                4};  // normed: (3, 4) root 2 / 5; gain (5 / root 2, 0): (3, 0); turned at position 1: (0, 3)
    l.q_norm = {3.5355339059327378, 0};
    l.k_bias = {5, 5};  // normed: (1, 1); gain: (x, y); position 0 as it is, position 1 turned: (-y, x)
    const double x = 0.25, y = 0.5;
    l.k_norm = {x, y};
    // q.k: 3 y at position 0, 3 x at position 1.
    const double p = 1 / (1 + std::exp(3 * (y - x) / std::sqrt(2.0)));
    const std::vector<std::vector<double>> normed{{2, 1}, {2, -1}};
    m.c.rms_norm_eps = 0.0;
    const auto out = reference::attention_block(m.c, l, normed);
    CHECK(largest_difference(out[1], {1 - 2 * p, 1.0}) < rounding);
}

TEST_CASE("logits: half_split on permuted rows equals interleaved", "[reference][rope]") {
    for (const std::size_t rotary_dim : {std::size_t{6}, std::size_t{4}}) {
        for (const bool qk_norms : {false, true}) {
            reference::config interleaved = reference::conformance_config();
            interleaved.pairing = rope_pairing::interleaved;
            interleaved.rotary_dim = rotary_dim;
            reference::random_parts parts;
            parts.qk_norms = qk_norms;
            const auto w = reference::random_weights(interleaved, seed, parts);

            reference::config half_split = interleaved;
            half_split.pairing = rope_pairing::half_split;
            auto moved = w;
            for (reference::layer& l : moved.layers) {
                l.q_proj = rows_to_half_split(half_split, l.q_proj, half_split.model_dim);
                l.k_proj = rows_to_half_split(half_split, l.k_proj, half_split.model_dim);
                l.q_bias = rows_to_half_split(half_split, l.q_bias, 1);
                l.k_bias = rows_to_half_split(half_split, l.k_bias, 1);
                l.q_norm = rows_to_half_split(half_split, l.q_norm, 1);
                l.k_norm = rows_to_half_split(half_split, l.k_norm, 1);
            }
            INFO("seed " << seed << ", rotary_dim " << rotary_dim << ", q/k norms " << qk_norms);
            const auto expected = reference::logits(interleaved, w, some_tokens);
            CHECK(largest_difference(reference::logits(half_split, moved, some_tokens), expected) <
                  model_rounding);
            CHECK(largest_difference(reference::logits(half_split, w, some_tokens), expected) > 1e-2);
        }
    }
}

TEST_CASE("logits: grouped queries equal full heads with repeated kv rows", "[reference][gqa]") {
    const reference::config grouped = reference::conformance_config();
    const auto w = reference::random_weights(grouped, seed);
    reference::config full = grouped;
    full.n_kv_heads = full.n_heads;

    const auto repeated = [&](bool cyclic) {
        auto out = w;
        const std::size_t n_rep = grouped.n_heads / grouped.n_kv_heads;
        for (reference::layer& l : out.layers) {
            for (auto* rows_of : {&l.k_proj, &l.v_proj, &l.k_bias, &l.v_bias}) {
                const std::vector<double> old = *rows_of;
                const std::size_t head = old.size() / grouped.n_kv_heads;
                rows_of->clear();
                for (std::size_t h = 0; h < grouped.n_heads; ++h) {
                    const std::size_t source = cyclic ? h % grouped.n_kv_heads : h / n_rep;
                    const auto begin = old.begin() + static_cast<std::ptrdiff_t>(source * head);
                    rows_of->insert(rows_of->end(), begin, begin + static_cast<std::ptrdiff_t>(head));
                }
            }
        }
        return out;
    };
    INFO("seed " << seed);
    const auto expected = reference::logits(grouped, w, some_tokens);
    CHECK(largest_difference(reference::logits(full, repeated(false), some_tokens), expected) <
          model_rounding);
    CHECK(largest_difference(reference::logits(full, repeated(true), some_tokens), expected) > 1e-2);
}

TEST_CASE("with_folded_gains: same logits, all gains one, head untied", "[reference]") {
    const reference::config c = reference::conformance_config();
    for (const bool tied : {false, true}) {
        reference::random_parts parts;
        parts.tied_head = tied;
        const auto w = reference::random_weights(c, seed, parts);
        const auto folded = reference::with_folded_gains(c, w);
        INFO("seed " << seed << ", tied " << tied);
        CHECK(folded.lm_head.size() == c.vocab_size * c.model_dim);
        CHECK(folded.final_norm == std::vector<double>(c.model_dim, 1.0));
        CHECK(folded.layers[1].attention_norm == std::vector<double>(c.model_dim, 1.0));
        CHECK(folded.layers[1].ffn_norm == std::vector<double>(c.model_dim, 1.0));
        CHECK(w.layers[1].ffn_norm != folded.layers[1].ffn_norm);
        const auto expected = reference::logits(c, w, some_tokens);
        CHECK(largest_difference(reference::logits(c, folded, some_tokens), expected) < model_rounding);
    }
}

TEST_CASE("scaled residual: the same function with eps S^2, another one with plain eps",
          "[reference][residual]") {
    reference::config c = reference::conformance_config();
    for (const double eps : {1e-5, 1e-2}) {
        c.rms_norm_eps = eps;
        const auto w = reference::random_weights(c, seed);
        const auto folded = reference::with_folded_gains(c, w);
        INFO("seed " << seed << ", eps " << eps);
        const auto expected = reference::logits(c, w, some_tokens);
        const auto scaled = reference::logits(c, folded, some_tokens, reference::residual_mode::scaled);
        CHECK(largest_difference(scaled, expected) < model_rounding);
        const auto plain =
            reference::logits(c, folded, some_tokens, reference::residual_mode::scaled_plain_eps);
        const double deviation = largest_difference(plain, expected);
        CHECK(deviation > 0.1 * eps);
        CHECK(deviation < 10 * eps);
    }
}

TEST_CASE("logits: bad input is refused with what was found and what was expected", "[reference]") {
    const tiny_model m;
    using Catch::Matchers::Equals;
    CHECK_THAT(message_of(m.c, m.w, {0, 3}), Equals("reference: token 3 at position 1, expected 0 to 2"));
    CHECK_THAT(message_of(m.c, m.w, {-1}), Equals("reference: token -1 at position 0, expected 0 to 2"));

    tiny_model short_bias;
    short_bias.w.layers[0].up_bias = {1};
    CHECK_THAT(message_of(short_bias.c, short_bias.w, {0}),
               Equals("reference: layer 0 up_bias has 1 values, expected 2 or none"));
    tiny_model no_weight;
    no_weight.w.layers[0].o_proj.clear();
    CHECK_THAT(message_of(no_weight.c, no_weight.w, {0}),
               Equals("reference: layer 0 o_proj has 0 values, expected 4"));
    tiny_model missing_layer;
    missing_layer.c.n_layers = 2;
    CHECK_THAT(message_of(missing_layer.c, missing_layer.w, {0}),
               Equals("reference: weights have 1 layers, expected 2"));
    tiny_model uneven;
    uneven.c.n_heads = 3;
    uneven.c.n_kv_heads = 2;
    CHECK_THAT(message_of(uneven.c, uneven.w, {0}),
               Equals("reference: 3 query heads, expected a multiple of 2 kv heads"));
    tiny_model odd;
    odd.c.rotary_dim = 1;
    CHECK_THAT(message_of(odd.c, odd.w, {0}),
               Equals("reference: rotary_dim is 1, expected an even number up to head_dim = 2"));
    CHECK_THAT(
        message_of(m.c, m.w, {0}, reference::residual_mode::scaled),
        Equals(
            "reference: layer 0 attention_norm has a gain of 2.000000, expected 1 under a scaled residual: "
            "fold the gains first"));
}
