// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <commutant/io/tokens.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "unit/io_support.hpp"

using namespace commutant::io;
using namespace commutant::testing;
using Catch::Matchers::Contains;
using ids = std::vector<std::int32_t>;

TEST_CASE("tokens: windows are written and read", "[io]") {
    temporary_directory const folder;
    write_tokens(folder.path() / "t", {2, 3, {1, 5, 6, 1, 7, 8}});
    auto const back = read_tokens(folder.path() / "t", 9);
    CHECK(back.n_windows == 2);
    CHECK(back.length == 3);
    CHECK(ids(back.window(1).begin(), back.window(1).end()) == ids{1, 7, 8});
    CHECK_THROWS_AS(write_tokens(folder.path() / "u", {2, 3, {1}}), std::invalid_argument);
}

TEST_CASE("tokens: int64 and a single list are read too", "[io]") {
    temporary_directory const folder;
    std::vector<std::int64_t> const values{4, 0, 2};
    safetensors_writer writer(folder.path() / "t", {{"tokens", dtype::i64, {3}}});
    writer.write("tokens", std::span<std::int64_t const>(values));
    writer.commit();
    auto const back = read_tokens(folder.path() / "t", 5);
    CHECK(back.n_windows == 1);
    CHECK(back.length == 3);
    CHECK(back.ids == ids{4, 0, 2});
}

TEST_CASE("tokens: empty files, other shapes and ids out of range are refused", "[io][refuse]") {
    temporary_directory const folder;
    auto const words = [&](std::vector<std::size_t> const& shape, std::vector<std::int32_t> const& values,
                           std::string const& name = "tokens") {
        auto const path = folder.path() / "t";
        safetensors_writer writer(path, {{name, dtype::i32, shape}}, {}, existing::replace);
        writer.write(name, std::span<std::int32_t const>(values));
        writer.commit();
        return refusal([&] { static_cast<void>(read_tokens(path, 10)); });
    };
    CHECK(words({2, 2}, {0, 1, 2, 9}).empty());
    CHECK_THAT(words({2, 2}, {0, 1, 2, 10}),
               Contains("window 1 holds id 10 at position 1, expected ids below 10"));
    CHECK_THAT(words({2, 2}, {0, -1, 2, 3}), Contains("window 0 holds id -1 at position 1"));
    CHECK_THAT(words({0, 2}, {}), Contains("has shape [0,2], expected at least one token"));
    CHECK_THAT(words({2, 0}, {}), Contains("expected at least one token"));
    CHECK_THAT(words({1, 1, 1}, {1}), Contains("has shape [1,1,1], expected [n_windows, length]"));
    CHECK_THAT(words({}, {1}), Contains("has shape [], expected"));
    CHECK_THAT(words({1}, {1}, "ids"), Contains("has no tensor 'tokens'"));
    std::vector<float> const one{1};
    safetensors_writer writer(folder.path() / "f", {{"tokens", dtype::f32, {1}}});
    writer.write("tokens", std::span<float const>(one));
    writer.commit();
    CHECK_THAT(refusal([&] { static_cast<void>(read_tokens(folder.path() / "f", 10)); }),
               Contains("is F32, expected integers"));
}

TEST_CASE("tokens: windows are cut without gaps, each behind a BOS", "[io]") {
    ids const stream{10, 11, 12, 13, 14, 15, 16};
    auto const windows = cut_windows(stream, 4, 1);
    CHECK(windows.n_windows == 2);
    CHECK(windows.ids == ids{1, 10, 11, 12, 1, 13, 14, 15});
    CHECK(cut_windows(ids{}, 4, 1).n_windows == 0);
    CHECK(cut_windows(stream, 2, 1).n_windows == 7);
    CHECK_THROWS_AS(cut_windows(stream, 1, 1), std::invalid_argument);
}
