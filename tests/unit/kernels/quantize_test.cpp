// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

#include <commutant/kernels/quantize.hpp>
#include <commutant/quant/grid.hpp>
#include <commutant/quant/value_range.hpp>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "support/expected_body.hpp"
#include "support/guarded_buffer.hpp"

namespace {

using namespace commutant::kernels;
using commutant_test::against;
using commutant_test::guarded_buffer;

std::vector<std::size_t> lengths() {
    std::vector<std::size_t> n;
    for (std::size_t i = 0; i <= 70; ++i) n.push_back(i);
    for (std::size_t i : {95, 96, 97, 127, 128, 129, 191, 192, 193, 255, 256, 257, 511, 512, 513, 1023, 1025})
        n.push_back(i);
    return n;
}

constexpr float nan_ = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();

/// Values on both sides of every bound and tie of a grid, some far from it, and, one in so many, what has no code.
void fill(std::span<float> x, std::uint32_t seed, code_grid g, unsigned one_in_is_special) {
    std::mt19937 random(seed);
    std::uniform_int_distribution<int> half_steps(-40, 40);
    std::uniform_real_distribution<float> wide(-12.0F, 12.0F);
    float const special[] = {nan_,   -nan_,   infinity, -infinity, 3e38F,  -3e38F,
                             1e-40F, -1e-40F, 0.0F,     -0.0F,     2.1e9F, -2.2e9F};
    for (std::size_t i = 0; i < x.size(); ++i) {
        if (one_in_is_special != 0 && random() % one_in_is_special == 0)
            x[i] = special[random() % 12];
        else if (random() % 2 == 0)
            x[i] = g.scale * 0.5F * static_cast<float>(half_steps(random));
        else
            x[i] = g.scale * wide(random) * (random() % 100 == 0 ? 20.0F : 1.0F);
    }
}

std::vector<code_grid> const grids{{1.0F, 0, 4},   {0.37F, 3, 4}, {0.125F, -8, 4}, {2.0F, 7, 4},
                                   {1e-3F, 0, 8},  {0.5F, 5, 8},  {7.0F, -128, 8}, {0.25F, 127, 8},
                                   {0.75F, -1, 3}, {1.5F, 0, 2}};

struct filled_grid {
    code_grid grid;
    unsigned one_in_is_special;
};
std::vector<filled_grid> const filled_grids = [] {
    std::vector<filled_grid> r;
    for (code_grid const& g : grids)
        for (unsigned const one_in : {0U, 3U, 500U}) r.push_back({g, one_in});
    return r;
}();

struct nibble_case {
    nibble_order order;
    std::size_t block;
};
std::vector<nibble_case> const nibble_cases{
    {nibble_order::interleaved, 32}, {nibble_order::interleaved_high_first, 32},
    {nibble_order::half_split, 2},   {nibble_order::half_split, 6},
    {nibble_order::half_split, 32},  {nibble_order::half_split, 64},
    {nibble_order::half_split, 128}, {nibble_order::half_split, 48}};

}  // namespace

TEST_CASE("quantize: calls go to the body this build is meant to test", "[kernels][quantize]") {
    commutant_test::check_chosen_body<detail::quantize_rows_bodies>({"scalar", "xsimd", "avx2"});
}

TEST_CASE("quantize: every body gives the scalar body's codes", "[kernels][quantize]") {
    for (auto const& body : detail::quantize_rows_bodies) {
        if (!is_supported(body.level)) continue;
        INFO(to_string(body.level));
        for (std::size_t const n : lengths()) {
            for (against const side : {against::end, against::begin}) {
                guarded_buffer<float> x(n, side);
                guarded_buffer<std::int8_t> codes(n, side);
                std::vector<std::int8_t> expected(n);
                for (auto const& [g, one_in] : filled_grids) {
                    fill(x.elements(), static_cast<std::uint32_t>(n), g, one_in);
                    body.function(x.data(), 1, n, detail::sink_of(static_codes{g, codes.elements()}));
                    detail::quantize_rows_scalar(x.data(), 1, n, detail::sink_of(static_codes{g, expected}));
                    bool equal = true;
                    for (std::size_t i = 0; i < n; ++i) equal = equal && codes[i] == expected[i];
                    INFO("n " << n << ", scale " << g.scale << ", zero point " << g.zero_point << ", bits "
                              << g.num_bits << ", special one in " << one_in);
                    REQUIRE(equal);
                }
            }
        }
    }
}

