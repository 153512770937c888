// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <commutant/io/atomic_directory.hpp>

#include <string>

#include <catch2/catch.hpp>

#include "unit/io_support.hpp"

using namespace commutant::io;
using namespace commutant::testing;
using Catch::Matchers::Contains;

TEST_CASE("atomic_directory: a folder appears with all of its files at commit", "[io]") {
    temporary_directory const folder;
    auto const target = folder.path() / "model";
    write_file(folder.path() / "tokenizer.json", "{}");
    {
        atomic_directory out(target / "");  // a trailing slash names the same folder
        CHECK(out.target() == target);
        write_text(out.path() / "config.json", "config");
        out.copy_in(folder.path() / "tokenizer.json");
        std::filesystem::create_directory(out.path() / "sub");
        write_file(out.path() / "sub" / "x", "y");
        CHECK_FALSE(std::filesystem::exists(target));
        CHECK(out.path().parent_path() == folder.path());
        out.commit();
    }
    CHECK(read_file(target / "config.json") == "config");
    CHECK(read_file(target / "tokenizer.json") == "{}");
    CHECK(read_file(target / "sub" / "x") == "y");
    CHECK(folder.count() == 2);
}

TEST_CASE("atomic_directory: an exception on the way leaves nothing", "[io]") {
    temporary_directory const folder;
    auto const work = [&] {
        atomic_directory first(folder.path() / "model");
        atomic_directory out(std::move(first));
        write_text(out.path() / "config.json", "config");
        throw std::runtime_error("half way");
    };
    CHECK_THROWS_WITH(work(), "half way");
    CHECK(folder.count() == 0);
}

TEST_CASE("atomic_directory: an error within names the file as it would have been called", "[io][refuse]") {
    temporary_directory const folder;
    atomic_directory out(folder.path() / "model");
    write_text(out.path() / "config.json", "x");
    atomic_file weights(out.path() / "weights");
    CHECK(weights.final_name() == folder.path() / "model" / "weights");
    CHECK(commutant::detail::final_name("/a/.b/.c.partial-1-2/d.partial-3") == "/a/.b/c/d.partial-3");
}

TEST_CASE("atomic_directory: a target that exists or cannot be made is refused", "[io][refuse]") {
    temporary_directory const folder;
    auto const words = [](std::filesystem::path const& path) {
        return refusal<output_error>([&] { atomic_directory out(path); });
    };
    std::filesystem::create_directory(folder.path() / "empty");
    write_file(folder.path() / "file", "x");
    std::filesystem::create_symlink("nowhere", folder.path() / "dangling");
    CHECK_THAT(words(folder.path() / "empty"), Contains("empty: exists already, expected a new name"));
    CHECK_THAT(words(folder.path() / "file"), Contains("exists already"));
    CHECK_THAT(words(folder.path() / "dangling"), Contains("exists already"));
    CHECK_THAT(words(folder.path() / "none" / "model"), Contains("is not a folder"));
    CHECK_THAT(words("/proc/commutant"), Contains("cannot be created"));
    CHECK(folder.count() == 3);
}

TEST_CASE("atomic_directory: a folder made meanwhile under that name is left alone, even an empty one",
          "[io][refuse]") {
    temporary_directory const folder;
    {
        atomic_directory out(folder.path() / "model");
        write_text(out.path() / "config.json", "ours");
        std::filesystem::create_directory(folder.path() / "model");
        CHECK_THAT(refusal<output_error>([&] { out.commit(); }), Contains("exists already"));
    }
    CHECK(std::filesystem::is_empty(folder.path() / "model"));
    CHECK(folder.count() == 1);
}
