// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

// Runs the program whose path is in the environment variable COMMUTANT_PROGRAM, and keeps what it says.

namespace program_test {

namespace fs = std::filesystem;
using words = std::vector<std::string>;

inline words with(words a, words const& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

/// A folder of its own for each test; gone afterwards.
class scratch_folder {
public:
    scratch_folder() {
        std::string pattern = (fs::temp_directory_path() / "commutant_program_XXXXXX").string();
        if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
        path_ = pattern;
    }
    scratch_folder(scratch_folder const&) = delete;
    scratch_folder& operator=(scratch_folder const&) = delete;
    ~scratch_folder() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    [[nodiscard]] fs::path operator/(std::string const& name) const { return path_ / name; }
    [[nodiscard]] fs::path const& path() const { return path_; }

private:
    fs::path path_;
};

inline std::string read_file(fs::path const& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

inline void write_file(fs::path const& path, std::string const& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
}

/// What a run of the program left behind.
struct outcome {
    int code = -1;
    std::string out{};
    std::string err{};

    [[nodiscard]] nlohmann::json json() const { return nlohmann::json::parse(out); }
    [[nodiscard]] std::ptrdiff_t n_error_lines() const { return std::count(err.begin(), err.end(), '\n'); }
};

inline std::string quoted(std::string const& word) {
    std::string r = "'";
    for (char const c : word) r += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return r + "'";
}

/// Runs the program.
///
/// first     shell commands in front of it, such as "ulimit -f 1;"
inline outcome run(std::vector<std::string> const& arguments, std::string const& first = {}) {
    char const* const program = std::getenv("COMMUTANT_PROGRAM");
    if (program == nullptr) throw std::runtime_error("COMMUTANT_PROGRAM does not name the program to test");
    scratch_folder const streams;
    std::string line = first + " " + quoted(program);
    for (auto const& a : arguments) line += " " + quoted(a);
    line = "( " + line + " ) >" + quoted((streams / "out").string()) + " 2>" +
           quoted((streams / "err").string());
    int const status = std::system(line.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_file(streams / "out"),
            read_file(streams / "err")};
}

/// Every path below a folder, hidden ones too.
inline std::vector<std::string> listing(fs::path const& folder) {
    std::vector<std::string> names;
    for (auto const& entry : fs::recursive_directory_iterator(folder))
        names.push_back(entry.path().lexically_relative(folder).string());
    std::sort(names.begin(), names.end());
    return names;
}

}  // namespace program_test
