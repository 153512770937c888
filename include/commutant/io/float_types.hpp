// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>
#include <limits>

namespace commutant::io {

/// IEEE binary16: 5 exponent bits, 10 mantissa bits, largest finite value 65504.
struct f16_format {
    static constexpr int exponent_bits = 5;
    static constexpr int mantissa_bits = 10;
    static constexpr double largest = 65504.0;
    static constexpr double smallest_normal = 0x1p-14;
};

/// bfloat16: the upper half of a binary32.
struct bf16_format {
    static constexpr int exponent_bits = 8;
    static constexpr int mantissa_bits = 7;
    static constexpr double largest = 0x1.fep127;
    static constexpr double smallest_normal = 0x1p-126;
};

/// Bits of x in a 16-bit format, rounded once, to nearest with ties to even.
///
/// Values that round past the largest finite one become infinite; a NaN becomes a quiet NaN of the same sign.
/// A float argument converts to double exactly, so it too is rounded once.
template <class Format> [[nodiscard]] constexpr std::uint16_t encode_float(double x) noexcept {
    constexpr int mantissa_bits = Format::mantissa_bits;
    constexpr int bias = (1 << (Format::exponent_bits - 1)) - 1;
    constexpr int top_exponent = (1 << Format::exponent_bits) - 1;
    auto const bits = std::bit_cast<std::uint64_t>(x);
    auto const sign = static_cast<std::uint16_t>((bits >> 63) << 15);
    auto const exponent_field = static_cast<int>((bits >> 52) & 0x7ff);
    std::uint64_t const fraction = bits & 0xfffffffffffffULL;
    constexpr auto infinity = static_cast<std::uint16_t>(top_exponent << mantissa_bits);
    if (exponent_field == 0x7ff) {
        if (fraction == 0) return static_cast<std::uint16_t>(sign | infinity);
        auto const payload = static_cast<std::uint16_t>(fraction >> (52 - mantissa_bits));
        return static_cast<std::uint16_t>(sign | infinity | (1 << (mantissa_bits - 1)) | payload);
    }
    if (exponent_field == 0) return sign;  // below 2^-1022: far under half of the smallest subnormal
    int const target = exponent_field - 1023 + bias;
    if (target >= top_exponent) return static_cast<std::uint16_t>(sign | infinity);
    std::uint64_t const significand = fraction | (std::uint64_t{1} << 52);
    int const shift = 52 - mantissa_bits + (target < 1 ? 1 - target : 0);
    if (shift > 53) return sign;
    std::uint64_t rounded = significand >> shift;
    std::uint64_t const rest = significand & ((std::uint64_t{1} << shift) - 1);
    std::uint64_t const half = std::uint64_t{1} << (shift - 1);
    if (rest > half || (rest == half && (rounded & 1) != 0)) ++rounded;
    // The hidden bit of `rounded` adds one to the exponent field; so does a carry out of the mantissa.
    if (target >= 1) rounded += static_cast<std::uint64_t>(target - 1) << mantissa_bits;
    return static_cast<std::uint16_t>(sign | rounded);
}

/// Nearest binary16 of x; see encode_float.
[[nodiscard]] constexpr std::uint16_t encode_f16(double x) noexcept { return encode_float<f16_format>(x); }

/// Nearest bfloat16 of x; see encode_float.
[[nodiscard]] constexpr std::uint16_t encode_bf16(double x) noexcept { return encode_float<bf16_format>(x); }

/// Exact value of a bfloat16.
[[nodiscard]] constexpr float decode_bf16(std::uint16_t bits) noexcept {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

/// Exact value of a binary16.
[[nodiscard]] constexpr float decode_f16(std::uint16_t bits) noexcept {
    std::uint32_t const sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
    std::uint32_t const exponent = (bits >> 10) & 0x1fu;
    std::uint32_t const fraction = bits & 0x3ffu;
    if (exponent == 0) {
        float const magnitude = static_cast<float>(fraction) * 0x1p-24f;
        return sign != 0 ? -magnitude : magnitude;
    }
    std::uint32_t const field = exponent == 31 ? 255u : exponent + (127 - 15);
    return std::bit_cast<float>(sign | (field << 23) | (fraction << 13));
}

}  // namespace commutant::io
