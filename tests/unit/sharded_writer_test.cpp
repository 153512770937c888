// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <commutant/io/sharded_writer.hpp>

#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include <commutant/io/safetensors.hpp>

#include "unit/io_support.hpp"

using namespace commutant::io;
using namespace commutant::testing;

namespace {

void fill(sharded_writer& writer, std::vector<tensor_declaration> const& tensors) {
    for (auto const& tensor : tensors) {
        std::vector<float> const values(tensor.shape.front(), static_cast<float>(tensor.shape.front()));
        writer.write(tensor.name, std::span<float const>(values));
    }
    writer.commit();
}

}  // namespace

TEST_CASE("sharded_writer: a small model is one file without an index", "[io]") {
    temporary_directory const folder;
    std::vector<tensor_declaration> const tensors{{"b", dtype::f32, {2}}, {"a", dtype::f16, {3}}};
    sharded_writer writer(folder.path(), tensors, 14);  // just as many bytes as there are
    fill(writer, tensors);
    CHECK(folder.count() == 1);
    auto const file = safetensors_file::open(folder.path() / "model.safetensors");
    CHECK(file.metadata().at("format") == "pt");
    CHECK(file.names() == std::vector<std::string>{"b", "a"});
}

TEST_CASE("sharded_writer: shards keep under the limit and the index names every tensor", "[io]") {
    temporary_directory const folder;
    std::vector<tensor_declaration> const tensors{
        {"d", dtype::f32, {2}}, {"c", dtype::f32, {3}}, {"huge", dtype::f32, {9}}, {"a", dtype::f32, {1}}};
    sharded_writer writer(folder.path(), tensors, 20);
    CHECK(writer.file_names() == std::vector<std::string>{"model-00001-of-00003.safetensors",
                                                          "model-00002-of-00003.safetensors",
                                                          "model-00003-of-00003.safetensors"});
    fill(writer, tensors);
    CHECK(writer.report().values == 15);
    CHECK(folder.count() == 4);
    CHECK(read_file(folder.path() / "model.safetensors.index.json") == R"({
  "metadata": {
    "total_size": 60
  },
  "weight_map": {
    "a": "model-00003-of-00003.safetensors",
    "c": "model-00001-of-00003.safetensors",
    "d": "model-00001-of-00003.safetensors",
    "huge": "model-00002-of-00003.safetensors"
  }
}
)");
    auto const second = safetensors_file::open(folder.path() / "model-00002-of-00003.safetensors");
    std::vector<float> values(9);
    second.read("huge", std::span<float>(values));
    CHECK(values == std::vector<float>(9, 9.0f));
}

TEST_CASE("sharded_writer: without commit nothing appears, and misuse is an error of the program",
          "[io][refuse]") {
    temporary_directory const folder;
    {
        sharded_writer writer(folder.path(), {{"a", dtype::f32, {1}}, {"b", dtype::f32, {1}}}, 4);
        std::vector<float> const one{1};
        CHECK_THROWS_AS(writer.write("c", std::span<float const>(one)), std::invalid_argument);
        writer.write("a", std::span<float const>(one));
        CHECK_THROWS_AS(writer.commit(), std::invalid_argument);  // b is missing
    }
    CHECK_THROWS_AS(sharded_writer(folder.path(), {{"a", dtype::f32, {1}}, {"a", dtype::f32, {1}}}),
                    std::invalid_argument);
}
