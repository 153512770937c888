// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include <commutant/engine/engine_cache.hpp>
#include <commutant/engine/engine_linear.hpp>
#include <commutant/engine/words.hpp>
#include <commutant/model/decoder.hpp>
#include <commutant/model/forward.hpp>
#include <commutant/model/rope_angles.hpp>

#include "harness/block.hpp"

namespace commutant::bench {

using engine_online_parts = online_parts<engine_hadamard>;

/// Blocks that take turns, the library's own forward pass on them, and whatever linears they are made of: a neighbour's
/// block differs from ours in its linears and in what its taps do.
template <class Linear, class Tap> class block_run {
public:
    using layer_type = decoder_layer<engine_rows, Linear>;

    /// next     gives the layer whose turn it is, and the number of its cache
    block_run(block_problem const& p, std::vector<layer_type> const& layers, std::size_t& turn,
              engine_online_parts const& online, Tap tap, kernels::executor const& threads)
        : layers_(&layers),
          turn_(&turn),
          online_(&online),
          tap_(std::move(tap)),
          config_(p.config),
          constants_{1.0F / std::sqrt(static_cast<float>(p.config.head_dim)), 1e-5F},
          x_(p.tokens, p.config.model_dim),
          n_sequences_(p.n_sequences),
          context_(p.context) {
        std::copy_n(p.x.data(), p.x.size(), x_.data());
        x_.set_threads(threads);
        // Decoding goes on for a while.
        constexpr std::size_t further_positions = 512;
        table_ =
            rope_table<engine_rows>(config_, context_ + p.tokens + (context_ == 0 ? 0 : further_positions));
        if (context_ > 0) fill_caches();
    }

    void operator()() {
        std::size_t const i = (*turn_)++ % layers_->size();
        if (context_ > 0) {
            run((*layers_)[i], caches_[i]);
            return;
        }
        for (std::size_t s = 0; s < n_sequences_; ++s) {
            kv_cache_layer<engine_rows> cache(config_);
            run((*layers_)[i], cache);
        }
    }

    [[nodiscard]] std::span<float const> result() const { return {result_.data(), result_.size()}; }

private:
    void run(layer_type const& layer, kv_cache_layer<engine_rows>& cache) {
        if (online_->token_scale)
            result_ = through(scaled_residual<engine_rows>(x_, constants_.rms_norm_eps, online_->eps), layer,
                              cache);
        else
            result_ = through(plain_residual<engine_rows>(x_, constants_.rms_norm_eps), layer, cache);
    }

    template <class Residual>
    [[nodiscard]] engine_rows through(Residual stream, layer_type const& layer,
                                      kv_cache_layer<engine_rows>& cache) {
        std::size_t const first = cache.length();
        auto const angles = positions(table_, first, x_.rows());
        attention_block(layer, config_, constants_, stream, angles, cache, first, 0, tap_);
        ffn_block(layer, *online_, stream, 0, tap_);
        return stream.read(engine_rows()).evaluated();
    }

    /// Keys and values as the block itself makes them, for as many positions as the context asks.
    void fill_caches() {
        std::size_t const width = config_.n_kv_heads * config_.head_dim;
        engine_rows rows(context_, width);
        std::uint32_t state = 3;
        for (std::size_t i = 0; i < rows.size(); ++i) {
            state = state * 1664525U + 1013904223U;
            rows.data()[i] = static_cast<float>(static_cast<std::int32_t>(state)) * 0x1p-30F;
        }
        for (std::size_t i = 0; i < layers_->size(); ++i) {
            kv_cache_layer<engine_rows>& cache = caches_.emplace_back(config_);
            append(cache, config_, tap_(location::key, 0, rows), tap_(location::value, 0, rows));
        }
    }

    std::vector<layer_type> const* layers_;
    std::size_t* turn_;
    engine_online_parts const* online_;
    Tap tap_;
    model_config config_;
    decoder_constants<float> constants_;
    engine_rows x_;
    engine_rows result_{};
    rotation_table<engine_rows> table_{};
    std::vector<kv_cache_layer<engine_rows>> caches_{};
    std::size_t n_sequences_;
    std::size_t context_;
};

/// T_d of full order and S_n.
[[nodiscard]] inline engine_online_parts both_online_parts(model_config const& c) {
    engine_online_parts r;
    r.down_input.emplace(block_hadamard_map(c.ffn_dim, c.ffn_dim));
    r.token_scale = true;
    return r;
}

/// What a block's seven linears are, in the order of block_problem::linears.
template <class Layer> [[nodiscard]] auto linears_of(Layer& l) {
    return std::array{&l.q_proj, &l.k_proj, &l.v_proj, &l.o_proj, &l.gate_proj, &l.up_proj, &l.down_proj};
}

}  // namespace commutant::bench