TEST_CASE("quantize: every body gives the scalar body's nibbles", "[kernels][quantize]") {
    for (auto const& body : detail::quantize_rows_bodies) {
        if (!is_supported(body.level)) continue;
        INFO(to_string(body.level));
        for (nibble_case const c : nibble_cases) {
            for (std::size_t n : lengths()) {
                if (c.order == nibble_order::half_split) n *= c.block;
                for (against const side : {against::end, against::begin}) {
                    guarded_buffer<float> x(n, side);
                    guarded_buffer<std::uint8_t> packed(packed_int4_size(n), side);
                    std::vector<std::uint8_t> expected(packed_int4_size(n));
                    for (auto const& [g, one_in] : filled_grids) {
                        if (g.num_bits > 4) continue;
                        fill(x.elements(), static_cast<std::uint32_t>(n), g, one_in);
                        body.function(
                            x.data(), 1, n,
                            detail::sink_of(static_nibbles{g, packed.elements(), c.order, c.block}));
                        detail::quantize_rows_scalar(
                            x.data(), 1, n, detail::sink_of(static_nibbles{g, expected, c.order, c.block}));
                        bool equal = true;
                        for (std::size_t i = 0; i < packed.size(); ++i)
                            equal = equal && packed[i] == expected[i];
                        INFO("n " << n << ", block " << c.block << ", scale " << g.scale << ", zero point "
                                  << g.zero_point << ", bits " << g.num_bits << ", special one in "
                                  << one_in);
                        REQUIRE(equal);
                    }
                }
            }
        }
    }
}

TEST_CASE("quantize: one value far from the others, at every place", "[kernels][quantize]") {
    constexpr std::size_t n = 256;
    std::mt19937 random(7);
    for (auto const& body : detail::quantize_rows_bodies) {
        if (!is_supported(body.level)) continue;
        INFO(to_string(body.level));
        for (code_grid const& g :
             {code_grid{0.5F, 0, 4}, code_grid{0.5F, 7, 4}, code_grid{0.5F, -8, 4}, code_grid{0.5F, 1, 3}}) {
            std::vector<float> x(n);
            std::uniform_real_distribution<float> near(-6.0F * g.scale, 6.0F * g.scale);
            for (float& v : x) v = near(random);
            for (nibble_case const c : nibble_cases) {
                if (n % c.block != 0) continue;
                std::vector<std::uint8_t> packed(n / 2), expected(n / 2);
                for (float const steps :
                     {infinity, -infinity, nan_, 127.0F, 128.0F, -127.0F, -128.0F, -129.0F, 3e9F, 1e30F}) {
                    bool equal = true;
                    for (std::size_t at = 0; at < n; ++at) {
                        float const was = std::exchange(x[at], steps * g.scale);
                        body.function(x.data(), 1, n,
                                      detail::sink_of(static_nibbles{g, packed, c.order, c.block}));
                        detail::quantize_rows_scalar(
                            x.data(), 1, n, detail::sink_of(static_nibbles{g, expected, c.order, c.block}));
                        equal = equal && packed == expected;
                        x[at] = was;
                    }
                    INFO("zero point " << g.zero_point << ", block " << c.block << ", steps " << steps);
                    REQUIRE(equal);
                }
            }
        }
    }
}

TEST_CASE("quantize: each nibble is the code", "[kernels][quantize]") {
    for (nibble_case const c : nibble_cases) {
        for (std::size_t n : {std::size_t{1}, std::size_t{2}, std::size_t{33}, std::size_t{100}}) {
            if (c.order == nibble_order::half_split) n *= c.block;
            code_grid const g{0.37F, 3, 4};
            std::vector<float> x(n);
            fill(x, 3, g, 3);
            std::vector<std::int8_t> codes(n);
            std::vector<std::uint8_t> packed(packed_int4_size(n));
            quantize(x, static_codes{g, codes});
            quantize(x, static_nibbles{g, packed, c.order, c.block});
            std::vector<std::int8_t> unpacked(n);
            unpack_int4(packed, std::span<std::int8_t>(unpacked), c.order, c.block);
            REQUIRE(unpacked == codes);
            if (n % 2 != 0)
                REQUIRE((c.order == nibble_order::interleaved ? packed.back() >> 4 : packed.back() & 15) ==
                        0);
        }
    }
}

