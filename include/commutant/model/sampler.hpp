// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <commutant/core/random.hpp>

namespace commutant {

/// How the next token is chosen.
struct sampling_options {
    double temperature = 0;  ///< logits are divided by it; 0: always the most likely token
    std::size_t top_k = 0;   ///< only this many of the most likely tokens can be chosen; 0: all
    std::uint64_t seed = 1;
};

/// Chooses tokens from logits.
///
/// Equation  p_i proportional to exp(logit_i / temperature) over the top_k largest logits
/// Note      equal logits: the lowest id counts as the most likely
/// Errors    std::invalid_argument for a temperature that is negative or not finite
class sampler {
public:
    explicit sampler(sampling_options const& options) : options_(options), random_(options.seed) {
        if (!(options.temperature >= 0) || !std::isfinite(options.temperature))
            throw std::invalid_argument("sampler: temperature is " + std::to_string(options.temperature) +
                                        ", expected a finite number, 0 or above");
    }

    /// Id of the next token.  logits: [vocab_size], at least one, none of them NaN
    [[nodiscard]] std::int32_t operator()(std::span<float const> logits) {
        if (options_.temperature == 0)
            return static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
        order_.resize(logits.size());
        for (std::size_t i = 0; i < order_.size(); ++i) order_[i] = static_cast<std::int32_t>(i);
        std::size_t const n = options_.top_k == 0 ? order_.size() : std::min(options_.top_k, order_.size());
        auto const more_likely = [&](std::int32_t a, std::int32_t b) {
            float const x = logits[static_cast<std::size_t>(a)], y = logits[static_cast<std::size_t>(b)];
            return x > y || (x == y && a < b);
        };
        std::partial_sort(order_.begin(), order_.begin() + static_cast<std::ptrdiff_t>(n), order_.end(),
                          more_likely);
        auto const weight = [&](std::size_t i) {
            auto const logit = [&](std::size_t k) {
                return static_cast<double>(logits[static_cast<std::size_t>(order_[k])]);
            };
            return std::exp((logit(i) - logit(0)) / options_.temperature);
        };
        double total = 0;
        for (std::size_t i = 0; i < n; ++i) total += weight(i);
        double rest = random_.next_unit() * total;
        for (std::size_t i = 0; i + 1 < n; ++i) {
            rest -= weight(i);
            if (rest < 0) return order_[i];
        }
        return order_[n - 1];
    }

private:
    sampling_options options_;
    random_source random_;
    std::vector<std::int32_t> order_{};
};

}  // namespace commutant
