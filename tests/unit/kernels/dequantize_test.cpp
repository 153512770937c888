// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

#include <commutant/kernels/dequantize.hpp>

#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <vector>

#include "support/guarded_buffer.hpp"

namespace {

using namespace commutant::kernels;
using commutant_test::against;
using commutant_test::guarded_buffer;

struct layout_case {
    nibble_order order;
    std::size_t block;
};
std::vector<layout_case> const layout_cases{
    {nibble_order::interleaved, 32}, {nibble_order::interleaved_high_first, 32},
    {nibble_order::half_split, 6},   {nibble_order::half_split, 32},
    {nibble_order::half_split, 64},  {nibble_order::half_split, 128},
    {nibble_order::half_split, 48},  {nibble_order::half_split, 96}};

std::vector<std::size_t> lengths(layout_case c) {
    std::vector<std::size_t> n;
    if (c.order == nibble_order::half_split) {
        for (std::size_t i = 0; i <= 5; ++i) n.push_back(i * c.block);
        return n;
    }
    for (std::size_t i = 0; i <= 70; ++i) n.push_back(i);
    for (std::size_t i : {95, 96, 97, 127, 128, 129, 255, 256, 257}) n.push_back(i);
    return n;
}

template <class Out> void check_bodies() {
    for (auto const& body : detail::dequantize_bodies<Out>) {
        if (!is_supported(body.level)) continue;
        INFO(to_string(body.level));
        for (layout_case const c : layout_cases) {
            for (std::size_t const n : lengths(c)) {
                for (std::size_t const group_size :
                     {n + 1, std::size_t{32}, std::size_t{128}, std::size_t{16}, std::size_t{6},
                      std::size_t{7}, std::size_t{48}}) {
                    for (bool const is_signed : {true, false}) {
                        for (against const side : {against::end, against::begin}) {
                            std::size_t const n_groups = n / group_size + 1;
                            guarded_buffer<std::uint8_t> packed(packed_int4_size(n), side);
                            guarded_buffer<float> scale((n + group_size - 1) / group_size, side);
                            guarded_buffer<std::int32_t> zero_point(scale.size(), side);
                            guarded_buffer<Out> x(n, side);
                            std::mt19937 random(static_cast<std::uint32_t>(n));
                            for (std::size_t i = 0; i < packed.size(); ++i)
                                packed[i] = static_cast<std::uint8_t>(i * 37 + n);
                            for (std::size_t g = 0; g < scale.size(); ++g) {
                                scale[g] = 0.1F + 0.37F * static_cast<float>(g);
                                zero_point[g] = static_cast<std::int32_t>(random() % 16) - 8;
                            }
                            bool const with_zero_point = n_groups % 2 == 0 || n % 3 == 0;
                            detail::dequantize_job const job{
                                packed.data(), {n, c.order, c.block},
                                is_signed,     group_size,
                                scale.data(),  with_zero_point ? zero_point.data() : nullptr};
                            if (n != 0) body.function(job, x.data());
                            bool equal = true;
                            for (std::size_t i = 0; i < n; ++i) {
                                unsigned const nibble = detail::nibble_at(packed.data(), job.run, i);
                                int const code =
                                    is_signed ? detail::signed_nibble(nibble) : static_cast<int>(nibble);
                                std::size_t const g = i / group_size;
                                float const value =
                                    scale[g] *
                                    static_cast<float>(code - (with_zero_point ? zero_point[g] : 0));
                                equal = equal && x[i] == detail::as_output<Out>(value);
                            }
                            INFO("n " << n << ", block " << c.block << ", group " << group_size);
                            REQUIRE(equal);
                        }
                    }
                }
            }
        }
    }
}

}  // namespace

TEST_CASE("dequantize_int4: every body gives scale (q - zero_point)", "[kernels][dequantize]") {
    check_bodies<float>();
    check_bodies<std::uint16_t>();
}

TEST_CASE("dequantize_int4: the sixteen values by hand", "[kernels][dequantize]") {
    std::vector<std::uint8_t> packed{0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe};
    std::vector<float> x(16);
    dequantize_int4(packed, {}, 0.5F, 1, std::span<float>(x));
    REQUIRE(x == std::vector<float>{-0.5F, 0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 2.5F, 3.0F, -4.5F, -4.0F, -3.5F,
                                    -3.0F, -2.5F, -2.0F, -1.5F, -1.0F});
    dequantize_int4(packed, {nibble_order::interleaved_high_first, 32, false}, 2.0F, 0, std::span<float>(x));
    REQUIRE(x == std::vector<float>{2, 0, 6, 4, 10, 8, 14, 12, 18, 16, 22, 20, 26, 24, 30, 28});
    std::vector<float> const scale{1.0F, 10.0F};
    dequantize_int4_groups(packed, {nibble_order::half_split, 16, false}, 8, scale, {}, std::span<float>(x));
    REQUIRE(x == std::vector<float>{0, 2, 4, 6, 8, 10, 12, 14, 10, 30, 50, 70, 90, 110, 130, 150});
    std::vector<std::uint16_t> bf16(16), rounded;
    for (float const v : x) rounded.push_back(detail::bfloat16_bits(v));
    dequantize_int4_groups(packed, {nibble_order::half_split, 16, false}, 8, scale, {},
                           std::span<std::uint16_t>(bf16));
    REQUIRE(bf16 == rounded);
}

TEST_CASE("bfloat16_bits: nearest, ties to even", "[kernels][dequantize]") {
    REQUIRE(detail::bfloat16_bits(1.0F) == 0x3f80);
    REQUIRE(detail::bfloat16_bits(-2.5F) == 0xc020);
    REQUIRE(detail::bfloat16_bits(1.00390625F) == 0x3f80);  // half of the last place: to even
    REQUIRE(detail::bfloat16_bits(1.01171875F) == 0x3f82);
    REQUIRE(detail::bfloat16_bits(1.003907F) == 0x3f81);
}
