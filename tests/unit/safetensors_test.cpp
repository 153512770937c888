// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <commutant/io/safetensors.hpp>

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "support/test_data.hpp"
#include "unit/io_support.hpp"

using namespace commutant::io;
using namespace commutant::testing;
using Catch::Matchers::Contains;

namespace {

/// One F32 tensor t = [1, 2], as the reference writer stores it.
std::string golden() {
    return safetensors_bytes("{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}  ",
                             bytes_of(1.0f) + bytes_of(2.0f));
}

std::string words_of_tensors(std::string const& file) {
    return refusal([&] { static_cast<void>(parse_safetensors(as_bytes(file), "m.safetensors")); });
}

/// Words for a header with `size` data bytes behind it.
std::string words_of_header(std::string const& header, std::size_t size = 8) {
    return words_of_tensors(safetensors_bytes(header, std::string(size, '\0')));
}

}  // namespace

TEST_CASE("safetensors: the golden file is read", "[io]") {
    temporary_directory const folder;
    write_file(folder.path() / "t.safetensors", golden());
    auto const file = safetensors_file::open(folder.path() / "t.safetensors");
    REQUIRE(golden().size() == 72);
    REQUIRE(file.names() == std::vector<std::string>{"t"});
    REQUIRE(file.info("t").type == dtype::f32);
    REQUIRE(file.info("t").shape == std::vector<std::size_t>{2});
    std::array<float, 2> floats{};
    file.read("t", std::span<float>(floats));
    REQUIRE(floats == std::array<float, 2>{1, 2});
    std::array<double, 2> doubles{};
    file.read("t", std::span<double>(doubles));
    REQUIRE(doubles == std::array<double, 2>{1, 2});
    std::array<std::int32_t, 2> integers{};
    CHECK_THAT(refusal([&] { file.read_int32("t", integers); }), Contains("'t' is F32, expected integers"));
    CHECK_THAT(refusal([&] { file.read("u", std::span<float>(floats)); }), Contains("has no tensor 'u'"));
    CHECK_THROWS_AS(file.read("t", std::span<float>(floats).first(1)), std::invalid_argument);
}

TEST_CASE("safetensors: data at odd offsets and of every weight type is read exactly", "[io]") {
    temporary_directory const folder;
    // The header is 1 byte longer than a multiple of 8, and a byte tensor in front shifts the rest further.
    std::string header =
        R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
        R"("h":{"dtype":"F16","shape":[3],"data_offsets":[1,7]},)"
        R"("g":{"dtype":"BF16","shape":[1,2],"data_offsets":[7,11]},)"
        R"("d":{"dtype":"F64","shape":[],"data_offsets":[11,19]},)"
        R"("e":{"dtype":"F32","shape":[0,4],"data_offsets":[19,19],"extra":{"x":[1,{"y":null}]}}} )";
    while (header.size() % 8 != 1) header += ' ';
    std::string data = "\x07";
    for (unsigned const bits : {0x3c00u, 0xc000u, 0x0001u})
        data += bytes_of(static_cast<std::uint16_t>(bits));
    for (unsigned const bits : {0x3fc0u, 0xff80u}) data += bytes_of(static_cast<std::uint16_t>(bits));
    data += bytes_of(0.1);
    write_file(folder.path() / "m", safetensors_bytes(header, data));
    auto const file = safetensors_file::open(folder.path() / "m");
    REQUIRE(file.names() == std::vector<std::string>{"b", "h", "g", "d", "e"});
    std::vector<double> h(3);
    file.read("h", std::span<double>(h));
    CHECK(h == std::vector<double>{1.0, -2.0, 0x1p-24});
    std::vector<float> g(2);
    file.read("g", std::span<float>(g));
    CHECK(g == std::vector<float>{1.5f, -std::numeric_limits<float>::infinity()});
    std::vector<double> d(1);
    file.read("d", std::span<double>(d));
    CHECK(d[0] == 0.1);
    std::vector<float> d_float(1);
    file.read("d", std::span<float>(d_float));
    CHECK(d_float[0] == 0.1f);
    file.read("e", std::span<float>());
    std::vector<std::int32_t> b(1);
    file.read_int32("b", b);
    CHECK(b[0] == 7);
    std::vector<float> bytes(1);
    CHECK_THAT(refusal([&] { file.read("b", std::span<float>(bytes)); }),
               Contains("'b' is U8, expected F16"));
    CHECK(file.bytes("h").size() == 6);
}

