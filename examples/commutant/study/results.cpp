// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "results.hpp"

#include <utility>

#include <commutant/io/atomic_file.hpp>
#include <commutant/io/json.hpp>
#include <commutant/io/mapped_file.hpp>
#include <commutant/recipes/fingerprints.hpp>

namespace program {
namespace {
constexpr char const* format_name = "study results 1";
}  // namespace

std::string run_key(option_values const& options, run_texts const& texts) {
    std::string key = "ranges " + cm::fingerprint(texts.ranges) + " training " +
                      cm::fingerprint(texts.training) + " evaluation " + cm::fingerprint(*texts.evaluation);
    // In the order of their names: which was given first does not matter.
    std::map<std::string, std::string> const sorted(options.entries().begin(), options.entries().end());
    for (auto const& [name, value] : sorted)
        if (name != "--calib" && name != "--eval") key += " " + name + (value.empty() ? "" : " " + value);
    return key;
}

study_results::study_results(fs::path file, std::string study, std::string model_fingerprint)
    : file_(std::move(file)), study_(std::move(study)), model_(std::move(model_fingerprint)) {
    std::error_code error;
    if (fs::exists(file_, error)) read(file_);
}

void study_results::require_writable() const {
    cm::io::atomic_file const probe(file_, cm::io::existing::replace);
}

json const* study_results::find(std::string const& key) const {
    auto const found = runs_.find(key);
    return found == runs_.end() ? nullptr : &found->second.numbers;
}

void study_results::join(fs::path const& other) { read(other); }

void study_results::add(std::string const& key, std::string const& command, json const& numbers) {
    runs_[key] = {command, numbers};
}

void study_results::save() const {
    json content{{"commutant", format_name}, {"study", study_}, {"model", model_}, {"runs", json::array()}};
    for (auto const& [key, run] : runs_)
        content["runs"].push_back({{"key", key}, {"command", run.command}, {"numbers", run.numbers}});
    cm::io::write_text(file_, content.dump(1, ' ', false, json::error_handler_t::replace) + "\n",
                       cm::io::existing::replace);
}

void study_results::read(fs::path const& file) {
    auto const mapped = cm::io::mapped_file::open(file);
    auto const bytes = mapped.bytes();
    std::string const where = file.string();
    // Checked first; then read once more with its keys in their order.
    std::string_view const text(reinterpret_cast<char const*>(bytes.data()), bytes.size());
    static_cast<void>(cm::io::parse_json(text, where));
    json const content = json::parse(text);
    try {
        if (content.value("commutant", "") != format_name)
            throw cm::io::input_error(where, "is no file of study results");
        if (auto const study = content.at("study").get<std::string>(); study != study_)
            throw cm::io::input_error(where, "holds results of the study " + study + ", expected " + study_);
        if (content.at("model").get<std::string>() != model_)
            throw cm::io::input_error(where, "holds results of another model");
        for (auto const& run : content.at("runs"))
            runs_.emplace(run.at("key").get<std::string>(),
                          entry{run.at("command").get<std::string>(), run.at("numbers")});
    } catch (json::exception const& error) {
        throw cm::io::input_error(where, cm::detail::json_complaint(error));
    }
}

}  // namespace program
