// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

#include <commutant/kernels/int4_pack.hpp>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "support/guarded_buffer.hpp"

namespace {

using namespace commutant::kernels;
using commutant_test::against;
using commutant_test::guarded_buffer;

struct nibble_case {
    nibble_order order;
    std::size_t block;
};
std::vector<nibble_case> const nibble_cases{
    {nibble_order::interleaved, 32}, {nibble_order::interleaved_high_first, 32},
    {nibble_order::half_split, 2},   {nibble_order::half_split, 6},
    {nibble_order::half_split, 16},  {nibble_order::half_split, 32},
    {nibble_order::half_split, 48},  {nibble_order::half_split, 64},
    {nibble_order::half_split, 128}, {nibble_order::half_split, 160},
    {nibble_order::half_split, 256}};

std::vector<std::size_t> lengths(nibble_case c) {
    std::vector<std::size_t> n;
    if (c.order == nibble_order::half_split) {
        for (std::size_t i = 0; i <= 9; ++i) n.push_back(i * c.block);
        n.push_back(33 * c.block);
        return n;
    }
    for (std::size_t i = 0; i <= 140; ++i) n.push_back(i);
    for (std::size_t i : {191, 192, 193, 255, 256, 257, 511, 512, 513, 1023, 1024, 1025}) n.push_back(i);
    return n;
}

}  // namespace

TEST_CASE("pack_int4: every body packs as the definition says", "[kernels][int4_pack]") {
    for (auto const& body : detail::pack_int4_bodies) {
        if (!is_supported(body.level)) continue;
        INFO(to_string(body.level));
        for (nibble_case const c : nibble_cases) {
            for (std::size_t const n : lengths(c)) {
                for (against const side : {against::end, against::begin}) {
                    INFO("n " << n << ", block " << c.block);
                    guarded_buffer<std::uint8_t> values(n, side);
                    guarded_buffer<std::uint8_t> packed(packed_int4_size(n), side);
                    std::mt19937 random(static_cast<std::uint32_t>(n));
                    for (std::uint8_t& v : values.elements()) v = static_cast<std::uint8_t>(random());
                    body.function(values.data(), {n, c.order, c.block}, packed.data());
                    bool equal = true;
                    for (std::size_t i = 0; i < n; ++i)
                        equal = equal && detail::nibble_at(packed.data(), {n, c.order, c.block}, i) ==
                                             (values[i] & 15U);
                    if (n % 2 != 0)
                        equal = equal && detail::nibble_at(packed.data(), {n, c.order, c.block}, n) == 0;
                    REQUIRE(equal);
                    // In place.
                    std::vector<std::uint8_t> const expected(packed.elements().begin(),
                                                             packed.elements().end());
                    body.function(values.data(), {n, c.order, c.block}, values.data());
                    REQUIRE(std::equal(expected.begin(), expected.end(), values.elements().begin()));
                }
            }
        }
    }
}

TEST_CASE("unpack_int4: every body unpacks every byte, signed and unsigned", "[kernels][int4_pack]") {
    auto const check = [](auto const& bodies, bool is_signed) {
        for (auto const& body : bodies) {
            if (!is_supported(body.level)) continue;
            INFO(to_string(body.level));
            for (nibble_case const c : nibble_cases) {
                for (std::size_t const n : lengths(c)) {
                    for (against const side : {against::end, against::begin}) {
                        INFO("n " << n << ", block " << c.block);
                        guarded_buffer<std::uint8_t> packed(packed_int4_size(n), side);
                        guarded_buffer<std::uint8_t> values(n, side);
                        for (std::size_t i = 0; i < packed.size(); ++i)
                            packed[i] = static_cast<std::uint8_t>(i * 37 + n);  // every byte, in long runs
                        body.function(packed.data(), {n, c.order, c.block}, values.data());
                        bool equal = true;
                        for (std::size_t i = 0; i < n; ++i) {
                            unsigned const nibble =
                                detail::nibble_at(packed.data(), {n, c.order, c.block}, i);
                            equal = equal && (is_signed ? static_cast<std::int8_t>(values[i]) ==
                                                              detail::signed_nibble(nibble)
                                                        : values[i] == nibble);
                        }
                        REQUIRE(equal);
                    }
                }
            }
        }
    };
    check(detail::unpack_signed_int4_bodies, true);
    check(detail::unpack_unsigned_int4_bodies, false);
}

TEST_CASE("pack_int4: a byte holds what its order says", "[kernels][int4_pack]") {
    std::vector<std::int8_t> const values{-8, 7, -1, 0, 3};
    std::vector<std::uint8_t> packed(3);
    pack_int4(std::span<std::int8_t const>(values), packed);
    REQUIRE(packed == std::vector<std::uint8_t>{0x78, 0x0f, 0x03});
    pack_int4(std::span<std::int8_t const>(values), packed, nibble_order::interleaved_high_first);
    REQUIRE(packed == std::vector<std::uint8_t>{0x87, 0xf0, 0x30});
    pack_int4(std::span<std::int8_t const>(values).first(4), packed, nibble_order::half_split, 4);
    REQUIRE(packed == std::vector<std::uint8_t>{0xf8, 0x07, 0x30});

    std::vector<std::int8_t> back(4);
    unpack_int4(std::span<std::uint8_t const>(packed).first(2), std::span<std::int8_t>(back),
                nibble_order::half_split, 4);
    REQUIRE(back == std::vector<std::int8_t>{-8, 7, -1, 0});
    std::vector<std::uint8_t> raw(4);
    unpack_int4(std::span<std::uint8_t const>(packed).first(2), std::span<std::uint8_t>(raw));
    REQUIRE(raw == std::vector<std::uint8_t>{8, 15, 7, 0});
}
