// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <commutant/io/atomic_file.hpp>

// What the program prints and writes: tables on stdout, messages and progress on stderr, numbers as JSON.

namespace CLI {
class App;
}

namespace program {

using json = nlohmann::ordered_json;

/// Numbers on their way to a file, or to stdout.
class pending_json {
public:
    /// Makes the file appear, or prints the text.
    void commit();

private:
    friend class json_output;
    std::optional<commutant::io::atomic_file> file_{};
    std::string to_stdout_{};
};

/// The option --json FILE, and the numbers of a run.
class json_output {
public:
    void add_to(CLI::App& command);

    /// Whether the JSON goes to stdout, which is then kept free of tables.
    [[nodiscard]] bool owns_stdout() const { return path_ == "-"; }

    /// Refuses a file that cannot be written, before a long computation.
    void require_writable() const;

    /// The numbers as a file that is complete but for its name: what can fail has been done before commit().
    [[nodiscard]] pending_json prepare(json const& numbers) const;

private:
    std::string path_{};
};

/// A message on stderr.
void say(std::string const& line);

/// A table with aligned columns: the first to the left, the others to the right.
class table {
public:
    explicit table(std::vector<std::string> header) : rows_{std::move(header)} {}
    void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
    void print() const;
    /// The same with all columns to the left: words.
    void print_left() const;

private:
    void print_aligned(bool numbers_right) const;

    std::vector<std::vector<std::string>> rows_;
};

/// printf of one number.
[[nodiscard]] std::string formatted(char const* format, double x);

/// A progress bar on stderr, drawn on a terminal only; gone when the object is.
class progress_bar {
public:
    explicit progress_bar(std::string label);
    progress_bar(progress_bar const&) = delete;
    progress_bar& operator=(progress_bar const&) = delete;
    ~progress_bar();

    void operator()(std::size_t done, std::size_t total);
    /// Another label from the next call on.
    void relabel(std::string label) { label_ = std::move(label); }

private:
    std::string label_;
    bool on_terminal_;
};

}  // namespace program
