// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <utility>

#include "output.hpp"
#include "runs.hpp"

// The bodies of runs.hpp, for the two files that instantiate them.

namespace program {

template <class M> M window_logits(cm::decoder<M> const& m, std::span<int const> window) {
    return cm::runner<M>(m, window.size()).logits(window);
}

template <class M>
cm::likelihood labelled_likelihood(char const* label, cm::decoder<M> const& m,
                                   cm::token_sequences const& windows, std::size_t n_threads) {
    progress_bar bar(label);
    return cm::windows_likelihood(m, windows, std::ref(bar), n_threads);
}

template <class M>
cm::likelihood labelled_likelihood(char const* label, cm::quantized_decoder<M> const& q,
                                   cm::token_sequences const& windows, std::size_t n_threads) {
    progress_bar bar(label);
    return cm::windows_likelihood(q, windows, std::ref(bar), n_threads);
}

template <class Runner, class Cache, class Tap>
generation generated_by(Runner const& run, Cache cache, Tap tap, generation_request const& request) {
    using clock = std::chrono::steady_clock;
    auto const seconds_since = [](clock::time_point begin) {
        return std::chrono::duration<double>(clock::now() - begin).count();
    };
    cm::sampler choose(request.sampling);
    generation r;
    auto begin = clock::now();
    std::vector<std::int32_t> next = request.prompt;
    while (r.tokens.size() < request.n_tokens) {
        auto const logits = run.logits(std::span<int const>(next), cache, tap);
        std::size_t const n = logits.cols();
        std::int32_t const token = choose({logits.data() + (logits.rows() - 1) * n, n});
        if (r.n_steps == 0 && r.tokens.empty())
            r.prompt_seconds = seconds_since(begin), begin = clock::now();
        else
            ++r.n_steps;
        if (request.stop && token == *request.stop) break;
        r.tokens.push_back(token);
        next.assign(1, token);
    }
    r.decode_seconds = seconds_since(begin);
    return r;
}

template <class M>
cm::quantized_decoder<M> labelled_quantized(char const* label, cm::decoder<M> m,
                                            cm::token_sequences const& calibration_windows,
                                            cm::quantization_settings const& settings) {
    progress_bar bar(label);
    return cm::quantize_decoder(std::move(m), calibration_windows, settings, std::ref(bar));
}

}  // namespace program