TEST_CASE("quantize: codes are those of the grid away from ties", "[kernels][quantize]") {
    std::mt19937 random(11);
    for (code_grid const& g : grids) {
        commutant::grid const reference{g.scale, g.zero_point, g.num_bits, false};
        std::vector<float> x(20000);
        fill(x, random(), g, 3);
        std::vector<std::int8_t> codes(x.size());
        quantize(x, static_codes{g, codes});
        std::size_t compared = 0;
        for (std::size_t i = 0; i < x.size(); ++i) {
            double const steps = static_cast<double>(x[i]) / static_cast<double>(g.scale);
            double const to_tie = std::abs(std::abs(steps - std::floor(steps)) - 0.5);
            bool const power_of_two = std::exp2(std::round(std::log2(g.scale))) == g.scale;
            if (!power_of_two && to_tie < 1e-6 * std::abs(steps)) continue;
            ++compared;
            REQUIRE(codes[i] == commutant::quantize(x[i], reference));
        }
        REQUIRE(compared > x.size() / 2);
    }
    code_grid const g{1.0F, 0, 4};
    std::vector<float> const x{0.5F,  1.5F,  2.5F,   -0.5F,    -1.5F,     7.5F,
                               -8.5F, 1e30F, -1e30F, infinity, -infinity, nan_};
    std::vector<std::int8_t> codes(x.size());
    quantize(x, static_codes{g, codes});
    REQUIRE(codes == std::vector<std::int8_t>{0, 2, 2, 0, -2, 7, -8, 7, -8, 7, -8, -8});
}

TEST_CASE("quantize_rows: dynamic scales and zero points are those of min_max_grid", "[kernels][quantize]") {
    for (auto const& body : detail::quantize_rows_bodies) {
        if (!is_supported(body.level)) continue;
        INFO(to_string(body.level));
        for (std::size_t const n : lengths()) {
            constexpr std::size_t n_rows = 5;
            for (int const num_bits : {4, 8}) {
                for (bool const symmetric : {false, true}) {
                    guarded_buffer<float> x(n_rows * n);
                    std::mt19937 random(static_cast<std::uint32_t>(n));
                    std::normal_distribution<float> normal(0.3F, 2.0F);
                    for (float& v : x.elements()) v = normal(random);
                    for (std::size_t i = 0; i < n; ++i) {
                        x[n + i] = std::abs(x[n + i]);
                        x[2 * n + i] = -std::abs(x[2 * n + i]);
                        x[3 * n + i] = 0.0F;
                        x[4 * n + i] *= 1e-39F;
                    }
                    guarded_buffer<std::int8_t> codes(n_rows * n);
                    guarded_buffer<float> scale(n_rows);
                    guarded_buffer<std::int32_t> zero_point(n_rows);
                    body.function(x.data(), n_rows, n,
                                  detail::sink_of(dynamic_codes{num_bits, symmetric, codes.elements(),
                                                                scale.elements(), zero_point.elements()}));
                    for (std::size_t r = 0; r < n_rows; ++r) {
                        std::span<float const> const row = x.elements().subspan(r * n, n);
                        commutant::grid const g =
                            commutant::min_max_grid(commutant::range_of(row), num_bits, symmetric);
                        REQUIRE(scale[r] == g.scale);
                        REQUIRE(zero_point[r] == g.zero_point);
                        code_grid const same{g.scale, g.zero_point, num_bits};
                        for (std::size_t i = 0; i < n; ++i)
                            REQUIRE(codes[r * n + i] == detail::code_of(row[i], detail::constants_of(same)));
                    }
                }
            }
        }
    }
}

