// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>

#include <commutant/kernels/executor.hpp>

namespace CLI {
class App;
}

namespace program {

/// How a folder of quantised codes is run; the same options in every command that runs one.
class engine_options {
public:
    void add_to(CLI::App& command);

    [[nodiscard]] bool is_int4() const { return name_ == "int4"; }
    [[nodiscard]] std::string const& name() const { return name_; }
    [[nodiscard]] std::size_t n_threads() const { return n_threads_; }

    /// Workers for the integer kernels, started when first asked for; they live as long as the options.
    [[nodiscard]] commutant::kernels::executor threads();

    /// Refuses the integer kernels for a model that is not quantised.
    ///
    /// Errors    usage_error
    void require_fits(std::filesystem::path const& model, bool is_quantized) const;

private:
    std::string name_ = "fake";
    std::size_t n_threads_ = 1;
    std::unique_ptr<commutant::kernels::thread_pool> pool_{};
};

}  // namespace program
