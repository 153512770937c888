// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "engine.hpp"

#include "command.hpp"

namespace program {

void engine_options::add_to(CLI::App& command) {
    command
        .add_option("--engine", name_,
                    "how quantised codes are run. fake: rounded in floating point; int4: by integer kernels")
        ->check(CLI::IsMember({"fake", "int4"}))
        ->capture_default_str();
    command
        .add_option("--threads", n_threads_,
                    "threads of --engine int4; eval without it: windows at a time; "
                    "the numbers do not depend on it")
        ->check(CLI::Range(std::size_t{1}, std::size_t{1024}))
        ->capture_default_str();
}

commutant::kernels::executor engine_options::threads() {
    if (n_threads_ == 1) return {};
    if (!pool_) pool_ = std::make_unique<commutant::kernels::thread_pool>(n_threads_);
    return *pool_;
}

void engine_options::require_fits(std::filesystem::path const& model, bool is_quantized) const {
    if (is_int4() && !is_quantized)
        throw usage_error(
            "--engine int4: " + model.string() +
            " holds no quantised codes, expected the folder DIR/quantized of quantize --out DIR");
}

}  // namespace program
