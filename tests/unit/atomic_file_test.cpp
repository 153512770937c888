// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <commutant/io/atomic_file.hpp>

#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "unit/io_support.hpp"

using namespace commutant::io;
using namespace commutant::testing;
using Catch::Matchers::Contains;

namespace {

/// Makes writes past a file size fail, as a full disk does.
class file_size_limit {
public:
    explicit file_size_limit(rlim_t bytes) : previous_handler_(std::signal(SIGXFSZ, SIG_IGN)) {
        ::getrlimit(RLIMIT_FSIZE, &previous_);
        rlimit const limit{bytes, previous_.rlim_max};
        ::setrlimit(RLIMIT_FSIZE, &limit);
    }
    file_size_limit(file_size_limit const&) = delete;
    file_size_limit& operator=(file_size_limit const&) = delete;
    ~file_size_limit() {
        ::setrlimit(RLIMIT_FSIZE, &previous_);
        std::signal(SIGXFSZ, previous_handler_);
    }

private:
    rlimit previous_{};
    void (*previous_handler_)(int);
};

}  // namespace

TEST_CASE("atomic_file: a file appears whole at commit and not before", "[io]") {
    temporary_directory const folder;
    auto const path = folder.path() / "out.txt";
    {
        atomic_file file(path);
        file.append("hello ");
        file.append("world");
        file.write_at(0, as_bytes("J"));
        file.write_at(13, as_bytes("!"));
        CHECK(file.size() == 11);
        CHECK_FALSE(std::filesystem::exists(path));
        CHECK(folder.count() == 1);  // the hidden sibling
        file.commit();
    }
    CHECK(read_file(path) == std::string("Jello world\0\0!", 14));
    CHECK(folder.count() == 1);
    struct stat facts {};
    REQUIRE(::stat(path.c_str(), &facts) == 0);
    mode_t const mask = ::umask(0);
    ::umask(mask);
    CHECK((facts.st_mode & 0777) == (0666 & ~mask));  // not the 0600 of temporary files
}

TEST_CASE("atomic_file: without commit nothing remains, moved or not", "[io]") {
    temporary_directory const folder;
    {
        atomic_file first(folder.path() / "out");
        first.append("text");
        atomic_file second(std::move(first));
        second.append("more");
    }
    CHECK(folder.count() == 0);
}

TEST_CASE("atomic_file: an existing file is refused or replaced, as asked", "[io][refuse]") {
    temporary_directory const folder;
    auto const path = folder.path() / "out";
    write_file(path, "old");
    CHECK_THAT(refusal<output_error>([&] { write_text(path, "new"); }),
               Contains("exists already, expected a new name"));
    CHECK(read_file(path) == "old");
    write_text(path, "new", existing::replace);
    CHECK(read_file(path) == "new");
    std::filesystem::create_directory(folder.path() / "sub");
    CHECK_THAT(refusal<output_error>([&] { write_text(folder.path() / "sub", "x", existing::replace); }),
               Contains("exists and is not a regular file"));
    // A name that is taken between the start and the commit is not overwritten either.
    atomic_file file(folder.path() / "late");
    write_file(folder.path() / "late", "theirs");
    CHECK_THAT(refusal<output_error>([&] { file.commit(); }), Contains("exists already"));
    CHECK(read_file(folder.path() / "late") == "theirs");
}

TEST_CASE("atomic_file: a folder that is missing or not writable is refused", "[io][refuse]") {
    temporary_directory const folder;
    CHECK_THAT(refusal<output_error>([&] { write_text(folder.path() / "none" / "out", "x"); }),
               Contains("is not a folder"));
    write_file(folder.path() / "file", "x");
    CHECK_THAT(refusal<output_error>([&] { write_text(folder.path() / "file" / "out", "x"); }),
               Contains("is not a folder"));
    CHECK_THAT(refusal<output_error>([&] { write_text("/", "x"); }), Contains("names no file"));
    // /proc takes no new files from anybody, not even from root.
    CHECK_THAT(refusal<output_error>([&] { write_text("/proc/commutant", "x"); }),
               Contains("/proc/commutant: cannot be written: "));
}

TEST_CASE("atomic_file: a write that the disk refuses is one clear error and leaves nothing",
          "[io][refuse]") {
    temporary_directory const folder;
    std::string words;
    {
        file_size_limit const limit(1000);
        words = refusal<output_error>([&] { write_text(folder.path() / "out", std::string(5000, 'x')); });
    }
    CHECK_THAT(words, Contains("out: cannot be written: File too large"));
    CHECK(words.find('\n') == std::string::npos);
    CHECK(folder.count() == 0);
}
