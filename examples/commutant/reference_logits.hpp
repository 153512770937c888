// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include <commutant/io/safetensors.hpp>
#include <commutant/io/tokens.hpp>

// Logits that another program computed, stored beside a model as reference.safetensors.

namespace program {

/// What a checkpoint's own reference may be missed by, relative to its largest logit.
inline constexpr double max_reference_deviation = 1e-4;

/// max |a - b| / max |b| over all elements.
template <class M, class Reference> [[nodiscard]] double relative_deviation(M const& a, Reference const& b) {
    double difference = 0, largest = 0;
    for (std::size_t k = 0; k < a.size(); ++k) {
        double const expected = static_cast<double>(b.data()[k]);
        double const error = std::abs(static_cast<double>(a.data()[k]) - expected);
        if (!(error <= difference)) difference = error;  // keeps a NaN
        largest = std::max(largest, std::abs(expected));
    }
    return difference / largest;
}

/// Logits [tokens, vocab_size] of one window.
struct reference_logits {
    std::vector<int> tokens{};
    std::vector<float> logits{};
};

/// Reads reference.safetensors of a folder: `tokens` [n] and `logits` [n, vocab_size].
///
/// Errors    input_error for a file that is there and does not fit the model
[[nodiscard]] inline std::optional<reference_logits> read_reference(std::filesystem::path const& directory,
                                                                    std::size_t vocab_size) {
    namespace io = commutant::io;
    auto const path = directory / "reference.safetensors";
    std::error_code error;
    if (!std::filesystem::exists(path, error)) return std::nullopt;
    auto const window = io::read_tokens(path, vocab_size);
    auto const file = io::safetensors_file::open(path);
    auto const& shape = file.info("logits").shape;
    std::vector<std::size_t> const wanted{window.length, vocab_size};
    if (window.n_windows != 1 || shape != wanted)
        throw io::input_error(path.string(), "tensor 'logits' has shape " + io::shape_text(shape) +
                                                 ", expected " + io::shape_text(wanted));
    reference_logits r{{window.ids.begin(), window.ids.end()},
                       std::vector<float>(window.length * vocab_size)};
    file.read("logits", std::span<float>(r.logits));
    return r;
}

}  // namespace program
