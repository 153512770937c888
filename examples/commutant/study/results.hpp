// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "../shared_inputs.hpp"

namespace program {

/// Everything that determines the numbers of a run on a model: options of quantize, and windows of its texts. Where the
/// texts lie does not.
[[nodiscard]] std::string run_key(option_values const& options, run_texts const& texts);

/// Finished runs of a study, in a file.
class study_results {
public:
    /// An empty list, or what the file holds if it is there.
    ///
    /// Errors    input_error if the file is of another study or model, or is no such file
    study_results(fs::path file, std::string study, std::string model_fingerprint);

    /// Refuses a file that cannot be written, before a long computation.
    void require_writable() const;

    /// Numbers of a finished run, or null.
    [[nodiscard]] json const* find(std::string const& key) const;
    /// Adds what another file of the same study and model holds.
    void join(fs::path const& other);
    void add(std::string const& key, std::string const& command, json const& numbers);
    /// Replaces the file.
    void save() const;

private:
    struct entry {
        std::string command{};
        json numbers{};
    };
    void read(fs::path const& file);

    fs::path file_;
    std::string study_, model_;
    std::map<std::string, entry> runs_{};
};

}  // namespace program
