// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <map>
#include <mutex>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <commutant/optimize/on_threads.hpp>
#include <commutant/quant/quantized_weights.hpp>
#include <commutant/recipes/calibration.hpp>

namespace commutant {

/// Calls f(name, linear) for the seven linears of block i, which are what quantisation rounds; names are those of
/// checkpoints without their ending: "model.layers.0.self_attn.q_proj".
template <class Decoder, class F> void visit_layer_linears(Decoder& m, std::size_t i, F f) {
    auto& l = m.layers[i];
    std::string const prefix = "model.layers." + std::to_string(i) + ".";
    f(prefix + "self_attn.q_proj", l.q_proj);
    f(prefix + "self_attn.k_proj", l.k_proj);
    f(prefix + "self_attn.v_proj", l.v_proj);
    f(prefix + "self_attn.o_proj", l.o_proj);
    f(prefix + "mlp.gate_proj", l.gate_proj);
    f(prefix + "mlp.up_proj", l.up_proj);
    f(prefix + "mlp.down_proj", l.down_proj);
}

/// The same for every block.
template <class Decoder, class F> void visit_block_linears(Decoder& m, F f) {
    for (std::size_t i = 0; i < m.layers.size(); ++i) visit_layer_linears(m, i, f);
}

/// All grids of a quantised decoder.
struct decoder_grids {
    activation_grids activations{};  ///< static ones
    /// Of each block linear's weight, slice by slice; empty at 16 bits.
    std::map<std::string, std::vector<grid>> weights{};
};

/// A decoder in fake quantisation: its block weights lie on their grids, and its activations are rounded on the way.
///
/// Embedding, head, gains and biases stay in floating point.
template <class M> struct quantized_decoder {
    decoder<M> model{};
    quantization_settings settings{};
    activation_grids grids{};  ///< of static activations
    /// Grids of each block linear's weight, slice by slice; empty at 16 bits.
    std::map<std::string, std::vector<grid>> weight_grids{};

    /// What to run the model with.
    [[nodiscard]] quantizing_tap tap() const { return {settings, grids}; }
};

/// Grids for a decoder: those of activations from the windows, which it runs in floating point, those of weights from the
/// weights.
///
/// Errors    those of calibrate; std::invalid_argument naming a weight that its settings do not fit
template <class M>
[[nodiscard]] decoder_grids set_grids(decoder<M> const& m, token_sequences const& calibration_windows,
                                      quantization_settings const& settings,
                                      progress_callback const& progress = {}) {
    validate(settings);
    decoder_grids found{calibrate(m, calibration_windows, settings, progress), {}};
    if (settings.weights.num_bits == 16) return found;
    visit_block_linears(m, [&](std::string const& name, linear<M> const& l) {
        using scalar = typename M::scalar;
        M const& w = l.weight;
        try {
            found.weights.emplace(name, set_weight_ranges(std::span<scalar const>(w.data(), w.size()),
                                                          w.rows(), w.cols(), settings.weights));
        } catch (std::invalid_argument const& error) {
            throw std::invalid_argument(name + ".weight: " + error.what());
        }
    });
    return found;
}

/// Quantises a decoder on given grids.
///
/// Shape     grids: one for each static activation, and one for each slice of every block weight
template <class M>
[[nodiscard]] quantized_decoder<M> quantize_decoder_on(decoder<M> m, decoder_grids grids,
                                                       quantization_settings const& settings) {
    quantized_decoder<M> q{std::move(m), settings, std::move(grids.activations), std::move(grids.weights)};
    if (settings.weights.num_bits == 16) return q;
    visit_block_linears(q.model, [&](std::string const& name, linear<M>& l) {
        auto const& of_slices = q.weight_grids.at(name);
        fake_quantize_slices_in_place(
            std::span<typename M::scalar>(l.weight.data(), l.weight.size()),
            slice_size(settings.weights.scope, l.weight.rows(), l.weight.cols(), settings.weights.group_size),
            std::span<grid const>(of_slices));
    });
    return q;
}

/// Quantises a decoder: activation ranges from the windows while everything is still floating point, then weights.
///
/// Errors    those of set_grids
template <class M>
[[nodiscard]] quantized_decoder<M> quantize_decoder(decoder<M> m, token_sequences const& calibration_windows,
                                                    quantization_settings const& settings,
                                                    progress_callback const& progress = {}) {
    auto grids = set_grids(m, calibration_windows, settings, progress);
    return quantize_decoder_on(std::move(m), std::move(grids), settings);
}

/// Negative log-likelihood of windows under a decoder whose activations pass through a tap.
///
/// progress   called after every window, by one thread at a time
/// n_threads  windows at a time, each on a thread of its own with a copy of the tap; more than one only for a decoder that may
///            be run by several threads at once, as Eigen's matrices may
/// Note      windows are added in their order: the same bytes for any number of threads
/// Units     natural logarithm
/// Errors    std::invalid_argument for tokens outside the vocabulary or windows longer than max_positions
template <class Decoder, class Tap>
[[nodiscard]] likelihood tapped_likelihood(Decoder const& m, Tap const& tap, token_sequences const& windows,
                                           progress_callback const& progress = {},
                                           std::size_t n_threads = 1) {
    auto const run = windows_runner(m, windows);
    std::vector<likelihood> of_windows(windows.size());
    std::atomic<std::size_t> next = 0;
    std::size_t done = 0;
    std::mutex reporting;
    detail::on_threads(std::min(std::max(n_threads, std::size_t{1}), windows.size()), [&](std::size_t) {
        Tap mine = tap;
        for (std::size_t i = next++; i < windows.size(); i = next++) {
            try {
                of_windows[i] = window_likelihood(run, std::span<int const>(windows[i]), mine);
                std::scoped_lock const lock(reporting);
                ++done;
                if (progress) progress(done, windows.size());
            } catch (...) {
                next = windows.size();  // nothing is left to do
                throw;
            }
        }
    });
    likelihood total;
    for (auto const& of_window : of_windows) total += of_window;
    return total;
}

/// Negative log-likelihood of windows under a decoder as it is; see tapped_likelihood.
template <class M>
[[nodiscard]] likelihood windows_likelihood(decoder<M> const& m, token_sequences const& windows,
                                            progress_callback const& progress = {},
                                            std::size_t n_threads = 1) {
    return tapped_likelihood(m, no_tap{}, windows, progress, n_threads);
}

/// Negative log-likelihood of windows under a quantised decoder; see tapped_likelihood.
template <class M>
[[nodiscard]] likelihood windows_likelihood(quantized_decoder<M> const& q, token_sequences const& windows,
                                            progress_callback const& progress = {},
                                            std::size_t n_threads = 1) {
    return tapped_likelihood(q.model, q.tap(), windows, progress, n_threads);
}

}  // namespace commutant
