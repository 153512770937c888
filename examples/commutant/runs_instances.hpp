// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <utility>

#include "output.hpp"
#include "runs.hpp"

// The bodies of runs.hpp, for the two files that instantiate them.

namespace program {

template <class M> M window_logits(cm::decoder<M> const& m, std::span<int const> window) {
    return cm::runner<M>(m, window.size()).logits(window);
}

template <class M>
cm::likelihood labelled_likelihood(char const* label, cm::decoder<M> const& m,
                                   cm::token_sequences const& windows) {
    progress_bar bar(label);
    return cm::windows_likelihood(m, windows, std::ref(bar));
}

template <class M>
cm::likelihood labelled_likelihood(char const* label, cm::quantized_decoder<M> const& q,
                                   cm::token_sequences const& windows) {
    progress_bar bar(label);
    return cm::windows_likelihood(q, windows, std::ref(bar));
}

template <class M>
cm::quantized_decoder<M> labelled_quantized(char const* label, cm::decoder<M> m,
                                            cm::token_sequences const& calibration_windows,
                                            cm::quantization_settings const& settings) {
    progress_bar bar(label);
    return cm::quantize_decoder(std::move(m), calibration_windows, settings, std::ref(bar));
}

}  // namespace program