TEST_CASE("safetensors: where some rows of a matrix cross some columns is read", "[io]") {
    temporary_directory const folder;
    // Element (i, j) of w is 10 i + j; at an odd offset.
    std::string data = "\x01";
    for (int const x : {0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23}) data += bytes_of(static_cast<float>(x));
    data += bytes_of(static_cast<std::uint16_t>(0x3fc0)) + bytes_of(static_cast<std::uint16_t>(0x4000));
    write_file(folder.path() / "m",
               safetensors_bytes(R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                                 R"("w":{"dtype":"F32","shape":[3,4],"data_offsets":[1,49]},)"
                                 R"("g":{"dtype":"BF16","shape":[2],"data_offsets":[49,53]}})",
                                 data));
    auto const file = safetensors_file::open(folder.path() / "m");
    using indices = std::vector<std::size_t>;
    auto const read = [&](std::string const& name, indices const& rows, indices const& columns,
                          std::size_t size) {
        std::vector<double> out(size);
        file.read(name, rows, columns, std::span<double>(out));
        return out;
    };
    CHECK(read("w", {2, 0}, {1, 2, 0, 3}, 8) == std::vector<double>{21, 22, 20, 23, 1, 2, 0, 3});
    file.release_pages();
    CHECK(read("w", {1}, {3}, 1) == std::vector<double>{13});
    CHECK(read("w", {}, {3}, 0).empty());
    CHECK(read("g", {0}, {1, 0}, 2) == std::vector<double>{2.0, 1.5});
    std::vector<float> as_float(2);
    file.read("w", indices{1}, indices{0, 1}, std::span<float>(as_float));
    CHECK(as_float == std::vector<float>{10, 11});
    auto const words = [&](std::string const& name, indices const& rows, indices const& columns,
                           std::size_t size) {
        return refusal<std::invalid_argument>([&] { read(name, rows, columns, size); });
    };
    CHECK_THAT(words("w", {3}, {0}, 1), Contains("'w': row 3 was asked for, expected one of 3"));
    CHECK_THAT(words("w", {0}, {1, 4}, 2), Contains("'w': column 4 was asked for, expected one of 4"));
    CHECK_THAT(words("g", {1}, {0}, 1), Contains("'g': row 1 was asked for, expected one of 1"));
    CHECK_THAT(words("w", {0, 1}, {1, 2}, 3), Contains("has 3 elements, expected rows * columns = 2 * 2"));
    CHECK_THAT(refusal([&] { read("b", {0}, {0}, 1); }), Contains("'b' is U8, expected F16"));
}

TEST_CASE("safetensors: integers are read when they fit 32 bits and refused when not", "[io]") {
    temporary_directory const folder;
    std::string const header = R"({"l":{"dtype":"I64","shape":[3],"data_offsets":[0,24]},)"
                               R"("u":{"dtype":"U32","shape":[1],"data_offsets":[24,28]},)"
                               R"("s":{"dtype":"I16","shape":[1],"data_offsets":[28,30]}})";
    auto const write = [&](std::int64_t third, std::uint32_t unsigned_value) {
        write_file(folder.path() / "m",
                   safetensors_bytes(header, bytes_of(std::int64_t{-5}) + bytes_of(std::int64_t{2147483647}) +
                                                 bytes_of(third) + bytes_of(unsigned_value) +
                                                 bytes_of(std::int16_t{-7})));
        return safetensors_file::open(folder.path() / "m");
    };
    std::vector<std::int32_t> three(3);
    std::vector<std::int32_t> one(1);
    {
        auto const file = write(-2147483648LL, 2147483647u);
        file.read_int32("l", three);
        CHECK(three == std::vector<std::int32_t>{-5, 2147483647, std::numeric_limits<std::int32_t>::min()});
        file.read_int32("u", one);
        CHECK(one[0] == 2147483647);
        file.read_int32("s", one);
        CHECK(one[0] == -7);
    }
    auto const file = write(2147483648LL, 2147483648u);
    CHECK_THAT(refusal([&] { file.read_int32("l", three); }),
               Contains("at element 2 a value that does not fit"));
    CHECK_THAT(refusal([&] { file.read_int32("u", one); }),
               Contains("at element 0 a value that does not fit"));
}

