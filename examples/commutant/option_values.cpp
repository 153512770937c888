// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "option_values.hpp"

#include <algorithm>

namespace program {
namespace {

auto position(std::vector<option_values::entry> const& entries, std::string const& name) {
    return std::find_if(entries.begin(), entries.end(), [&](auto const& e) { return e.first == name; });
}

}  // namespace

std::string const* option_values::find(std::string const& name) const {
    auto const at = position(entries_, name);
    return at == entries_.end() ? nullptr : &at->second;
}

void option_values::set(std::string const& name, std::string const& value) {
    auto const at = position(entries_, name);
    if (at == entries_.end())
        entries_.emplace_back(name, value);
    else
        entries_[static_cast<std::size_t>(at - entries_.begin())].second = value;
}

void option_values::erase(std::string const& name) {
    if (auto const at = position(entries_, name); at != entries_.end()) entries_.erase(at);
}

std::vector<std::string> option_values::words() const {
    std::vector<std::string> list;
    for (auto const& [name, value] : entries_) {
        list.push_back(name);
        if (!value.empty()) list.push_back(value);
    }
    return list;
}

option_values overridden(option_values options, option_values const& by) {
    for (auto const& [name, value] : by.entries()) options.set(name, value);
    return options;
}

std::vector<std::string> option_names(CLI::App const& command) {
    std::vector<std::string> names;
    for (auto const* option : command.get_options())
        if (!option->get_positional() && option != command.get_help_ptr())
            names.push_back(option->get_name());
    return names;
}

option_values given_options(CLI::App const& command, std::vector<std::string> const& names) {
    option_values given;
    for (auto const& name : names) {
        auto const* const option = command.get_option(name);
        if (option->count() == 0) continue;
        bool const is_flag = option->get_expected_max() == 0;
        given.set(name, is_flag ? "" : option->results().back());
    }
    return given;
}

std::string command_line(std::vector<std::string> const& words) {
    std::string line;
    for (auto const& word : words) {
        bool const is_plain = !word.empty() && word.find_first_not_of(
                                                   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                                   "0123456789-_./,:=+@%") == std::string::npos;
        if (!line.empty()) line += ' ';
        if (is_plain) {
            line += word;
            continue;
        }
        line += '\'';
        for (char const c : word) line += c == '\'' ? std::string("'\\''") : std::string(1, c);
        line += '\'';
    }
    return line;
}

}  // namespace program
