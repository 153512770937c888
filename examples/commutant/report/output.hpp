// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include <commutant/io/atomic_file.hpp>

#include "../output.hpp"

namespace program {

/// A page on its way to a file.
class pending_page {
public:
    /// Makes the file appear.
    void commit();

private:
    friend class report_output;
    std::optional<commutant::io::atomic_file> file_{};
};

/// The option --report FILE.
class report_output {
public:
    void add_to(CLI::App& command);

    [[nodiscard]] bool is_wanted() const { return !path_.empty(); }

    /// Refuses a file that cannot be written, before a long computation.
    void require_writable() const;

    /// The page as a file that is complete but for its name.
    [[nodiscard]] pending_page prepare(json const& numbers) const;

private:
    std::string path_{};
};

}  // namespace program
