// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

#include <commutant/core/random.hpp>
#include <commutant/model/named_tensors.hpp>
#include <commutant/readings/eigen_matrix.hpp>
#include <commutant/recipes/token_sequences.hpp>

// Sixteen hexadecimal digits that tell models and texts apart, for files that belong to one of them. They guard against mixing
// files up, not against a forger.

namespace commutant {

namespace detail {

/// Takes in one word after the other.
class digest {
public:
    void take(std::uint64_t word) { state_ = mix(state_ + word + 1); }
    void take(std::string_view text) {
        take(text.size());
        for (char const c : text) take(static_cast<std::uint64_t>(static_cast<unsigned char>(c)));
    }
    /// A number by its bits.
    template <std::floating_point T> void take(T x) {
        std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t> word = 0;
        static_assert(sizeof word == sizeof x);
        std::memcpy(&word, &x, sizeof word);
        take(static_cast<std::uint64_t>(word));
    }
    [[nodiscard]] std::string text() const {
        char buffer[20];
        std::snprintf(buffer, sizeof buffer, "%016llx", static_cast<unsigned long long>(state_));
        return buffer;
    }

private:
    std::uint64_t state_ = 0;
};

}  // namespace detail

/// Of a text.
[[nodiscard]] inline std::string fingerprint(std::string_view text) {
    detail::digest d;
    d.take(text);
    return d.text();
}

/// Of windows: their lengths and tokens.
[[nodiscard]] inline std::string fingerprint(token_sequences const& windows) {
    detail::digest d;
    for (auto const& window : windows) {
        d.take(static_cast<std::uint64_t>(window.size()));
        for (int const token : window) d.take(static_cast<std::uint64_t>(token));
    }
    return d.text();
}

/// Of a decoder: what its configuration computes with, and names and bits of all tensors.
template <class T> [[nodiscard]] std::string fingerprint(decoder<eigen_matrix<T>> const& model) {
    detail::digest d;
    auto const& c = model.config;
    for (double const x : {c.rms_norm_eps, c.rope_theta}) d.take(x);
    for (std::size_t const n : {c.n_layers, c.model_dim, c.ffn_dim, c.n_heads, c.n_kv_heads, c.head_dim,
                                c.rotary_dim, c.max_positions})
        d.take(static_cast<std::uint64_t>(n));
    visit_tensors(model, [&](std::string const& name, eigen_matrix<T> const& w) {
        d.take(name);
        for (std::size_t k = 0; k < w.size(); ++k) d.take(w.data()[k]);
    });
    return d.text();
}

}  // namespace commutant
