// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <commutant/model/forward.hpp>
#include <commutant/model/rope_angles.hpp>

namespace commutant {

/// Tokens that a reading runs through all layers at a time, unless told otherwise; 0: all that are given.
template <class M> inline constexpr std::size_t tokens_at_a_time = 0;

/// A decoder ready to run: its RoPE table, its constants, and checks of what it is asked.
///
/// The decoder must outlive the runner.
template <class M, class Decoder = decoder<M>> class runner {
public:
    using scalar = typename M::scalar;

    /// Positions beyond the table are refused; by default it reaches max_positions.
    explicit runner(Decoder const& m, std::size_t n_positions = 0,
                    std::size_t at_a_time = tokens_at_a_time<M>)
        : decoder_(&m),
          at_a_time_(at_a_time),
          constants_{static_cast<scalar>(1 / std::sqrt(static_cast<double>(m.config.head_dim))),
                     static_cast<scalar>(m.config.rms_norm_eps)},
          table_(rope_table<M>(m.config, n_positions == 0 ? m.config.max_positions : n_positions)) {}

    [[nodiscard]] Decoder const& model() const { return *decoder_; }

    /// Logits of tokens that follow what the cache holds: [tokens.size(), vocab_size].
    ///
    /// tap       (location, layer, M) -> M, called at every activation
    /// Errors    std::invalid_argument for a token outside the vocabulary or a position beyond the table
    template <class Tap>
    [[nodiscard]] M logits(std::span<int const> tokens, kv_cache<M>& cache, Tap& tap) const {
        if (cache.length + tokens.size() > table_.cosine.rows())
            throw std::invalid_argument("logits: position " +
                                        std::to_string(cache.length + tokens.size() - 1) +
                                        " asked for, expected below " + std::to_string(table_.cosine.rows()));
        for (int const token : tokens)
            if (token < 0 || static_cast<std::size_t>(token) >= decoder_->config.vocab_size)
                throw std::invalid_argument("logits: token " + std::to_string(token) + ", expected 0 .. " +
                                            std::to_string(decoder_->config.vocab_size - 1));
        if (at_a_time_ == 0 || tokens.size() <= at_a_time_)
            return commutant::logits(*decoder_, constants_, table_, tokens, cache, tap);
        M all(tokens.size(), decoder_->config.vocab_size);
        for (std::size_t begin = 0; begin < tokens.size(); begin += at_a_time_)
            set_row_block(
                all, begin,
                commutant::logits(*decoder_, constants_, table_,
                                  tokens.subspan(begin, std::min(at_a_time_, tokens.size() - begin)), cache,
                                  tap));
        return all;
    }

    /// Logits of a window that starts at position 0.
    template <class Tap> [[nodiscard]] M logits(std::span<int const> tokens, Tap& tap) const {
        kv_cache<M> cache(decoder_->config);
        return logits(tokens, cache, tap);
    }
    [[nodiscard]] M logits(std::span<int const> tokens) const {
        no_tap tap;
        return logits(tokens, tap);
    }

private:
    Decoder const* decoder_;
    std::size_t at_a_time_;
    decoder_constants<scalar> constants_;
    rotation_table<M> table_;
};

/// Sum over a window of -log p(next token), and how many tokens were predicted.
struct likelihood {
    double nll = 0;
    std::size_t tokens = 0;

    [[nodiscard]] double per_token() const { return nll / static_cast<double>(tokens); }
    likelihood& operator+=(likelihood const& o) {
        nll += o.nll, tokens += o.tokens;
        return *this;
    }
};

/// Negative log-likelihood of window[1 ..] given what stands before, in double precision from the logits on.
///
/// Units     natural logarithm
template <class M, class Decoder, class Tap>
[[nodiscard]] likelihood window_likelihood(runner<M, Decoder> const& r, std::span<int const> window,
                                           Tap& tap) {
    if (window.size() < 2) return {};
    M const z = r.logits(window.first(window.size() - 1), tap);
    likelihood total;
    for (std::size_t i = 0; i < z.rows(); ++i) {
        double largest = z(i, 0), sum = 0;
        for (std::size_t v = 1; v < z.cols(); ++v) largest = std::max(largest, static_cast<double>(z(i, v)));
        for (std::size_t v = 0; v < z.cols(); ++v) sum += std::exp(static_cast<double>(z(i, v)) - largest);
        total.nll +=
            largest + std::log(sum) - static_cast<double>(z(i, static_cast<std::size_t>(window[i + 1])));
        ++total.tokens;
    }
    return total;
}

}  // namespace commutant
