// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

#include "commutant/quant/settings.hpp"

#include <catch2/catch.hpp>
#include <stdexcept>
#include <string>

namespace cm = commutant;
using Catch::Matchers::Contains;

TEST_CASE("parse_bit_widths: the named settings, and every supported width", "[quant]") {
    CHECK(cm::parse_bit_widths("4-4-4") == cm::bit_widths{4, 4, 4});
    CHECK(cm::parse_bit_widths("4-8-4") == cm::bit_widths{4, 8, 4});
    CHECK(cm::parse_bit_widths("4-8-8") == cm::bit_widths{4, 8, 8});
    CHECK(cm::parse_bit_widths("4-16-8") == cm::bit_widths{4, 16, 8});
    for (const int w : {2, 3, 4, 5, 6, 7, 8, 16})
        for (const int a : {2, 8, 16}) {
            const cm::bit_widths bits{w, a, w};
            CHECK(cm::parse_bit_widths(cm::to_string(bits)) == bits);
        }
    CHECK(cm::to_string(cm::bit_widths{4, 16, 8}) == "4-16-8");
}

TEST_CASE("parse_bit_widths: anything else is refused with what was given", "[quant]") {
    const std::string text = GENERATE(as<std::string>{}, "", "4", "4-4", "4-4-4-4", "4-4-", "-4-4", "4--4",
                                      "4-4-4-", "1-4-4", "4-9-4", "4-4-15", "4-4-32", "04-4-4", "+4-4-4",
                                      " 4-4-4", "4-4-4 ", "4-4-x", "w4a4", "4_4_4", "4-4-999999999999");
    CAPTURE(text);
    CHECK_THROWS_AS(cm::parse_bit_widths(text), std::invalid_argument);
    CHECK_THROWS_WITH(cm::parse_bit_widths(text),
                      Contains("got \"" + text + "\", expected weights-activations-KV such as 4-4-4"));
}

TEST_CASE("settings: names read back", "[quant]") {
    for (const cm::coverage c :
         {cm::coverage::linears_kv, cm::coverage::plus_bmm, cm::coverage::all_but_residual})
        CHECK(cm::parse_coverage(cm::to_string(c)) == c);
    for (const cm::grid_timing t : {cm::grid_timing::static_grid, cm::grid_timing::dynamic_grid})
        CHECK(cm::parse_grid_timing(cm::to_string(t)) == t);
    for (const cm::range_method m : {cm::range_method::min_max, cm::range_method::lp_norm})
        CHECK(cm::parse_range_method(cm::to_string(m)) == m);
    CHECK(cm::to_string(cm::coverage::plus_bmm) == "plus_bmm");
    CHECK(cm::to_string(cm::grid_timing::dynamic_grid) == "dynamic_grid");
    CHECK(cm::to_string(cm::range_method::lp_norm) == "lp_norm");
    CHECK_THROWS_WITH(cm::parse_coverage("all"), Contains("got \"all\", expected linears_kv, plus_bmm or"));
    CHECK_THROWS_WITH(cm::parse_grid_timing("dynamic"), Contains("got \"dynamic\", expected static_grid or"));
    CHECK_THROWS_WITH(cm::parse_range_method("mse"), Contains("got \"mse\", expected min_max or lp_norm"));
}

TEST_CASE("settings: by default nothing is quantised, and what would be follows the paper", "[quant]") {
    const cm::quantization_settings settings;
    CHECK(settings.bits() == cm::bit_widths{16, 16, 16});
    CHECK(settings.weights.symmetric);
    CHECK(settings.weights.scope == cm::granularity::per_channel);
    CHECK_FALSE(settings.activations.symmetric);
    CHECK(settings.activations.timing == cm::grid_timing::static_grid);
    CHECK(settings.activations.range == cm::range_options{cm::range_method::lp_norm, 3, 100});
    CHECK_NOTHROW(cm::validate(settings));
    const cm::quantization_settings narrow = cm::with_bits(settings, cm::parse_bit_widths("4-8-3"));
    CHECK(narrow.bits() == cm::bit_widths{4, 8, 3});
    CHECK(narrow.weights.scope == settings.weights.scope);
    CHECK_FALSE(narrow == settings);
    CHECK(cm::with_bits(narrow, {}) == settings);
}

TEST_CASE("settings: each part is checked", "[quant]") {
    const cm::quantization_settings good;
    cm::quantization_settings bad = good;
    bad.weights.num_bits = 1;
    CHECK_THROWS_WITH(cm::validate(bad), Contains("weight_settings: num_bits is 1, expected 2 to 8"));
    bad = good;
    bad.weights.scope = cm::granularity::per_token;
    CHECK_THROWS_WITH(cm::validate(bad), Contains("scope is per_token"));
    bad = good;
    bad.weights.scope = cm::granularity::per_group;
    CHECK_NOTHROW(cm::validate(bad));
    bad.weights.group_size = 0;
    CHECK_THROWS_WITH(cm::validate(bad), Contains("group_size is 0"));
    bad = good;
    bad.activations.num_bits = 10;
    CHECK_THROWS_WITH(cm::validate(bad), Contains("activation_settings: num_bits is 10"));
    bad = good;
    bad.kv_cache.range.p = 0;
    CHECK_THROWS_WITH(cm::validate(bad), Contains("p is 0, expected 1 to 8"));
    bad = good;
    bad.kv_cache.num_bits = 0;
    CHECK_THROWS_WITH(cm::validate(bad), Contains("num_bits is 0"));
}
