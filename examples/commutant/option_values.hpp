// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

namespace program {

/// Options of a command line with their values, in order; a flag's value is empty.
class option_values {
public:
    using entry = std::pair<std::string, std::string>;

    option_values() = default;
    option_values(std::initializer_list<entry> entries) : entries_(entries) {}

    /// Value of an option that was given, or null.
    [[nodiscard]] std::string const* find(std::string const& name) const;
    void set(std::string const& name, std::string const& value);
    void erase(std::string const& name);

    [[nodiscard]] std::vector<entry> const& entries() const { return entries_; }
    /// As the command line has them.
    [[nodiscard]] std::vector<std::string> words() const;

private:
    std::vector<entry> entries_{};
};

/// Options with those of the second in place of the first's.
[[nodiscard]] option_values overridden(option_values options, option_values const& by);

/// Names of a command's options, but for --help and positionals.
[[nodiscard]] std::vector<std::string> option_names(CLI::App const& command);

/// Names of the options that one of the option structs adds to a command.
template <class Options>
[[nodiscard]] std::vector<std::string> names_added_by(void (Options::*add)(CLI::App&)) {
    CLI::App command;
    Options options;
    (options.*add)(command);
    return option_names(command);
}

/// What a command was given of some of its options.
[[nodiscard]] option_values given_options(CLI::App const& command, std::vector<std::string> const& names);

/// Words as a shell reads them.
[[nodiscard]] std::string command_line(std::vector<std::string> const& words);

}  // namespace program
