// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

#include <commutant/model/decoder.hpp>
#include <commutant/transforms/fixed.hpp>

namespace commutant {

/// Heads of an attention block, for merges on the caller's buffers.
struct heads {
    std::size_t n_heads = 0;
    std::size_t n_kv_heads = 0;
    std::size_t head_dim = 0;
    [[nodiscard]] constexpr std::size_t n_rep() const { return n_heads / n_kv_heads; }
};

/// Heads whose width the type knows.
template <std::size_t HeadDim> struct fixed_heads : heads {
    static constexpr std::size_t static_dim = HeadDim;
    constexpr fixed_heads(std::size_t n_query, std::size_t n_kv) : heads{n_query, n_kv, HeadDim} {}
};

/// Heads whose width and RoPE pairing the type knows.
template <std::size_t HeadDim, pairing P> struct rope_heads : fixed_heads<HeadDim> {
    static constexpr pairing static_pairing = P;
    using fixed_heads<HeadDim>::fixed_heads;
};

namespace detail {
[[noreturn]] inline void throw_shape(std::string const& api, std::string const& what, std::size_t found,
                                     std::string const& formula, std::size_t expected) {
    throw std::invalid_argument(api + ": " + what + " " + std::to_string(found) + ", expected " + formula +
                                " = " + std::to_string(expected));
}
inline void require_rows(char const* api, char const* weight, std::size_t found, std::string const& formula,
                         std::size_t expected) {
    if (found != expected) throw_shape(api, std::string(weight) + " has rows", found, formula, expected);
}
inline void require_cols(char const* api, char const* weight, std::size_t found, std::string const& formula,
                         std::size_t expected) {
    if (found != expected) throw_shape(api, std::string(weight) + " has columns", found, formula, expected);
}
template <class W> void require_bias(char const* api, char const* name, linear<W> const& l) {
    if (l.has_bias() && (l.bias.rows() != 1 || l.bias.cols() != l.weight.rows()))
        throw_shape(api, std::string(name) + "'s bias has elements", l.bias.rows() * l.bias.cols(),
                    "its rows", l.weight.rows());
}
inline void require_heads(char const* api, heads const& g) {
    if (g.n_kv_heads == 0 || g.n_heads % g.n_kv_heads != 0)
        throw std::invalid_argument(std::string(api) + ": " + std::to_string(g.n_heads) +
                                    " query heads over " + std::to_string(g.n_kv_heads) +
                                    " kv heads, expected a multiple");
}
template <class T>
void require_per_kv_head(char const* api, std::vector<T> const& of_kv_head, heads const& g) {
    if (of_kv_head.size() != g.n_kv_heads)
        throw_shape(api, "transforms given:", of_kv_head.size(), "n_kv_heads", g.n_kv_heads);
    for (T const& t : of_kv_head)
        if (dim(t) != g.head_dim)
            throw_shape(api, "a transform acts on features:", dim(t), "head_dim", g.head_dim);
}
inline std::string product_text(char const* a, std::size_t x, std::size_t y) {
    return std::string(a) + " = " + std::to_string(x) + " * " + std::to_string(y);
}
template <class M, class L>
void require_layer_shapes(std::string const& api, decoder_layer<M, L> const& l, model_config const& c) {
    std::size_t const q_dim = c.n_heads * c.head_dim, kv_dim = c.n_kv_heads * c.head_dim;
    auto const check = [&](char const* name, L const& linear, std::size_t out, std::size_t in) {
        require_rows(api.c_str(), name, linear.weight.rows(), "the configuration's", out);
        require_cols(api.c_str(), name, linear.weight.cols(), "the configuration's", in);
        require_bias(api.c_str(), name, linear);
    };
    check("q_proj", l.q_proj, q_dim, c.model_dim);
    check("k_proj", l.k_proj, kv_dim, c.model_dim);
    check("v_proj", l.v_proj, kv_dim, c.model_dim);
    check("o_proj", l.o_proj, c.model_dim, q_dim);
    check("gate_proj", l.gate_proj, c.ffn_dim, c.model_dim);
    check("up_proj", l.up_proj, c.ffn_dim, c.model_dim);
    check("down_proj", l.down_proj, c.model_dim, c.ffn_dim);
}
}  // namespace detail

}  // namespace commutant
