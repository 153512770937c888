// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// The command-line program: one subcommand per source file beside this one, built from public headers only.

#include <exception>
#include <iostream>
#include <new>
#include <string>

#include <commutant/io/error.hpp>
#include <commutant/version.hpp>

#include "command.hpp"
#include "process_memory.hpp"

namespace {

constexpr char const* description =
    "Function-preserving transforms for transformer models: proves, merges, checks, quantises.\n\n"
    "MODEL is a Hugging Face folder (config.json and safetensors), a llama2.c .bin file, or a folder that\n"
    "`quantize --out` wrote; without MODEL the small model that comes with the program is used.";

/// The error line: nothing that came from outside may break it in two.
int refuse(std::string const& words) {
    std::cerr << "commutant: " << commutant::detail::one_line(words.substr(0, words.find('\n'))) << '\n';
    return program::bad_input;
}

std::string version() {
    return std::to_string(COMMUTANT_VERSION_MAJOR) + "." + std::to_string(COMMUTANT_VERSION_MINOR) + "." +
           std::to_string(COMMUTANT_VERSION_PATCH);
}

int run(int argc, char** argv) {
    CLI::App app(description, "commutant");
    app.set_version_flag("--version", "commutant " + version());
    app.require_subcommand(1);
    app.get_formatter()->column_width(34);
    app.footer(
        "Exit codes: 0 done, 1 a check failed, 2 bad usage or bad input (one line says which).\n"
        "`commutant COMMAND --help` explains a command and its options.");
    program::chosen_command chosen;
    program::add_inspect(app, chosen);
    program::add_check(app, chosen);
    program::add_eval(app, chosen);
    program::add_quantize(app, chosen);
    program::add_study(app, chosen);
    program::add_report(app, chosen);
    program::add_transform(app, chosen);
    program::add_generate(app, chosen);
    try {
        app.parse(argc, argv);
    } catch (CLI::Success const& help_or_version) {
        return app.exit(help_or_version);
    } catch (CLI::RequiredError const& error) {
        if (argc < 2)
            return refuse(
                "give a command: inspect, check, eval, quantize, study, report, transform or generate (see "
                "commutant --help)");
        if (app.get_subcommands().empty())
            return refuse(std::string("'") + argv[1] +
                          "' is no command, expected inspect, check, eval, quantize, study, report, "
                          "transform or generate");
        return refuse(error.what());
    } catch (CLI::ParseError const& error) {
        return refuse(std::string(error.what()) + " (see commutant --help)");
    }
    return chosen();
}

}  // namespace

int main(int argc, char** argv) {
    program::keep_freed_memory();
    try {
        return run(argc, argv);
    } catch (std::bad_alloc const&) {
        return refuse("out of memory");
    } catch (std::exception const& error) {
        return refuse(error.what());
    }
}
