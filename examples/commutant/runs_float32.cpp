// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "runs_instances.hpp"

namespace program {

template float32 window_logits(cm::decoder<float32> const&, std::span<int const>);
template cm::likelihood labelled_likelihood(char const*, cm::decoder<float32> const&,
                                            cm::token_sequences const&, std::size_t);
template cm::likelihood labelled_likelihood(char const*, cm::quantized_decoder<float32> const&,
                                            cm::token_sequences const&, std::size_t);
template cm::quantized_decoder<float32> labelled_quantized(char const*, cm::decoder<float32>,
                                                           cm::token_sequences const&,
                                                           cm::quantization_settings const&);

template <> generation generated(cm::decoder<float32> const& m, generation_request const& request) {
    return generated_by(cm::runner<float32>(m), cm::kv_cache<float32>(m.config), cm::no_tap{}, request);
}
template <> generation generated(cm::quantized_decoder<float32> const& q, generation_request const& request) {
    return generated_by(cm::runner<float32>(q.model), cm::kv_cache<float32>(q.model.config), q.tap(),
                        request);
}

}  // namespace program
