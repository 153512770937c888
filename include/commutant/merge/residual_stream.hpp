// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/merge/linear_sides.hpp>
#include <commutant/model/decoder.hpp>

namespace commutant {

/// A norm's gain into a linear behind it.
///
/// Equation  W <- W diag(gain)
/// Shape     gain: [1, in_features]
template <class W, class M> constexpr void fold_gain(M const& gain, linear<W>& reader) {
    update_row_blocks(reader.weight, 1,
                      [&](std::size_t, auto const& row) { return scale_columns(row, gain); });
}

/// Both norms' gains of a block into the linears behind them; the gains become empty, that is, one everywhere.
template <class M, class L> constexpr void fold_gains(decoder_layer<M, L>& l) {
    if (l.attention_norm.rows() != 0)
        for (L* reader : {&l.q_proj, &l.k_proj, &l.v_proj}) fold_gain(l.attention_norm, *reader);
    if (l.ffn_norm.rows() != 0)
        for (L* reader : {&l.gate_proj, &l.up_proj}) fold_gain(l.ffn_norm, *reader);
    l.attention_norm = l.ffn_norm = M{};
}

/// T_r into a block: readers take x T, writers (and their biases) give y T. Gains must be folded first.
///
/// Shape     t: on model_dim features, orthogonal
template <class M, class L, class T> constexpr void fold_residual_stream(T const& t, decoder_layer<M, L>& l) {
    auto const same = [&](std::size_t) -> T const& { return t; };
    for (L* reader : {&l.q_proj, &l.k_proj, &l.v_proj, &l.gate_proj, &l.up_proj})
        merge_input_side(*reader, dim(t), same);
    for (L* writer : {&l.o_proj, &l.down_proj}) merge_output_side(*writer, dim(t), same);
}

/// Gives a tied model a head of its own, so that embedding and head can be written differently.
template <class M, class L, class D> constexpr void untie_head(decoder<M, L, D>& m) {
    if (m.lm_head.weight.rows() == 0) m.lm_head.weight = m.embedding;
    m.config.tied_head = false;
}

}  // namespace commutant
