// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

#include "commutant/quant/grid.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>

namespace cm = commutant;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr cm::grid int4{0.5F, 0, 4, true};
constexpr cm::grid int4_shifted{0.5F, -3, 4, false};

// A grid is arithmetic only, so the compiler can work it out too.
static_assert(int4.lo() == -8 && int4.hi() == 7);
static_assert(cm::quantize(1.3F, int4) == 3);
static_assert(cm::fake_quantize(1.3, int4_shifted) == 1.5);

}  // namespace

TEST_CASE("grid: codes are two's complement at every width", "[quant]") {
    const int bits = GENERATE(2, 3, 4, 5, 6, 7, 8);
    const cm::grid g{1.0F, 0, bits, true};
    CHECK(g.lo() == -std::lround(std::pow(2.0, bits - 1)));
    CHECK(g.hi() == -g.lo() - 1);
    CHECK_FALSE(g.is_float());
    CHECK(cm::quantize(1000.0F, g) == g.hi());
    CHECK(cm::quantize(-1000.0F, g) == g.lo());
}

TEST_CASE("grid: ties round to the even number of steps", "[quant]") {
    const cm::grid g{1.0F, 0, 4, true};
    for (const auto& [x, code] :
         {std::pair{0.5, 0}, {1.5, 2}, {2.5, 2}, {3.5, 4}, {-0.5, 0}, {-1.5, -2}, {-2.5, -2}}) {
        CAPTURE(x);
        CHECK(cm::quantize(x, g) == code);
        CHECK(cm::quantize(static_cast<float>(x), g) == code);
    }
    // Rounding comes before the zero point is added: an odd one moves no tie.
    const cm::grid odd{1.0F, 1, 4, false};
    CHECK(cm::quantize(0.5, odd) == 1);
    CHECK(cm::quantize(1.5, odd) == 3);
    CHECK(cm::quantize(2.5, odd) == 3);
}

TEST_CASE("grid: rounding agrees with the C library next to every tie", "[quant]") {
    for (int k = -1024; k <= 1024; ++k) {
        const float tie = static_cast<float>(k) / 2.0F;
        for (const float v : {std::nextafter(tie, -infinity), tie, std::nextafter(tie, infinity)})
            CHECK(cm::detail::round_half_even(v) == std::nearbyint(v));
        const double wide = static_cast<double>(k) / 2.0;
        for (const double v : {std::nextafter(wide, -1e9), wide, std::nextafter(wide, 1e9)})
            CHECK(cm::detail::round_half_even(v) == std::nearbyint(v));
    }
}

TEST_CASE("grid: hand numbers of an asymmetric grid", "[quant]") {
    // scale 0.5, zero_point -3: codes -8 .. 7 stand for -2.5 .. 5.0
    CHECK(cm::quantize(0.0F, int4_shifted) == -3);
    CHECK(cm::quantize(-2.5F, int4_shifted) == -8);
    CHECK(cm::quantize(-9.0F, int4_shifted) == -8);
    CHECK(cm::quantize(5.0F, int4_shifted) == 7);
    CHECK(cm::quantize(5.2F, int4_shifted) == 7);
    CHECK(cm::quantize(0.7F, int4_shifted) == -2);
    CHECK(cm::dequantize(-2, int4_shifted) == 0.5F);
    CHECK(cm::dequantize<double>(-8, int4_shifted) == -2.5);
}

TEST_CASE("grid: every code survives its own value", "[quant]") {
    const float scale = GENERATE(1.0F, 0.1F, 3.7e-5F, 123.456F, std::numeric_limits<float>::min(), 1e36F);
    const int bits = GENERATE(2, 4, 8);
    for (const bool symmetric : {true, false}) {
        cm::grid g{scale, 0, bits, symmetric};
        if (!symmetric) g.zero_point = g.lo() + 1;
        for (std::int32_t code = g.lo(); code <= g.hi(); ++code) {
            CAPTURE(scale, bits, code);
            CHECK(cm::quantize(cm::dequantize<float>(code, g), g) == code);
            CHECK(cm::quantize(cm::dequantize<double>(code, g), g) == code);
        }
    }
}

TEST_CASE("grid: zero is exact and minus zero loses its sign", "[quant]") {
    for (const cm::grid& g : {int4, int4_shifted}) {
        CHECK(cm::fake_quantize(0.0F, g) == 0.0F);
        CHECK_FALSE(std::signbit(cm::fake_quantize(-0.0F, g)));
        CHECK_FALSE(std::signbit(cm::fake_quantize(-0.01F, g)));
        CHECK_FALSE(std::signbit(cm::fake_quantize(-std::numeric_limits<float>::denorm_min(), g)));
    }
}

TEST_CASE("grid: infinities take the end codes, NaN stays NaN", "[quant]") {
    CHECK(cm::fake_quantize(infinity, int4) == 3.5F);
    CHECK(cm::fake_quantize(-infinity, int4) == -4.0F);
    CHECK(std::isnan(cm::fake_quantize(std::numeric_limits<float>::quiet_NaN(), int4)));
    CHECK(cm::quantize(std::numeric_limits<float>::quiet_NaN(), int4_shifted) == -8);
    // the quotient may overflow, the code may not
    CHECK(cm::quantize(1e38F, cm::grid{1e-30F, 0, 8, true}) == 127);
}

TEST_CASE("grid: 16 bits pass everything through", "[quant]") {
    const cm::grid g{};
    CHECK(g.is_float());
    CHECK(cm::fake_quantize(0.1F, g) == 0.1F);
    CHECK(std::signbit(cm::fake_quantize(-0.0F, g)));
}

TEST_CASE("grid: validate refuses what the kernels could not use", "[quant]") {
    using Catch::Matchers::Contains;
    CHECK_NOTHROW(cm::validate(int4));
    CHECK_NOTHROW(cm::validate(int4_shifted));
    CHECK_NOTHROW(cm::validate(cm::grid{0.0F, 99, 16, true}));
    CHECK_THROWS_WITH(cm::validate(cm::grid{1.0F, 0, 9, true}), Contains("num_bits is 9, expected 2 to 8"));
    CHECK_THROWS_WITH(cm::validate(cm::grid{1.0F, 0, 1, true}), Contains("num_bits is 1"));
    CHECK_THROWS_WITH(cm::validate(cm::grid{0.0F, 0, 4, true}), Contains("positive normal"));
    CHECK_THROWS_WITH(cm::validate(cm::grid{-1.0F, 0, 4, true}), Contains("scale is -1.0"));
    CHECK_THROWS_WITH(cm::validate(cm::grid{1e-40F, 0, 4, true}), Contains("positive normal"));
    CHECK_THROWS_WITH(cm::validate(cm::grid{infinity, 0, 4, true}), Contains("scale is inf"));
    CHECK_THROWS_WITH(cm::validate(cm::grid{1.0F, 1, 4, true}), Contains("zero_point is 1, expected 0"));
    CHECK_THROWS_WITH(cm::validate(cm::grid{1.0F, 8, 4, false}), Contains("a code in [-8, 7]"));
}
