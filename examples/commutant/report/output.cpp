// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "output.hpp"

#include <CLI/CLI.hpp>

#include "page.hpp"

namespace program {

namespace io = commutant::io;

void report_output::add_to(CLI::App& command) {
    command.add_option("--report", path_,
                       "write a page with tables and plots to this file: HTML, complete in itself");
}

void report_output::require_writable() const {
    if (is_wanted()) io::atomic_file const probe(path_, io::existing::replace);
}

std::optional<io::atomic_file> report_output::prepare(json const& numbers) const {
    std::optional<io::atomic_file> file;
    if (!is_wanted()) return file;
    file.emplace(path_, io::existing::replace);
    file->append(report_page(numbers));
    return file;
}

}  // namespace program
