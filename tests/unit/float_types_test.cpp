// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <commutant/io/float_types.hpp>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include <catch2/catch.hpp>

using namespace commutant::io;

namespace {

/// Checks every gap between neighbouring values of a format: its ends, its middle, and just beside the
/// middle.
template <class Format, class Decode> void check_every_gap(Decode decode) {
    constexpr int top = ((1 << Format::exponent_bits) - 1) << Format::mantissa_bits;  // bits of infinity
    for (int bits = 0; bits < top; ++bits) {
        auto const low = static_cast<std::uint16_t>(bits);
        double const a = decode(low);
        bool const last = bits + 1 == top;
        // Past the largest finite value the next one would be a power of two; half of the way there already
        // overflows.
        double const b =
            last ? 2 * std::exp2(std::floor(std::log2(a))) : decode(static_cast<std::uint16_t>(bits + 1));
        double const middle = a + (b - a) / 2;
        auto const high = static_cast<std::uint16_t>(bits + 1);
        auto const even = bits % 2 == 0 ? low : high;
        double const inf = std::numeric_limits<double>::infinity();
        bool const good = encode_float<Format>(a) == low && encode_float<Format>(middle) == even &&
                          encode_float<Format>(std::nextafter(middle, 0.0)) == low &&
                          encode_float<Format>(std::nextafter(middle, inf)) == high &&
                          encode_float<Format>(-a) == (low | 0x8000) &&
                          encode_float<Format>(-middle) == (even | 0x8000);
        if (!good) FAIL("rounding near bits " << bits);
    }
    SUCCEED();
}

}  // namespace

TEST_CASE("float_types: every gap between two half floats rounds to nearest, ties to even", "[io]") {
    check_every_gap<f16_format>(decode_f16);
}

TEST_CASE("float_types: every gap between two bfloat16 rounds to nearest, ties to even", "[io]") {
    check_every_gap<bf16_format>(decode_bf16);
}

TEST_CASE("float_types: all 65536 patterns survive decoding and encoding, and NaN stays NaN", "[io]") {
    for (std::uint32_t i = 0; i < 65536; ++i) {
        auto const bits = static_cast<std::uint16_t>(i);
        float const half = decode_f16(bits);
        float const brain = decode_bf16(bits);
        bool const half_nan = (bits & 0x7c00) == 0x7c00 && (bits & 0x3ff) != 0;
        bool const brain_nan = (bits & 0x7f80) == 0x7f80 && (bits & 0x7f) != 0;
        if (std::isnan(half) != half_nan || std::isnan(brain) != brain_nan) FAIL("NaN at " << i);
        // A signalling NaN comes back quiet: the top mantissa bit is set, the others are kept.
        if (encode_f16(half) != (half_nan ? (bits | 0x200) : bits)) FAIL("f16 " << i);
        if (encode_bf16(brain) != (brain_nan ? (bits | 0x40) : bits)) FAIL("bf16 " << i);
    }
    SUCCEED();
}

TEST_CASE("float_types: known values", "[io]") {
    STATIC_REQUIRE(encode_f16(1.0) == 0x3c00);
    STATIC_REQUIRE(encode_f16(65504.0) == 0x7bff);
    STATIC_REQUIRE(encode_f16(65519.999) == 0x7bff);
    STATIC_REQUIRE(encode_f16(65520.0) == 0x7c00);
    STATIC_REQUIRE(encode_f16(0x1p-24) == 0x0001);
    STATIC_REQUIRE(encode_f16(0x1p-25) == 0x0000);
    STATIC_REQUIRE(encode_f16(std::numeric_limits<double>::denorm_min()) == 0x0000);
    STATIC_REQUIRE(encode_f16(-0.0) == 0x8000);
    STATIC_REQUIRE(encode_bf16(1.0) == 0x3f80);
    STATIC_REQUIRE(encode_bf16(3.140625) == 0x4049);
    STATIC_REQUIRE(encode_bf16(-std::numeric_limits<double>::infinity()) == 0xff80);
    STATIC_REQUIRE(decode_f16(0x3555) == 0.333251953125f);
    STATIC_REQUIRE(decode_f16(0x0001) == 0x1p-24f);
}

TEST_CASE("float_types: a double is rounded once, not by way of float", "[io]") {
    // 1 + 2^-11 + 2^-40 lies just above the middle of two half floats; as a float it would be the middle
    // itself.
    double const x = 1.0 + 0x1p-11 + 0x1p-40;
    REQUIRE(static_cast<double>(static_cast<float>(x)) == 1.0 + 0x1p-11);
    REQUIRE(encode_f16(x) == 0x3c01);
    REQUIRE(encode_f16(static_cast<float>(x)) == 0x3c00);
}
