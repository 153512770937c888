// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "runs_instances.hpp"

namespace program {

template float64 window_logits(cm::decoder<float64> const&, std::span<int const>);
template cm::likelihood labelled_likelihood(char const*, cm::decoder<float64> const&,
                                            cm::token_sequences const&, std::size_t);
template cm::likelihood labelled_likelihood(char const*, cm::quantized_decoder<float64> const&,
                                            cm::token_sequences const&, std::size_t);

}  // namespace program