TEST_CASE("safetensors: what the reference parser accepts is accepted", "[io]") {
    CHECK(words_of_header("{}", 0).empty());
    CHECK(words_of_header(" \n\t{ \"a\" : {\"shape\":[],\"data_offsets\":[0,8],\"dtype\":\"F64\"} }\r\n ")
              .empty());
    CHECK(words_of_header(R"({"__metadata__":{"format":"pt","k":""}})", 0).empty());
    // Header order differs from data order; a tensor without elements; the same offset twice when one is
    // empty.
    auto const header = std::string(R"({"b":{"dtype":"I32","shape":[1],"data_offsets":[4,8]},)") +
                        R"("a":{"dtype":"I32","shape":[1],"data_offsets":[0,4]},)" +
                        R"("z":{"dtype":"I32","shape":[7,0],"data_offsets":[4,4]}})";
    auto const file = safetensors_bytes(header, std::string(8, 'x'));
    auto const parsed = parse_safetensors(as_bytes(file), "m");
    REQUIRE(parsed.tensors.size() == 3);
    CHECK(parsed.tensors[0].first == "a");
    CHECK(parsed.tensors[1].first == "z");
    CHECK(parsed.tensors[2].first == "b");
    CHECK(words_of_header(R"({"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}})", 1).empty());
}

TEST_CASE("safetensors: a header size that lies is refused before anything is read", "[io][refuse]") {
    CHECK_THAT(words_of_tensors(""), Contains("m.safetensors: is 0 bytes long, expected at least the 8"));
    CHECK_THAT(words_of_tensors("1234567"), Contains("is 7 bytes long"));
    CHECK_THAT(words_of_tensors(bytes_of(std::uint64_t{100'000'001}) + "{}"),
               Contains("header of 100000001 bytes"));
    CHECK_THAT(words_of_tensors(bytes_of(std::uint64_t{3}) + "{}"),
               Contains("header of 3 bytes, but only 2 follow"));
    for (std::uint64_t const size :
         {~std::uint64_t{0}, ~std::uint64_t{0} - 7, ~std::uint64_t{0} - 8, std::uint64_t{1} << 63})
        CHECK_THAT(words_of_tensors(bytes_of(size) + "{}"), Contains("expected at most 100000000"));
}

