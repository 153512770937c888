// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

#include <commutant/kernels/int4_weights.hpp>

#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

using namespace commutant::kernels;

namespace {

std::vector<std::int8_t> some_codes(std::size_t size) {
    std::vector<std::int8_t> codes(size);
    std::uint32_t state = 7;
    for (auto& c : codes) {
        state = state * 1664525u + 1013904223u;
        c = static_cast<std::int8_t>(static_cast<int>(state >> 28) - 8);
    }
    return codes;
}

std::vector<float> some_scales(std::size_t size) {
    std::vector<float> scales(size);
    for (std::size_t i = 0; i < size; ++i) scales[i] = 0.25f + static_cast<float>(i);
    return scales;
}

}  // namespace

TEST_CASE("int4_weights: codes and scales read back", "[kernels][int4_weights]") {
    for (std::size_t const n : {1, 15, 16, 17, 33})
        for (std::size_t const k : {1, 3, 4, 5, 7, 8, 9, 64}) {
            auto const codes = some_codes(n * k);
            auto const scales = some_scales(n);
            int4_weights const weights(codes, n, k, scales);
            int4_weights_view const view = weights;
            CHECK(view.per_channel);
            for (std::size_t i = 0; i < n; ++i)
                for (std::size_t j = 0; j < k; ++j) {
                    REQUIRE(view.code(i, j) == codes[i * k + j]);
                    REQUIRE(view.scale(i, j) == scales[i]);
                }
        }
}

TEST_CASE("int4_weights: packed nibbles are the same codes", "[kernels][int4_weights]") {
    for (std::size_t const k : {1, 2, 7, 8, 33}) {
        constexpr std::size_t n = 19;
        auto const codes = some_codes(n * k);
        std::size_t const row_bytes = (k + 1) / 2;
        std::vector<std::uint8_t> packed(n * row_bytes);
        for (std::size_t i = 0; i < n; ++i)
            for (std::size_t j = 0; j < k; ++j)
                packed[i * row_bytes + j / 2] |=
                    static_cast<std::uint8_t>((codes[i * k + j] & 15) << (j % 2 * 4));
        auto const weights = int4_weights::from_packed(packed, n, k, some_scales(n));
        for (std::size_t i = 0; i < n; ++i)
            for (std::size_t j = 0; j < k; ++j) REQUIRE(weights.view().code(i, j) == codes[i * k + j]);
    }
}

TEST_CASE("int4_weights: a line is 16 columns of 8 inputs, low nibbles first, codes + 8",
          "[kernels][int4_weights]") {
    constexpr std::size_t n = 18, k = 20;
    auto const codes = some_codes(n * k);
    int4_weights const weights(codes, n, k, some_scales(n));
    auto const* const lines = weights.view().lines;
    CHECK(reinterpret_cast<std::uintptr_t>(lines) % 64 == 0);
    for (std::size_t i = 0; i < 32; ++i)
        for (std::size_t j = 0; j < 24; ++j) {
            std::size_t const line = i / 16 * 3 + j / 8;
            int const byte = lines[line * 64 + i % 16 * 4 + j % 4];
            int const nibble = j % 8 < 4 ? byte & 15 : byte >> 4;
            // Beyond the shape: 0, which adds nothing whatever the activation.
            REQUIRE(nibble == (i < n && j < k ? codes[i * k + j] + 8 : 0));
        }
}

TEST_CASE("int4_weights: column sums, plain and scaled", "[kernels][int4_weights]") {
    constexpr std::size_t n = 17, k = 4096, group = 64;
    auto codes = some_codes(n * k);
    for (std::size_t j = 0; j < k; ++j) codes[3 * k + j] = -8, codes[4 * k + j] = 7;
    auto const scales = some_scales(n * k / group);
    int4_weights const channels(codes, n, k, some_scales(n));
    int4_weights const groups(codes, n, k, scales, group);
    CHECK(!groups.view().per_channel);
    CHECK(groups.view().n_groups() == k / group);
    for (std::size_t i = 0; i < n; ++i) {
        int sum = 0;
        double scaled = 0.0;
        for (std::size_t j = 0; j < k; ++j) {
            sum += codes[i * k + j];
            scaled += static_cast<double>(scales[(i * k + j) / group]) * codes[i * k + j];
        }
        std::int16_t const* const s = channels.view().column_sums + 2 * i;
        CHECK(s[0] + 256 * s[1] == sum);
        CHECK((s[0] >= -128 && s[0] <= 127));
        CHECK(groups.view().scaled_column_sums[i] == static_cast<float>(scaled));
        CHECK(groups.view().scale(i, k - 1) == scales[(i + 1) * k / group - 1]);
    }
}

TEST_CASE("int4_weights: the extreme column sum fits", "[kernels][int4_weights]") {
    std::vector<std::int8_t> const codes(int4_max_in_features, -8);
    int4_weights const weights(codes, 1, codes.size(), some_scales(1));
    std::int16_t const* const s = weights.view().column_sums;
    CHECK(s[0] + 256 * s[1] == -8 * static_cast<int>(int4_max_in_features));
}

TEST_CASE("int4_weights: shapes and codes that do not fit are refused", "[kernels][int4_weights]") {
    using Catch::Contains;
    auto const make = [](std::size_t n_codes, std::size_t n, std::size_t k, std::size_t n_scales,
                         std::size_t group) {
        int4_weights(some_codes(n_codes), n, k, some_scales(n_scales), group);
    };
    CHECK_THROWS_WITH(make(12, 2, 5, 2, 0),
                      Contains("12 codes given, expected out_features * in_features = 10"));
    CHECK_THROWS_WITH(make(10, 2, 5, 3, 0), Contains("3 scales given"));
    CHECK_THROWS_WITH(make(0, 0, 5, 0, 0), Contains("the shape is 0 x 5"));
    CHECK_THROWS_WITH(make(0, 5, 0, 5, 0), Contains("the shape is 5 x 0"));
    CHECK_THROWS_WITH(make(48, 1, 48, 12, 4), Contains("group_size is 4, expected a multiple of 8"));
    CHECK_THROWS_WITH(make(48, 1, 48, 3, 32), Contains("group_size is 32"));
    CHECK_THROWS_WITH(make(int4_max_in_features + 1, 1, int4_max_in_features + 1, 1, 0),
                      Contains("at most 1048544"));
    std::vector<std::int8_t> codes(6, 0);
    codes[4] = 8;
    CHECK_THROWS_WITH(int4_weights(codes, 2, 3, some_scales(2)),
                      Contains("row 1, column 1 is 8, expected -8 to 7"));
    codes[4] = -9;
    CHECK_THROWS_WITH(int4_weights(codes, 2, 3, some_scales(2)), Contains("row 1, column 1 is -9"));
    std::vector<std::uint8_t> const packed(5);
    CHECK_THROWS_WITH(int4_weights::from_packed(packed, 2, 3, some_scales(2)),
                      Contains("5 packed codes given"));
}
