// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <span>
#include <vector>

#include "planting.hpp"

namespace cm = commutant;

// T_d runs online in front of down_proj, and its inverse is merged into down_proj's columns.

struct wide_mlp {
    static constexpr cm::model_config geometry = [] {
        cm::model_config c = cm::families::llama::geometry;
        c.ffn_dim = 12;
        return c;
    }();
};

struct widths {
    std::size_t online, merged;  // 0: not at all
};

consteval bool is_unchanged_with_blocks_of(widths w) {
    return cm::is_unchanged_by<wide_mlp>([w](auto& model, auto&) {
        std::size_t const n = model.config.ffn_dim;
        if (w.online != 0) model.online.down_input = cm::block_hadamard_map(n, w.online);
        if (w.merged == 0) return;
        cm::block_hadamard_map const t(n, w.merged);
        cm::merge_input_side(model.layers[0].down_proj, n, mistakes::for_all_blocks(t));
    });
}
static_assert(is_unchanged_with_blocks_of({.online = 4, .merged = 4}));
static_assert(!is_unchanged_with_blocks_of({.online = 4, .merged = 0}));
static_assert(!is_unchanged_with_blocks_of({.online = 0, .merged = 4}));
static_assert(!is_unchanged_with_blocks_of({.online = 4, .merged = 2}));

// Paley's matrix of order 12 is not symmetric: its inverse is its transpose, not itself. Here it is left
// without the factor 1 / sqrt(12), which the field does not have; the merge has 1 / 12 instead.
struct paley_twelve {
    cm::hadamard_side side = cm::hadamard_side::plain;
    cm::prime_field factor = 1;
};

constexpr cm::field_matrix apply(paley_twelve t, cm::field_matrix x) {
    constexpr cm::hadamard_order order{12, 1};
    auto const core = cm::hadamard_rows<12>();
    std::vector<cm::prime_field> scratch(cm::hadamard_scratch_size(order));
    for (std::size_t i = 0; i < x.rows(); ++i)
        cm::apply_hadamard(x.data() + 12 * i, 1, order, core.view(),
                           std::span<cm::prime_field>(scratch.data(), scratch.size()), t.side);
    return scaled(x, t.factor);
}

/// The merge applies this to the columns of down_proj; right is H / 12, the inverse transpose of H.
consteval bool is_unchanged_when_merging(paley_twelve partner) {
    return cm::is_unchanged_by<wide_mlp, paley_twelve>([partner](auto& model, auto&) {
        model.online.down_input = paley_twelve{};
        model.layers[0].down_proj.weight = apply(partner, model.layers[0].down_proj.weight);
    });
}
constexpr cm::prime_field twelfth = reciprocal(cm::prime_field(12));
static_assert(is_unchanged_when_merging({cm::hadamard_side::plain, twelfth}));
// H taken for symmetric.
static_assert(!is_unchanged_when_merging({cm::hadamard_side::transposed, twelfth}));
// H taken for normalised, or normalised by another factor than its order.
static_assert(!is_unchanged_when_merging({cm::hadamard_side::plain, 1}));
static_assert(!is_unchanged_when_merging({cm::hadamard_side::plain, reciprocal(cm::prime_field(4))}));
