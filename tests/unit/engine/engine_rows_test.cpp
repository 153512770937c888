// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <commutant/engine/engine_rows.hpp>

#include <catch2/catch.hpp>

#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

#include <commutant/engine/engine_linear.hpp>
#include <commutant/kernels/executor.hpp>
#include <commutant/quant/fake_quantize.hpp>

namespace cm = commutant;

namespace {

cm::engine_rows rows_of(std::size_t rows, std::size_t cols, float seed) {
    cm::engine_rows r(rows, cols);
    for (std::size_t k = 0; k < r.size(); ++k) r.data()[k] = std::sin(seed + 1.7F * static_cast<float>(k));
    return r;
}

std::vector<float> elements(cm::engine_rows const& m) { return {m.data(), m.data() + m.size()}; }

}  // namespace

TEST_CASE("copies share memory until one is written to", "[engine_rows]") {
    cm::engine_rows a = rows_of(2, 3, 1);
    cm::engine_rows const b = a;
    CHECK(std::as_const(a).data() == b.data());
    float const before = b(1, 2);
    a(1, 2) = 99;
    CHECK(b(1, 2) == before);
    CHECK(std::as_const(a)(1, 2) == 99);
    CHECK(std::as_const(a).data() != b.data());
}

TEST_CASE("steps run in their order, alone and fused", "[engine_rows]") {
    constexpr std::size_t n = 40, tokens = 7;
    cm::engine_rows const gate = rows_of(tokens, n, 1), up = rows_of(tokens, n, 2), s = rows_of(tokens, 1, 3);
    cm::block_hadamard_map const map(n, 8);
    cm::engine_hadamard const transform(map);
    std::vector<float> expected = elements(gate);
    for (std::size_t i = 0; i < tokens; ++i) {
        std::vector<float> scratch;
        float* const row = expected.data() + i * n;
        for (std::size_t j = 0; j < n; ++j) row[j] = row[j] / (1 + std::exp(-row[j])) * up(i, j);
        map.apply_to_row(row, scratch);
        for (std::size_t j = 0; j < n; ++j) row[j] *= s(i, 0);
    }
    auto const require_close = [&](cm::engine_rows const& found) {
        auto const values = elements(found);
        for (std::size_t k = 0; k < values.size(); ++k)
            REQUIRE(values[k] == Approx(expected[k]).margin(1e-6));
    };
    cm::engine_rows fused = gate;
    fused.defer_silu();
    fused.defer_product(up);
    fused.defer_hadamard(transform);
    fused.defer_row_factor(s);
    auto const codes_of_steps = fused.quantized({0.05F, 2, 8, false});
    require_close(std::move(fused).evaluated());

    cm::engine_rows alone = gate;
    alone.defer_silu();
    alone = std::move(alone).evaluated();
    alone.defer_product(up);
    alone = std::move(alone).evaluated();
    alone.defer_hadamard(transform);
    alone = std::move(alone).evaluated();
    alone.defer_row_factor(s);
    alone = std::move(alone).evaluated();
    require_close(alone);

    auto const codes = codes_of_steps.codes();
    for (std::size_t k = 0; k < expected.size(); ++k)
        REQUIRE(std::abs(codes.codes[k] - cm::quantize(expected[k], cm::grid{0.05F, 2, 8, false})) <= 1);
}

TEST_CASE("codes are those of quant/, on one grid and on one for each row", "[engine_rows]") {
    cm::engine_rows const x = rows_of(5, 33, 4);
    cm::grid const g{0.13F, 1, 4, false};
    auto const on_one = x.quantized(g).codes();
    CHECK(on_one.scales.size() == 1);
    for (std::size_t k = 0; k < x.size(); ++k) REQUIRE(on_one.codes[k] == cm::quantize(x.data()[k], g));

    auto const each = x.quantized_per_token(5, false);
    auto values = elements(x);
    cm::fake_quantize_per_token_in_place(std::span<float>(values), 33, 5, false);
    auto const codes = each.codes();
    REQUIRE(codes.scales.size() == 5);
    for (std::size_t k = 0; k < x.size(); ++k)
        REQUIRE(codes.scales[k / 33] * static_cast<float>(codes.codes[k] - codes.zero_points[k / 33]) ==
                Approx(values[k]).margin(1e-7));
}

TEST_CASE("what holds codes, steps or a bias that was scaled gives no floats", "[engine_rows]") {
    cm::engine_rows const x = rows_of(2, 8, 4);
    CHECK_THROWS_AS(std::as_const(x).quantized({0.1F, 0, 8, true}).data(), std::invalid_argument);
    cm::engine_rows waiting = x;
    waiting.defer_silu();
    CHECK_THROWS_AS(std::as_const(waiting).data(), std::invalid_argument);
    CHECK_THROWS_AS(x.quantized({0.1F, 0, 4, true}).quantized({0.1F, 0, 4, true}), std::invalid_argument);
    cm::engine_rows const outer = cm::engine_rows::outer(rows_of(2, 1, 1), rows_of(1, 8, 2));
    CHECK(outer.rows() == 2);
    CHECK(outer.cols() == 8);
    CHECK_THROWS_AS(outer.data(), std::invalid_argument);
    CHECK_THROWS_AS(cm::engine_rows(x).defer_product(rows_of(2, 7, 1)), std::invalid_argument);
    CHECK_THROWS_AS(cm::engine_rows(x).defer_row_factor(rows_of(3, 1, 1)), std::invalid_argument);
}

TEST_CASE("a linear in floats takes a bias for each token; one of codes wants codes", "[engine_rows]") {
    cm::engine_linear l;
    l.weight.floats = rows_of(3, 8, 5);
    cm::engine_rows const x = rows_of(2, 8, 6), s = rows_of(2, 1, 7), bias = rows_of(1, 3, 8);
    auto const plain = elements(forward(l, x, {})), biased = elements(forward(l, x, bias)),
               scaled = elements(forward(l, x, cm::engine_rows::outer(s, bias)));
    for (std::size_t i = 0; i < 2; ++i)
        for (std::size_t j = 0; j < 3; ++j) {
            CHECK(biased[i * 3 + j] == Approx(plain[i * 3 + j] + bias(0, j)));
            CHECK(scaled[i * 3 + j] == Approx(plain[i * 3 + j] + s(i, 0) * bias(0, j)));
        }
    std::vector<std::int8_t> const codes(24, 1);
    std::vector<float> const scales(3, 0.5F);
    cm::engine_linear packed;
    packed.weight.codes = cm::kernels::int4_weights(codes, 3, 8, scales);
    packed.weight.is_int4 = true;
    CHECK(packed.weight.rows() == 3);
    CHECK(packed.weight.cols() == 8);
    CHECK_THROWS_WITH(forward(packed, x), Catch::Contains("quantise the activations"));
    auto const y = elements(forward(packed, x.quantized({0.25F, 0, 8, true})));
    float sum = 0;
    for (std::size_t j = 0; j < 8; ++j) sum += 0.25F * std::nearbyint(x(0, j) / 0.25F);
    CHECK(y[0] == Approx(0.5F * sum).margin(1e-6));
}
