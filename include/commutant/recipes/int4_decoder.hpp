// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <commutant/engine/engine_cache.hpp>
#include <commutant/engine/engine_linear.hpp>
#include <commutant/recipes/quantized_decoder.hpp>

namespace commutant {

/// A tap that leaves codes where quantizing_tap leaves rounded floats: inputs of linears become codes, keys and values
/// are told how the cache rounds them.
///
/// Note      the settings and the grids must outlive the tap
class engine_tap {
public:
    engine_tap(quantization_settings const& settings, activation_grids const& grids)
        : settings_(&settings), grids_(&grids) {}

    [[nodiscard]] engine_rows operator()(location where, std::size_t layer, engine_rows x) const {
        if (!is_quantized(*settings_, where)) return x;
        activation_settings const& s = settings_at(*settings_, where);
        bool const dynamic = s.timing == grid_timing::dynamic_grid;
        if (where == location::key || where == location::value) {
            x.cache_as({s.num_bits, dynamic, s.symmetric, dynamic ? grid{} : grids_->at(layer, where)});
            return x;
        }
        return dynamic ? x.quantized_per_token(s.num_bits, s.symmetric)
                       : x.quantized(grids_->at(layer, where));
    }

private:
    quantization_settings const* settings_;
    activation_grids const* grids_;
};

/// A quantised decoder that runs in integers: INT4 weights, codes for activations, a packed KV cache.
struct int4_decoder {
    decoder<engine_rows, engine_linear, engine_hadamard> model{};
    quantization_settings settings{};
    activation_grids grids{};

    /// What to run the model with.
    [[nodiscard]] engine_tap tap() const { return {settings, grids}; }
    [[nodiscard]] runner<engine_rows, decltype(model)> make_runner(
        std::size_t n_positions = 0, std::size_t at_a_time = tokens_at_a_time<engine_rows>) const {
        return runner<engine_rows, decltype(model)>(model, n_positions, at_a_time);
    }
};

/// Refuses settings that the integer kernels do not run.
///
/// Errors    std::invalid_argument naming the setting
inline void require_int4(quantization_settings const& settings) {
    auto const refuse = [](std::string const& what, std::string const& expected) {
        throw std::invalid_argument("int4 engine: " + what + ", expected " + expected);
    };
    weight_settings const& w = settings.weights;
    if (w.num_bits > 4) refuse("weights have " + std::to_string(w.num_bits) + " bits", "2 to 4");
    if (!w.symmetric) refuse("weights are asymmetric", "symmetric ones");
    if (w.scope == granularity::per_group && w.group_size % 8 != 0)
        refuse("weights have groups of " + std::to_string(w.group_size), "a multiple of 8");
    if (settings.activations.num_bits > 8)
        refuse("activations are floating point", "2 to 8 bits (for instance --bits 4-8-4)");
    if (settings.covers != coverage::linears_kv)
        refuse("the coverage is " + std::string(to_string(settings.covers)), "linears_kv");
}

namespace detail {

template <class M> [[nodiscard]] engine_rows to_engine(M const& m) {
    engine_rows r(m.rows(), m.cols());
    float* const out = r.data();
    for (std::size_t k = 0; k < m.size(); ++k) out[k] = static_cast<float>(m.data()[k]);
    return r;
}

/// Codes of a weight whose values lie on its grids.
template <class M>
[[nodiscard]] kernels::int4_weights to_int4(M const& w, std::vector<grid> const& grids,
                                            weight_settings const& s) {
    using scalar = typename M::scalar;
    std::size_t const slice = w.size() / grids.size();
    std::vector<std::int8_t> codes(w.size());
    std::vector<float> scales;
    for (std::size_t i = 0; i < grids.size(); ++i) {
        quantize(std::span<scalar const>(w.data() + i * slice, slice), grids[i],
                 std::span<std::int8_t>(codes.data() + i * slice, slice));
        scales.push_back(grids[i].scale);
    }
    bool const grouped = s.scope == granularity::per_group;
    if (!grouped) scales.resize(w.rows(), scales.front());  // one per tensor becomes one per channel
    return kernels::int4_weights(codes, w.rows(), w.cols(), scales, grouped ? s.group_size : 0);
}

}  // namespace detail

/// The decoder that runs in integers what q runs in fake quantisation.
///
/// threads   workers of its products and loops; what they belong to must outlive the result
/// Errors    std::invalid_argument for settings that require_int4 refuses
template <class M>
[[nodiscard]] int4_decoder to_int4(quantized_decoder<M> const& q, kernels::executor const& threads = {}) {
    require_int4(q.settings);
    int4_decoder r;
    r.settings = q.settings;
    r.grids = q.grids;
    r.model.config = q.model.config;
    r.model.online.token_scale = q.model.online.token_scale;
    r.model.online.eps = q.model.online.eps;
    if (q.model.online.down_input) r.model.online.down_input.emplace(*q.model.online.down_input);
    r.model.embedding = detail::to_engine(q.model.embedding);
    r.model.embedding.set_threads(threads);
    r.model.final_norm = detail::to_engine(q.model.final_norm);
    r.model.lm_head.weight.floats = detail::to_engine(q.model.lm_head.weight);
    r.model.lm_head.bias = detail::to_engine(q.model.lm_head.bias);
    r.model.layers.resize(q.model.layers.size());
    for (std::size_t i = 0; i < r.model.layers.size(); ++i) {
        auto const& from = q.model.layers[i];
        auto& to = r.model.layers[i];
        to.attention_norm = detail::to_engine(from.attention_norm);
        to.ffn_norm = detail::to_engine(from.ffn_norm);
        to.q_norm = detail::to_engine(from.q_norm);
        to.k_norm = detail::to_engine(from.k_norm);
    }
    std::vector<linear<M> const*> sources;
    visit_block_linears(q.model, [&](std::string const&, linear<M> const& l) { sources.push_back(&l); });
    std::size_t next = 0;
    visit_block_linears(r.model, [&](std::string const& name, engine_linear& l) {
        linear<M> const& from = *sources[next++];
        l.weight.codes = detail::to_int4(from.weight, q.weight_grids.at(name), q.settings.weights);
        l.weight.is_int4 = true;
        l.bias = detail::to_engine(from.bias);
    });
    return r;
}

/// Negative log-likelihood of windows in integers; see tapped_likelihood.
[[nodiscard]] inline likelihood windows_likelihood(int4_decoder const& q, token_sequences const& windows,
                                                   progress_callback const& progress = {}) {
    return tapped_likelihood(q.model, q.tap(), windows, progress);
}

}  // namespace commutant
