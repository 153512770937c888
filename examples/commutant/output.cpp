// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "output.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>

#include <CLI/CLI.hpp>

namespace program {

namespace io = commutant::io;

void json_output::add_to(CLI::App& command) {
    command.add_option("--json", path_,
                       "write every number of the run to this file; - is stdout, in place of tables");
}

void json_output::require_writable() const {
    if (!path_.empty() && !owns_stdout()) io::atomic_file const probe(path_, io::existing::replace);
}

pending_json json_output::prepare(json const& numbers) const {
    pending_json pending;
    if (path_.empty()) return pending;
    // A model may say bytes that are no UTF-8, and JSON cannot.
    std::string const text = numbers.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
    if (owns_stdout()) {
        pending.to_stdout_ = text;
    } else {
        pending.file_.emplace(path_, io::existing::replace);
        pending.file_->append(text);
    }
    return pending;
}

void pending_json::commit() {
    if (file_) file_->commit();
    std::cout << to_stdout_;
}

void say(std::string const& line) { std::cerr << line << '\n'; }

void table::print() const { print_aligned(true); }
void table::print_left() const { print_aligned(false); }

void table::print_aligned(bool numbers_right) const {
    std::vector<std::size_t> widths;
    for (auto const& row : rows_) {
        widths.resize(std::max(widths.size(), row.size()));
        for (std::size_t j = 0; j < row.size(); ++j) widths[j] = std::max(widths[j], row[j].size());
    }
    for (auto const& row : rows_) {
        std::string line;
        for (std::size_t j = 0; j < row.size(); ++j) {
            std::string const padding(widths[j] - row[j].size(), ' ');
            if (j != 0) line += "  ";
            line += j != 0 && numbers_right ? padding + row[j] : row[j] + padding;
        }
        line.erase(line.find_last_not_of(' ') + 1);
        std::cout << line << '\n';
    }
}

std::string formatted(char const* format, double x) {
    char buffer[64];
    std::snprintf(buffer, sizeof buffer, format, x);
    return buffer;
}

progress_bar::progress_bar(std::string label)
    : label_(std::move(label)), on_terminal_(::isatty(STDERR_FILENO) == 1) {}

progress_bar::~progress_bar() {
    if (on_terminal_) std::cerr << "\r\x1b[K" << std::flush;
}

void progress_bar::operator()(std::size_t done, std::size_t total) {
    if (!on_terminal_) return;
    constexpr std::size_t width = 32;
    std::size_t const filled = total == 0 ? width : done * width / total;
    std::cerr << '\r' << label_ << " [" << std::string(filled, '#') << std::string(width - filled, '.')
              << "] " << done << '/' << total << "\x1b[K" << std::flush;
}

}  // namespace program
