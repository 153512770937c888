// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include <commutant/readings/eigen_matrix.hpp>
#include <commutant/recipes/quantized_decoder.hpp>

// Running models, in float and in double. What is declared here is instantiated in runs_float32.cpp and runs_float64.cpp
// once for all commands: the forward pass is most of what there is to compile.

namespace program {

namespace cm = commutant;

using float64 = cm::eigen_matrix<double>;
using float32 = cm::eigen_matrix<float>;

/// Logits of a window that starts at position 0.
template <class M> [[nodiscard]] M window_logits(cm::decoder<M> const& m, std::span<int const> window);

/// Likelihood of windows, with a progress bar that bears the label.
template <class M>
[[nodiscard]] cm::likelihood labelled_likelihood(char const* label, cm::decoder<M> const& m,
                                                 cm::token_sequences const& windows);
template <class M>
[[nodiscard]] cm::likelihood labelled_likelihood(char const* label, cm::quantized_decoder<M> const& q,
                                                 cm::token_sequences const& windows);

/// A quantised decoder, with a progress bar while its ranges are set.
template <class M>
[[nodiscard]] cm::quantized_decoder<M> labelled_quantized(char const* label, cm::decoder<M> m,
                                                          cm::token_sequences const& calibration_windows,
                                                          cm::quantization_settings const& settings);

}  // namespace program
