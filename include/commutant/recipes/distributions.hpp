// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include <commutant/quant/value_statistics.hpp>
#include <commutant/recipes/quantized_decoder.hpp>

namespace commutant {

/// Values of one activation: of the first token of each window, an outlier of its own, and of all others.
struct activation_statistics {
    value_statistics first_token{};
    value_statistics behind_first{};

    [[nodiscard]] value_statistics all() const {
        value_statistics both = behind_first;
        both.merge(first_token);
        return both;
    }
};

/// A tap that records how the activations are distributed which a coverage quantises, and changes none.
class distribution_tap {
public:
    distribution_tap(coverage covered, std::size_t n_layers)
        : covered_(covered), statistics_((n_layers + 1) * n_locations) {}

    template <class M> [[nodiscard]] M operator()(location where, std::size_t layer, M x) {
        if (!covers(covered_, where) || x.rows() == 0) return x;
        using scalar = typename M::scalar;
        auto& s = statistics_[layer * n_locations + static_cast<std::size_t>(where)];
        std::span<scalar const> const values(x.data(), x.size());
        s.first_token.observe(values.first(x.cols()));
        s.behind_first.observe(values.subspan(x.cols()));
        return x;
    }

    [[nodiscard]] activation_statistics const& at(std::size_t layer, location where) const {
        return statistics_.at(layer * n_locations + static_cast<std::size_t>(where));
    }

private:
    coverage covered_;
    std::vector<activation_statistics> statistics_;
};

/// Distributions of a decoder's activations on windows, which it runs in floating point from their beginnings.
///
/// Errors    std::invalid_argument for tokens outside the vocabulary
template <class M>
[[nodiscard]] distribution_tap activation_distributions(decoder<M> const& m, token_sequences const& windows,
                                                        coverage covered,
                                                        progress_callback const& progress = {}) {
    distribution_tap tap(covered, m.layers.size());
    runner<M> const run = windows_runner(m, windows);
    std::size_t done = 0;
    for (auto const& window : windows) {
        static_cast<void>(run.logits(window, tap));
        if (progress) progress(++done, windows.size());
    }
    return tap;
}

}  // namespace commutant
