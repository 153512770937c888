// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace commutant::kernels {

/// Where the two values of a byte come from.
enum class nibble_order : unsigned char {
    interleaved,             ///< byte i holds (2i, 2i + 1), the first one low
    interleaved_high_first,  ///< the same pair, the first one high
    half_split               ///< byte j of a block of values holds (j, j + block / 2), the first one low
};

namespace detail {

/// A packed run; values are bytes whose upper half is ignored when packing.
struct nibble_run {
    std::size_t n;  ///< values
    nibble_order order;
    std::size_t block;  ///< of half_split only
};

/// Reads value i of a packed run: 0 .. 15.
[[nodiscard]] constexpr unsigned nibble_at(std::uint8_t const* packed, nibble_run run,
                                           std::size_t i) noexcept {
    switch (run.order) {
        case nibble_order::interleaved:
            return packed[i / 2] >> (i % 2 * 4) & 15U;
        case nibble_order::interleaved_high_first:
            return packed[i / 2] >> (4 - i % 2 * 4) & 15U;
        default: {
            std::size_t const half = run.block / 2;
            std::size_t const in_block = i % run.block;
            return packed[i / run.block * half + in_block % half] >> (in_block / half * 4) & 15U;
        }
    }
}

/// Two's complement value of a nibble.
[[nodiscard]] constexpr std::int8_t signed_nibble(unsigned nibble) noexcept {
    return static_cast<std::int8_t>(static_cast<int>(nibble ^ 8U) - 8);
}

[[nodiscard]] constexpr std::uint8_t two_nibbles(unsigned low, unsigned high) noexcept {
    return static_cast<std::uint8_t>((low & 15U) | (high & 15U) << 4);
}

/// Bytes first .. of an interleaved run, from value 2 first on: what is left over by faster bodies.
inline void pack_pairs(std::uint8_t const* values, std::size_t n, bool high_first,
                       std::uint8_t* packed) noexcept {
    for (std::size_t i = 0; i + 1 < n; i += 2)
        packed[i / 2] =
            high_first ? two_nibbles(values[i + 1], values[i]) : two_nibbles(values[i], values[i + 1]);
    if (n % 2 != 0)
        packed[n / 2] = high_first ? two_nibbles(0, values[n - 1]) : two_nibbles(values[n - 1], 0);
}

inline void pack_int4_scalar(std::uint8_t const* values, nibble_run run, std::uint8_t* packed) noexcept {
    if (run.order != nibble_order::half_split)
        return pack_pairs(values, run.n, run.order == nibble_order::interleaved_high_first, packed);
    std::size_t const half = run.block / 2;
    for (std::size_t begin = 0; begin < run.n; begin += run.block)
        for (std::size_t j = 0; j < half; ++j)
            packed[begin / 2 + j] = two_nibbles(values[begin + j], values[begin + half + j]);
}

/// Signed values are written as the two's complement of their nibble.
template <bool Signed>
inline void unpack_int4_scalar(std::uint8_t const* packed, nibble_run run, std::uint8_t* values) noexcept {
    for (std::size_t i = 0; i < run.n; ++i) {
        unsigned const nibble = nibble_at(packed, run, i);
        values[i] = static_cast<std::uint8_t>(Signed ? static_cast<unsigned>(signed_nibble(nibble)) : nibble);
    }
}

/// Walks over the values that go to the low nibbles of half_split blocks; the step divides half a block.
struct low_half_cursor {
    std::size_t half;
    std::size_t at = 0;  ///< the value that the next byte's low nibble holds; its high one holds at + half
    std::size_t in_half = 0;

    constexpr std::size_t next(std::size_t step) noexcept {
        std::size_t const here = at;
        at += step;
        in_half += step;
        if (in_half == half) {
            at += half;
            in_half = 0;
        }
        return here;
    }
};

}  // namespace detail
}  // namespace commutant::kernels
