// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include <commutant/recipes/quantized_decoder.hpp>

// A model with one kind of tensor quantised and all others in floating point: where the loss comes from.

namespace commutant {

/// Static grids of one location, in every layer that has it.
[[nodiscard]] inline activation_grids grids_at(activation_grids const& grids, location where) {
    activation_grids alone(grids.n_layers());
    for (std::size_t layer = 0; layer <= grids.n_layers(); ++layer)
        alone.at(layer, where) = grids.at(layer, where);
    return alone;
}

/// The decoder with rounded weights and nothing else.
template <class M>
[[nodiscard]] quantized_decoder<M> with_weights_quantized(decoder<M> m, decoder_grids const& grids,
                                                          quantization_settings settings) {
    settings.activations.num_bits = settings.kv_cache.num_bits = 16;
    return quantize_decoder_on(std::move(m), {{}, grids.weights}, settings);
}

/// The decoder with one activation rounded and nothing else.
///
/// Note      grids of settings with static timing
template <class M>
[[nodiscard]] quantized_decoder<M> with_location_quantized(decoder<M> m, location where,
                                                           decoder_grids const& grids,
                                                           quantization_settings settings) {
    settings.weights.num_bits = 16;
    return quantize_decoder_on(std::move(m), {grids_at(grids.activations, where), {}}, settings);
}

}  // namespace commutant
