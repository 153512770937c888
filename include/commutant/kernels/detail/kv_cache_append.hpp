// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include <commutant/kernels/detail/kv_cache_codes.hpp>
#include <commutant/kernels/detail/kv_cache_words.hpp>
#include <commutant/kernels/isa.hpp>

namespace commutant::kernels::detail {

/// Smallest and largest of some values; finite if neither NaN nor infinity is among them.
struct row_extent {
    float min;
    float max;
    bool finite;
};

/// Integers of the same order as the floats, which tell NaN and infinity apart at the ends.
[[nodiscard]] inline row_extent row_extent_of(std::span<float const> x) noexcept {
    std::int32_t low = 0, high = 0;  // 0.0 is on every grid
    for (float const v : x) {
        auto const bits = std::bit_cast<std::int32_t>(v);
        std::int32_t const b = bits ^ ((bits >> 31) & 0x7FFFFFFF);
        low = b < low ? b : low;
        high = b > high ? b : high;
    }
    constexpr std::int32_t infinity = 0x7F800000, minus_infinity = ~infinity;
    return {std::bit_cast<float>(low ^ ((low >> 31) & 0x7FFFFFFF)), std::bit_cast<float>(high),
            low > minus_infinity && high < infinity};
}

/// Numbers that are quantised at a time; they wait on the stack.
inline constexpr std::size_t append_chunk = 128;

/// Eight bytes below 16 as nibbles of a word, the first one lowest; four bytes as they are.
[[nodiscard]] inline std::uint32_t word_of(std::uint8_t const* stored, kv_storage s) noexcept {
    if (s == kv_storage::int8) {
        std::uint32_t w = 0;
        for (std::size_t i = 0; i < 4; ++i) w |= static_cast<std::uint32_t>(stored[i]) << (8 * i);
        return w;
    }
    std::uint64_t w = 0;
    for (std::size_t i = 0; i < 8; ++i) w |= static_cast<std::uint64_t>(stored[i]) << (8 * i);
    w = (w | w >> 4) & 0x00FF00FF00FF00FFU;
    w = (w | w >> 8) & 0x0000FFFF0000FFFFU;
    return static_cast<std::uint32_t>(w | w >> 16);
}

/// One position of one head: its keys go to a lane of their block, its values into a slot of every word of their row.
inline void append_codes(float const* keys, float const* values, std::size_t head_dim, kv_storage s,
                         code_rule const& key_rule, code_rule const& value_rule, std::byte* key_block,
                         std::size_t lane, std::byte* value_row, std::size_t slot) noexcept {
    constexpr dispatched<store_codes_bodies> store_codes{};
    std::array<std::uint8_t, append_chunk> stored;
    std::size_t const per_word = codes_per_word(s);
    unsigned const bits = s == kv_storage::int4 ? 4 : 8;
    auto const shift = static_cast<unsigned>(slot) * bits;
    std::uint32_t const mask = ((1U << bits) - 1) << shift;
    for (std::size_t d = 0; d < head_dim; d += append_chunk) {
        std::size_t const n = head_dim - d < append_chunk ? head_dim - d : append_chunk;
        store_codes(keys + d, n, &key_rule, stored.data());
        for (std::size_t i = n; i % per_word != 0; ++i) stored[i] = 0;
        for (std::size_t i = 0; i < n; i += per_word)
            store_word(key_block, (d + i) / per_word * lanes_per_block + lane, word_of(stored.data() + i, s));
        store_codes(values + d, n, &value_rule, stored.data());
        for (std::size_t i = 0; i < n; ++i)
            store_word(value_row, d + i,
                       (load_word(value_row, d + i) & ~mask) | static_cast<std::uint32_t>(stored[i])
                                                                   << shift);
    }
}

}  // namespace commutant::kernels::detail
