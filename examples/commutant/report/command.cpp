// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// commutant report: numbers of an earlier run as a page.

#include <memory>
#include <string>
#include <string_view>

#include <CLI/CLI.hpp>

#include <commutant/io/atomic_file.hpp>
#include <commutant/io/json.hpp>
#include <commutant/io/mapped_file.hpp>

#include "../command.hpp"
#include "page.hpp"

namespace program {
namespace {

struct report_options {
    std::string numbers{};
    std::string page{};
};

int run_report(report_options const& options) {
    namespace io = commutant::io;
    auto const file = io::mapped_file::open(options.numbers);
    std::string_view const text(reinterpret_cast<char const*>(file.bytes().data()), file.bytes().size());
    // Checked first; then read once more with its keys in their order.
    static_cast<void>(io::parse_json(text, options.numbers));
    std::string page;
    try {
        json const numbers = json::parse(text);
        if (!numbers.contains("nll"))
            throw io::input_error(options.numbers, "holds no numbers of a run of quantize");
        page = report_page(numbers);
    } catch (json::exception const& error) {
        throw io::input_error(options.numbers,
                              "holds no numbers of a run of quantize: " + std::string(error.what()));
    }
    io::write_text(options.page, page, io::existing::replace);
    return done;
}

}  // namespace

void add_report(CLI::App& app, chosen_command& chosen) {
    auto const options = std::make_shared<report_options>();
    CLI::App* const command =
        app.add_subcommand("report", "the page of a run from the numbers that it wrote");
    command->footer("  commutant quantize --json numbers.json\n  commutant report numbers.json report.html");
    command->add_option("NUMBERS", options->numbers, "what quantize --json wrote")->required();
    command->add_option("PAGE", options->page, "HTML file to write")->required();
    command->callback([options, &chosen] { chosen = [options] { return run_report(*options); }; });
}

}  // namespace program
