// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include <commutant/io/atomic_file.hpp>

#include "../output.hpp"

namespace program {

/// The option --report FILE.
class report_output {
public:
    void add_to(CLI::App& command);

    [[nodiscard]] bool is_wanted() const { return !path_.empty(); }

    /// Refuses a file that cannot be written, before a long computation.
    void require_writable() const;

    /// The page, if it is wanted, as a file that is complete but for its name.
    [[nodiscard]] std::optional<commutant::io::atomic_file> prepare(json const& numbers) const;

private:
    std::string path_{};
};

}  // namespace program
