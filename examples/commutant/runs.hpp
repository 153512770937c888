// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <commutant/model/sampler.hpp>
#include <commutant/readings/eigen_matrix.hpp>
#include <commutant/recipes/int4_decoder.hpp>
#include <commutant/recipes/quantized_decoder.hpp>

// Running models: in float, in double, in integers. What is declared here is instantiated in runs_float32.cpp,
// runs_float64.cpp and runs_int4.cpp once for all commands: the forward pass is most of what there is to compile.

namespace program {

namespace cm = commutant;

using float64 = cm::eigen_matrix<double>;
using float32 = cm::eigen_matrix<float>;

/// Logits of a window that starts at position 0.
template <class M> [[nodiscard]] M window_logits(cm::decoder<M> const& m, std::span<int const> window);

/// Likelihood of windows, with a progress bar that bears the label. Threads change nothing but the time.
template <class M>
[[nodiscard]] cm::likelihood labelled_likelihood(char const* label, cm::decoder<M> const& m,
                                                 cm::token_sequences const& windows, std::size_t n_threads);
template <class M>
[[nodiscard]] cm::likelihood labelled_likelihood(char const* label, cm::quantized_decoder<M> const& q,
                                                 cm::token_sequences const& windows, std::size_t n_threads);

[[nodiscard]] cm::likelihood labelled_likelihood(char const* label, cm::int4_decoder const& q,
                                                 cm::token_sequences const& windows);

/// A text to go on with.
struct generation_request {
    std::vector<std::int32_t> prompt{};  ///< at least one token
    std::size_t n_tokens = 0;            ///< at most
    std::optional<std::int32_t> stop{};  ///< ends the text, and is not part of it
    cm::sampling_options sampling{};
};

/// What came of it.
struct generation {
    std::vector<std::int32_t> tokens{};
    double prompt_seconds = 0;  ///< until the first token was known
    double decode_seconds = 0;  ///< for all others, one by one
    std::size_t n_steps = 0;    ///< tokens run one by one
};

/// Model     cm::decoder<float32>, cm::quantized_decoder<float32> or cm::int4_decoder
template <class Model> [[nodiscard]] generation generated(Model const& m, generation_request const& request);

/// A quantised decoder, with a progress bar while its ranges are set.
template <class M>
[[nodiscard]] cm::quantized_decoder<M> labelled_quantized(char const* label, cm::decoder<M> m,
                                                          cm::token_sequences const& calibration_windows,
                                                          cm::quantization_settings const& settings);

}  // namespace program
