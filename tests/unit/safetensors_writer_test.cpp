// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <commutant/io/safetensors_writer.hpp>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include <commutant/io/safetensors.hpp>

#include "support/test_data.hpp"
#include "unit/io_support.hpp"

using namespace commutant::io;
using namespace commutant::testing;
using Catch::Matchers::Contains;

namespace {

std::string hex(std::string const& bytes) {
    std::string out;
    for (char const c : bytes) {
        char two[3];
        std::snprintf(two, sizeof two, "%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
        out += two;
    }
    return out;
}

}  // namespace

TEST_CASE("safetensors_writer: the golden file comes out byte for byte", "[io]") {
    temporary_directory const folder;
    auto const path = folder.path() / "t.safetensors";
    safetensors_writer writer(path, {{"t", dtype::f32, {2}}}, {});
    std::vector<float> const values{1, 2};
    writer.write("t", std::span<float const>(values));
    CHECK_FALSE(std::filesystem::exists(path));
    writer.commit();
    std::string const header = R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
    CHECK(hex(read_file(path)) == "3800000000000000" + hex(header) + "2020" + "0000803f00000040");
    CHECK(folder.count() == 1);
}

TEST_CASE("safetensors_writer: order, metadata and escapes are those of the reference writer", "[io]") {
    temporary_directory const folder;
    auto const path = folder.path() / "m";
    safetensors_writer writer(path,
                              {{"z", dtype::bf16, {1}},
                               {"a\"\n\x01\xc3\xa9", dtype::u8, {0}},
                               {"b", dtype::f32, {}},
                               {"a", dtype::f32, {1, 1}},
                               {"i", dtype::i64, {1}}},
                              {{"format", "pt"}, {"b\\", "\t"}});
    std::vector<double> const one{1.0};
    std::vector<std::int64_t> const minus{-1};
    // In an order of its own: places are known from the header.
    writer.write("z", std::span<double const>(one));
    writer.write("i", std::span<std::int64_t const>(minus));
    writer.write("a", std::span<double const>(one));
    writer.write("b", std::span<double const>(one));
    writer.commit();
    std::string header =
        R"({"__metadata__":{"b\\":"\t","format":"pt"},)"
        R"("i":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},)"
        R"("a":{"dtype":"F32","shape":[1,1],"data_offsets":[8,12]},)"
        R"("b":{"dtype":"F32","shape":[],"data_offsets":[12,16]},)"
        R"("z":{"dtype":"BF16","shape":[1],"data_offsets":[16,18]},)"
        "\"a\\\"\\n\\u0001\xc3\xa9\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[18,18]}}";
    while (header.size() % 8 != 0) header += ' ';
    CHECK(read_file(path) ==
          safetensors_bytes(header, std::string(8, '\xff') + bytes_of(1.0f) + bytes_of(1.0f) + "\x80\x3f"));
    CHECK(safetensors_file::open(path).metadata().at("b\\") == "\t");
}

TEST_CASE("safetensors_writer: a file of the reference writer is reproduced byte for byte", "[io][data]") {
    for (std::string const name :
         {"models/docs-llama-11m/reference.safetensors", "models/docs-llama-11m/model.safetensors",
          "models/stories260K-hf/model.safetensors", "models/docs-llama-11m/tokens_eval.safetensors"}) {
        auto const source = find_test_data(name);
        if (source.empty()) {
            WARN("skipped: " << name << " is not there");
            continue;
        }
        temporary_directory const folder;
        auto const file = safetensors_file::open(source);
        std::vector<tensor_declaration> declarations;
        for (auto const& tensor : file.names())
            declarations.push_back({tensor, file.info(tensor).type, file.info(tensor).shape});
        safetensors_writer writer(folder.path() / "m", declarations, file.metadata());
        for (auto const& tensor : file.names()) {
            if (!is_weight_dtype(file.info(tensor).type)) {
                writer.write_bytes(tensor, file.bytes(tensor));
                continue;
            }
            std::vector<double> values(file.info(tensor).count);
            file.read(tensor, std::span<double>(values));
            writer.write(tensor, std::span<double const>(values));
        }
        writer.commit();
        INFO(name);
        CHECK((read_file(folder.path() / "m") == read_file(source)));
    }
}

TEST_CASE("safetensors_writer: a tensor may come in pieces", "[io]") {
    temporary_directory const folder;
    std::vector<double> values(40000);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = 0.25 * static_cast<double>(i) - 1000;
    for (auto const type : {dtype::f32, dtype::f64, dtype::bf16, dtype::f16}) {
        auto const path = folder.path() / std::string(dtype_name(type));
        safetensors_writer writer(path, {{"x", type, {200, 200}}});
        std::span<double const> const all(values);
        writer.write("x", all.first(1));
        writer.write("x", all.subspan(1, 39000));
        CHECK_THROWS_WITH(writer.commit(),
                          Contains("'x' lacks " + std::to_string(999 * dtype_bits(type) / 8) + " bytes"));
        CHECK_THROWS_WITH(writer.write("x", all.first(1000)),
                          Contains("gets more values than its shape [200,200] holds"));
        writer.write("x", all.last(999));
        CHECK(writer.report().values == 40000);
        writer.commit();
        std::vector<double> back(values.size());
        auto const file = safetensors_file::open(path);
        file.read("x", std::span<double>(back));
        for (std::size_t i = 0; i < values.size(); ++i) {
            double expected = values[i];
            if (type == dtype::f16) expected = decode_f16(encode_f16(expected));
            if (type == dtype::bf16) expected = decode_bf16(encode_bf16(expected));
            if (back[i] != expected) FAIL(dtype_name(type) << " at " << i);
        }
    }
}

TEST_CASE("safetensors_writer: values that a type cannot hold are refused and leave nothing",
          "[io][refuse]") {
    double const inf = std::numeric_limits<double>::infinity();
    struct bad {
        dtype type;
        double value;
        std::string words;
    };
    std::vector<bad> const cases{{dtype::f16, 65505, "F16 cannot hold"},
                                 {dtype::f16, -65505, "is -65505.000000 at element 1"},
                                 {dtype::f16, std::nan(""), "'x' is nan at element 1"},
                                 {dtype::bf16, 3.4e38, "BF16 cannot hold"},
                                 {dtype::bf16, inf, "'x' is inf"},
                                 {dtype::f32, 1e39, "F32 cannot hold"},
                                 {dtype::f32, -inf, "F32 cannot hold"},
                                 {dtype::f64, inf, "F64 cannot hold"}};
    temporary_directory const folder;
    for (auto const& one : cases) {
        std::vector<double> const values{1, one.value};
        auto const words = refusal<output_error>([&] {
            safetensors_writer writer(folder.path() / "m", {{"x", one.type, {2}}});
            writer.write("x", std::span<double const>(values));
            writer.commit();
        });
        CHECK_THAT(words, Contains(one.words));
        CHECK(folder.count() == 0);
    }
    std::vector<double> const largest{65504, -65504};
    safetensors_writer writer(folder.path() / "m", {{"x", dtype::f16, {2}}});
    CHECK(writer.write("x", std::span<double const>(largest)).subnormal == 0);
}

TEST_CASE("safetensors_writer: numbers that become subnormal or vanish are counted", "[io]") {
    temporary_directory const folder;
    safetensors_writer writer(folder.path() / "m", {{"h", dtype::f16, {5}}, {"f", dtype::f32, {5}}});
    std::vector<double> const values{0.0, 6.1e-5, 6.2e-5, -1e-9, 1e-40};
    CHECK(writer.write("h", std::span<double const>(values)).subnormal == 3);
    CHECK(writer.write("f", std::span<double const>(values)).subnormal == 1);
    CHECK(writer.report().subnormal == 4);
    CHECK(writer.report().values == 10);
}

TEST_CASE("safetensors_writer: a misuse is an error of the program", "[io][refuse]") {
    temporary_directory const folder;
    auto const path = folder.path() / "m";
    std::vector<float> const one{1};
    std::vector<std::int64_t> const whole{1};
    {
        safetensors_writer writer(path, {{"x", dtype::f32, {1}}, {"i", dtype::i32, {1}}});
        CHECK_THROWS_WITH(writer.write("y", std::span<float const>(one)), Contains("'y' was not declared"));
        CHECK_THROWS_WITH(writer.write("i", std::span<float const>(one)),
                          Contains("'i' is declared I32, not a float type"));
        CHECK_THROWS_WITH(writer.write("i", std::span<std::int64_t const>(whole)),
                          Contains("'i' is declared I32, the values are I64"));
    }
    using list = std::vector<tensor_declaration>;
    CHECK_THROWS_WITH(safetensors_writer(path, list{{"x", dtype::f32, {1}}, {"x", dtype::i8, {1}}}),
                      Contains("declared twice"));
    CHECK_THROWS_WITH(safetensors_writer(path, list{{"__metadata__", dtype::f32, {1}}}),
                      Contains("reserved"));
    CHECK_THROWS_WITH(safetensors_writer(path, list{{"x\xff", dtype::f32, {1}}}), Contains("is not UTF-8"));
    CHECK_THROWS_WITH(safetensors_writer(path, list{{"x", dtype::f4, {3}}}),
                      Contains("no whole number of bytes"));
    CHECK_THROWS_WITH(
        safetensors_writer(path, list{{"x", dtype::f32, {std::size_t{1} << 40, std::size_t{1} << 40}}}),
        Contains("no whole number of bytes"));
    CHECK(folder.count() == 0);
    write_file(path, "old");
    CHECK_THAT(refusal<output_error>([&] { safetensors_writer(path, list{}); }), Contains("exists already"));
    CHECK(read_file(path) == "old");
}
