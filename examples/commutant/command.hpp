// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <stdexcept>

#include <CLI/CLI.hpp>

// What the commands of the program share: how they register themselves, and what they return.

namespace program {

/// Exit codes.
enum exit_code : int {
    done = 0,
    check_failed = 1,  ///< the program ran to its end, and something it checked is not as it should be
    bad_input = 2      ///< nothing was done and nothing written; one line on stderr says why
};

/// Options that do not fit together; the line says what to give.
class usage_error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// The command that the command line names, ready to run; returns an exit code.
using chosen_command = std::function<int()>;

void add_inspect(CLI::App& app, chosen_command& chosen);
void add_check(CLI::App& app, chosen_command& chosen);
void add_eval(CLI::App& app, chosen_command& chosen);
void add_quantize(CLI::App& app, chosen_command& chosen);
void add_study(CLI::App& app, chosen_command& chosen);
void add_report(CLI::App& app, chosen_command& chosen);
void add_transform(CLI::App& app, chosen_command& chosen);
void add_generate(CLI::App& app, chosen_command& chosen);

}  // namespace program