TEST_CASE("quantize_rows: packed rows hold the codes of unpacked ones", "[kernels][quantize]") {
    for (std::size_t const n : {std::size_t{7}, std::size_t{64}, std::size_t{129}}) {
        constexpr std::size_t n_rows = 3;
        std::vector<float> x(n_rows * n);
        fill(x, 5, {0.7F, 0, 4}, 0);
        std::vector<std::int8_t> codes(n_rows * n);
        std::vector<std::uint8_t> packed(n_rows * packed_int4_size(n));
        std::vector<float> scale(n_rows), scale_2(n_rows);
        std::vector<std::int32_t> zero_point(n_rows), zero_point_2(n_rows);
        quantize_rows(x, n_rows, dynamic_codes{4, false, codes, scale, zero_point});
        quantize_rows(x, n_rows, dynamic_nibbles{4, false, packed, scale_2, zero_point_2});
        REQUIRE(scale == scale_2);
        REQUIRE(zero_point == zero_point_2);
        std::vector<std::int8_t> row(n);
        for (std::size_t r = 0; r < n_rows; ++r) {
            unpack_int4(
                std::span<std::uint8_t const>(packed).subspan(r * packed_int4_size(n), packed_int4_size(n)),
                std::span<std::int8_t>(row));
            REQUIRE(row ==
                    std::vector<std::int8_t>(codes.begin() + static_cast<std::ptrdiff_t>(r * n),
                                             codes.begin() + static_cast<std::ptrdiff_t>((r + 1) * n)));
        }
    }
}

TEST_CASE("quantize_rows: on one grid, every row is as quantised by itself", "[kernels][quantize]") {
    code_grid const g{0.25F, 3, 4};
    constexpr std::size_t n_rows = 3;
    for (nibble_case const c : nibble_cases) {
        for (std::size_t n : {std::size_t{1}, std::size_t{6}, std::size_t{33}, std::size_t{130}}) {
            if (c.order == nibble_order::half_split) n *= c.block;
            std::vector<float> x(n_rows * n);
            fill(x, static_cast<std::uint32_t>(n), g, 3);
            std::size_t const row_bytes = packed_int4_size(n);
            std::vector<std::int8_t> codes(n_rows * n), row_codes(n);
            std::vector<std::uint8_t> packed(n_rows * row_bytes), row_packed(row_bytes);
            quantize_rows(x, n_rows, static_codes{g, codes});
            quantize_rows(x, n_rows, static_nibbles{g, packed, c.order, c.block});
            for (std::size_t r = 0; r < n_rows; ++r) {
                INFO("row " << r << " of " << n);
                auto const row = std::span<float const>(x).subspan(r * n, n);
                quantize(row, static_codes{g, row_codes});
                quantize(row, static_nibbles{g, row_packed, c.order, c.block});
                REQUIRE(std::equal(row_codes.begin(), row_codes.end(),
                                   codes.begin() + static_cast<std::ptrdiff_t>(r * n)));
                REQUIRE(std::equal(row_packed.begin(), row_packed.end(),
                                   packed.begin() + static_cast<std::ptrdiff_t>(r * row_bytes)));
            }
        }
    }
}

TEST_CASE("range_of: every body gives the scalar body's range", "[kernels][quantize]") {
    for (auto const& body : detail::range_bodies) {
        if (!is_supported(body.level)) continue;
        INFO(to_string(body.level));
        for (std::size_t const n : lengths()) {
            for (against const side : {against::end, against::begin}) {
                guarded_buffer<float> x(n, side);
                for (std::uint32_t seed = 0; seed < 4; ++seed) {
                    fill(x.elements(), seed, {1.0F, 0, 4}, seed % 2 * 3);
                    REQUIRE(body.function(x.data(), n) == detail::range_scalar(x.data(), n));
                }
                for (std::size_t at = 0; at < n; ++at) {  // an extreme value in every place
                    for (float& v : x.elements()) v = nan_;
                    x[at] = 3.0F;
                    REQUIRE(body.function(x.data(), n) == float_range{0.0F, 3.0F});
                    x[at] = -3.0F;
                    REQUIRE(body.function(x.data(), n) == float_range{-3.0F, 0.0F});
                }
            }
        }
    }
}
