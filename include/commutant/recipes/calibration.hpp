// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <commutant/model/inference.hpp>
#include <commutant/quant/observer.hpp>
#include <commutant/recipes/activation_grids.hpp>
#include <commutant/recipes/token_sequences.hpp>

namespace commutant {

/// A runner whose RoPE table reaches as far as the windows, within what the model has positions for.
template <class M, class Linear, class DownInput>
[[nodiscard]] auto windows_runner(decoder<M, Linear, DownInput> const& m, token_sequences const& windows) {
    std::size_t const longest = longest_window(windows);
    return runner<M, decoder<M, Linear, DownInput>>(
        m, longest < m.config.max_positions ? longest : m.config.max_positions);
}

/// A tap that observes the activations which want a static grid and changes none.
///
/// Row 0 of a window is left out: BOS gathers values far outside those of all other tokens.
class calibration_tap {
public:
    /// Errors    std::invalid_argument for settings that validate refuses
    calibration_tap(quantization_settings const& settings, std::size_t n_layers)
        : observers_((n_layers + 1) * n_locations) {
        validate(settings);
        for (std::size_t layer = 0; layer <= n_layers; ++layer) {
            for (std::size_t i = 0; i < n_locations; ++i) {
                auto const where = static_cast<location>(i);
                if (!wants_static_grid(settings, where, layer, n_layers)) continue;
                activation_settings const& s = settings_at(settings, where);
                observers_[layer * n_locations + i].emplace(
                    activation_observer(place_name(layer, where), s.num_bits, s.symmetric, s.range));
            }
        }
    }

    /// Whether any location wants data in this pass.
    [[nodiscard]] bool wants_data() const {
        for (auto const& o : observers_)
            if (o && !o->done) return true;
        return false;
    }

    template <class M> [[nodiscard]] M operator()(location where, std::size_t layer, M x) {
        auto& o = observers_[layer * n_locations + static_cast<std::size_t>(where)];
        if (o && !o->done)
            o->observer.observe(std::span<typename M::scalar const>(x.data(), x.size()), x.cols(),
                                skip_first_rows(x.rows()));
        return x;
    }

    /// Ends a pass over all windows.
    ///
    /// Errors    std::invalid_argument if a location saw no token behind BOS
    void next_pass() {
        for (auto& o : observers_)
            if (o && !o->done) o->done = !o->observer.next_pass();
    }

    /// Grids found; floating point where none was wanted.
    [[nodiscard]] activation_grids grids() const {
        activation_grids found(observers_.size() / n_locations - 1);
        for (std::size_t k = 0; k < observers_.size(); ++k)
            if (observers_[k])
                found.at(k / n_locations, static_cast<location>(k % n_locations)) =
                    observers_[k]->observer.result();
        return found;
    }

private:
    struct entry {
        explicit entry(activation_observer o) : observer(std::move(o)) {}
        activation_observer observer;
        bool done = false;
    };
    std::vector<std::optional<entry>> observers_;
};

/// Static grids of a decoder's activations from calibration windows, which it runs in floating point.
///
/// For min-max ranges the windows pass once, for L_p ranges up to three times more; nothing is kept of them.
///
/// Errors    std::invalid_argument for settings that validate refuses, tokens outside the vocabulary, or windows
///           that hold nothing behind BOS while static grids are wanted
template <class M>
[[nodiscard]] activation_grids calibrate(decoder<M> const& m, token_sequences const& windows,
                                         quantization_settings const& settings,
                                         progress_callback const& progress = {}) {
    calibration_tap tap(settings, m.layers.size());
    if (!tap.wants_data()) return tap.grids();
    if (longest_window(windows) < 2)
        throw std::invalid_argument(
            "calibrate: the windows hold no token behind BOS, expected calibration text for static grids");
    runner<M> const run = windows_runner(m, windows);
    do {
        std::size_t done = 0;
        for (auto const& window : windows) {
            static_cast<void>(run.logits(window, tap));
            if (progress) progress(++done, windows.size());
        }
        tap.next_pass();
    } while (tap.wants_data());
    return tap.grids();
}

}  // namespace commutant
