// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace commutant::kernels {

/// How a KV cache stores a number.
enum class kv_storage : unsigned char { int4, int8, float32 };

}  // namespace commutant::kernels

namespace commutant::kernels::detail {

/// Numbers that stand side by side, one to a word: what a 512-bit register holds.
inline constexpr std::size_t lanes_per_block = 16;

/// Numbers in one 32-bit word, the first one lowest.
[[nodiscard]] constexpr std::size_t codes_per_word(kv_storage s) noexcept {
    return s == kv_storage::int4 ? 8 : s == kv_storage::int8 ? 4 : 1;
}
[[nodiscard]] constexpr std::size_t words_for(std::size_t n, kv_storage s) noexcept {
    return (n + codes_per_word(s) - 1) / codes_per_word(s);
}
[[nodiscard]] constexpr std::size_t round_up(std::size_t n, std::size_t unit) noexcept {
    return (n + unit - 1) / unit * unit;
}
/// What is added to a code before it is stored.
[[nodiscard]] constexpr std::int32_t stored_bias(kv_storage s) noexcept {
    return s == kv_storage::int4 ? 8 : 128;
}

/// Bits of 2^23: a stored code in its low bits is the float 2^23 + code, without a conversion.
inline constexpr std::uint32_t code_as_float = 0x4B000000;

/// What is taken from that float so that code - zero_point is left.
[[nodiscard]] constexpr float operand_offset(kv_storage s, std::int32_t zero_point) noexcept {
    return static_cast<float>((1 << 23) + stored_bias(s) + zero_point);
}

/// code - zero_point of the term'th number in a word; float32: the number itself.
[[nodiscard]] inline float steps_of(std::uint32_t word, std::size_t term, kv_storage s,
                                    float offset) noexcept {
    if (s == kv_storage::float32) return std::bit_cast<float>(word);
    unsigned const bits = s == kv_storage::int4 ? 4 : 8;
    std::uint32_t const code = (word >> (bits * term)) & ((1U << bits) - 1);
    return std::bit_cast<float>(code_as_float | code) - offset;
}

[[nodiscard]] inline std::uint32_t load_word(std::byte const* words, std::size_t i) noexcept {
    std::uint32_t w = 0;
    std::memcpy(&w, words + 4 * i, 4);
    return w;
}
inline void store_word(std::byte* words, std::size_t i, std::uint32_t w) noexcept {
    std::memcpy(words + 4 * i, &w, 4);
}

}  // namespace commutant::kernels::detail