TEST_CASE("safetensors: each flaw of a header has its own words", "[io][refuse]") {
    auto const tensor = [](std::string const& members) { return "{\"t\":{" + members + "}}"; };
    struct flaw {
        std::string header;
        std::string words;
    };
    std::vector<flaw> const flaws{
        {"", "is not JSON"},
        {"{", "is not JSON"},
        {"[]", "header is an array, expected a JSON object"},
        {"3", "header is 3"},
        {"{} {}", "is not JSON"},
        {"{\"a\xff\":1}", "is not JSON"},
        {std::string("{}\0", 3), "zero byte"},
        {"\xef\xbb\xbf{}", "byte order mark"},
        {"{\"t\":3}", "entry 't' is 3, expected an object"},
        {"{\"t\":[]}", "entry 't' is an array"},
        {"{\"t\":null}", "entry 't' is null"},
        {"{\"__metadata__\":{\"a\":1}}", "metadata 'a' is 1, expected a string"},
        {"{\"__metadata__\":{\"a\":{}}}", "metadata 'a' is an object, expected a string"},
        {"{\"__metadata__\":{\"a\":\"\",\"a\":\"\"}}", "names 'a' twice in __metadata__"},
        {tensor(R"("shape":[2],"data_offsets":[0,8])"), "tensor 't' has no dtype"},
        {tensor(R"("dtype":"F32","data_offsets":[0,8])"), "tensor 't' has no shape"},
        {tensor(R"("dtype":"F32","shape":[2])"), "tensor 't' has no data_offsets"},
        {tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0])"), "no data_offsets of two numbers"},
        {tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,8,8])"), "more than two data_offsets"},
        {tensor(R"("dtype":"INT4","shape":[2],"data_offsets":[0,8])"),
         "dtype 'INT4', which safetensors does not know"},
        {tensor(R"("dtype":7,"shape":[2],"data_offsets":[0,8])"), "has 7 for dtype"},
        {tensor(R"("dtype":"F32","shape":2,"data_offsets":[0,8])"), "has 2 for shape"},
        {tensor(R"("dtype":"F32","shape":{},"data_offsets":[0,8])"), "has an object for shape"},
        {tensor(R"("dtype":"F32","shape":[[2]],"data_offsets":[0,8])"), "has an array in its shape"},
        {tensor(R"("dtype":"F32","shape":[-1],"data_offsets":[0,8])"), "has -1 in its shape"},
        {tensor(R"("dtype":"F32","shape":[2.0],"data_offsets":[0,8])"), "has 2.0 in its shape"},
        {tensor(R"("dtype":"F32","shape":[1e30],"data_offsets":[0,8])"), "has 1e30 in its shape"},
        {tensor(R"("dtype":"F32","shape":["2"],"data_offsets":[0,8])"), "has '2' in its shape"},
        {tensor(R"("dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,8])"),
         "in its shape, expected whole"},
        {tensor(R"("dtype":"F32","shape":[2],"data_offsets":[-8,0])"), "has -8 in data_offsets"},
        {tensor(R"("dtype":"F32","shape":[2],"data_offsets":[8,0])"), "ends at 0 before its begin 8"},
        {tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,7])"),
         "spans 7 bytes, expected 8 for F32 [2]"},
        {tensor(R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8])"),
         "more than 2^64 elements"},
        {tensor(R"("dtype":"F32","shape":[4294967296,4294967296,0],"data_offsets":[0,0])"),
         "more than 2^64 elements"},
        {tensor(R"("dtype":"F64","shape":[288230376151711744],"data_offsets":[0,8])"), "more than 2^64 bits"},
        {tensor(R"("dtype":"F4","shape":[3],"data_offsets":[0,2])"), "has 12 bits, expected whole bytes"},
        {tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,8],"dtype":"F32")"), "gives dtype twice"},
        {tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,8],"shape":[2])"), "gives shape twice"},
        {tensor(R"("dtype":"F32","shape":[1],"data_offsets":[4,8])"), "begins at byte 4, expected 0 (a gap)"},
        {tensor(R"("dtype":"F32","shape":[3],"data_offsets":[0,12])"),
         "holds 8 data bytes, expected 12 (truncated)"},
        {tensor(R"("dtype":"F32","shape":[1],"data_offsets":[0,4])"),
         "holds 8 data bytes, expected 4 (trailing bytes)"},
        {R"({"t":{"dtype":"I32","shape":[1],"data_offsets":[0,4]},)"
         R"("t":{"dtype":"I32","shape":[1],"data_offsets":[4,8]}})",
         "names tensor 't' twice"},
        {R"({"t":{"dtype":"I32","shape":[1],"data_offsets":[0,4]},)"
         R"("u":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}})",
         "tensor 'u' begins at byte 0, expected 4 (an overlap)"},
        {tensor(R"("x":)" + std::string(40, '[') + std::string(40, ']')), "nests deeper than 32"},
    };
    for (auto const& one : flaws) {
        INFO(one.header);
        auto const words = words_of_header(one.header);
        CHECK_THAT(words, Contains(one.words));
        CHECK(words.rfind("m.safetensors: ", 0) == 0);
    }
    std::string many = R"("dtype":"F32","shape":[)";
    for (int i = 0; i < 40; ++i) many += "1,";
    CHECK_THAT(words_of_header(tensor(many + R"(1],"data_offsets":[0,4])"), 4),
               Contains("more than 32 dimensions"));
    // Depth is counted, not recursed into: 50 million brackets are refused at the 32nd.
    CHECK_THAT(words_of_header("{\"t\":{\"x\":" + std::string(50'000'000, '[')), Contains("nests deeper"));
}

TEST_CASE("safetensors: every truncation of a file is refused", "[io][refuse]") {
    auto const whole = golden();
    REQUIRE(words_of_tensors(whole).empty());
    for (std::size_t size = 0; size < whole.size(); ++size) {
        INFO(size);
        CHECK_FALSE(words_of_tensors(whole.substr(0, size)).empty());
    }
    CHECK_THAT(words_of_tensors(whole + "x"), Contains("trailing bytes"));
}

TEST_CASE("safetensors: what is no regular file is refused", "[io][refuse]") {
    temporary_directory const folder;
    auto const open = [](std::filesystem::path const& path) {
        return refusal([&] { static_cast<void>(safetensors_file::open(path)); });
    };
    CHECK_THAT(open(folder.path() / "none"), Contains("cannot be opened: No such file"));
    CHECK_THAT(open(folder.path()), Contains("is not a regular file"));
    CHECK_THAT(open("/dev/zero"), Contains("is not a regular file"));
}

TEST_CASE("safetensors: a real checkpoint is read", "[io][data]") {
    auto const path = find_test_data("models/docs-llama-11m/reference.safetensors");
    if (path.empty()) {
        WARN("skipped: models/docs-llama-11m is not there");
        return;
    }
    auto const file = safetensors_file::open(path);
    CHECK(file.metadata().at("format") == "pt");
    CHECK(file.info("logits").shape == std::vector<std::size_t>{32, 4096});
    std::vector<std::int32_t> tokens(32);
    file.read_int32("tokens", tokens);
    CHECK(tokens[0] == 1);
    CHECK(tokens[1] == 754);
}
