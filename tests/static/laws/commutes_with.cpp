// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

#include <commutant/laws/commutes_with.hpp>
#include <commutant/recipes/fptquant.hpp>
#include <commutant/sites/admissible.hpp>
#include <commutant/transforms/permutation.hpp>

namespace cm = commutant;
namespace op = cm::operators;
using half_split = op::rope<cm::pairing::half_split>;
using interleaved = op::rope<cm::pairing::interleaved>;

// Every lemma is a polynomial identity: it holds for all parameter values. Each has a twin that fails it.

// Slightly wrong siblings of a scaled rotation.
struct full_block {
    template <class S> static constexpr cm::block2<S> block(S const& a, S const& b, S const& c, S const& d) {
        return {a, b, c, d};
    }
};
struct reflection {
    template <class S> static constexpr cm::block2<S> block(S const& a, S const& b) { return {a, b, b, -a}; }
};
struct shear {
    template <class S> static constexpr cm::block2<S> block(S const& a) { return {1, a, 0, 1}; }
};
struct unequal_scales {
    template <class S> static constexpr cm::block2<S> block(S const& a, S const& b) { return {a, 0, 0, b}; }
};
// The same rotation written another way: constants in the formula, one parameter.
struct shifted_rotation {
    template <class S> static constexpr cm::block2<S> block(S const& a) {
        return {1 + a, a * a, -a * a, a + 1};
    }
};

// Scaled rotations and RoPE, in both pairings.
static_assert(cm::commutes_with<cm::scaled_rotation, half_split> &&
              cm::commutes_with<cm::scaled_rotation, interleaved>);
static_assert(cm::commutes_with<shifted_rotation, half_split> &&
              cm::commutes_with<shifted_rotation, interleaved>);
static_assert(!cm::commutes_with<full_block, half_split> && !cm::commutes_with<full_block, interleaved>);
static_assert(!cm::commutes_with<reflection, half_split> && !cm::commutes_with<reflection, interleaved>);
static_assert(!cm::commutes_with<shear, half_split> && !cm::commutes_with<shear, interleaved>);
static_assert(!cm::commutes_with<unequal_scales, half_split> &&
              !cm::commutes_with<unequal_scales, interleaved>);
static_assert(!cm::commutes_with<cm::channel_scale, half_split> && !cm::commutes_with<cm::dense, half_split>);
static_assert(!cm::commutes_with<cm::block_hadamard, half_split> &&
              !cm::commutes_with<cm::orthogonal, half_split>);

// A^-T is the right partner on queries, for any invertible A.
static_assert(cm::commutes_with<cm::scaled_rotation, op::query_key_product>);
static_assert(cm::commutes_with<full_block, op::query_key_product> &&
              cm::commutes_with<shear, op::query_key_product>);
static_assert(cm::commutes_with<cm::dense, op::query_key_product>);

// Its inverse is not, nor is its transpose: the twin lemma, with the wrong partner.
template <class Partner> constexpr bool cancels(Partner partner) {
    cm::parameter_source<cm::rational_function> source(4);
    auto const t =
        cm::make_transform<cm::scaled_rotation, cm::symbolic_matrix>(source, {2, 2, cm::pairing::half_split});
    auto const k = cm::detail::symbols(0, 1, 2), q = cm::detail::symbols(2, 1, 2);
    return product_transposed(apply(partner(t), q), apply(t, k)) == product_transposed(q, k);
}
static_assert(cancels([](auto const& t) { return inverse_transpose(t); }));
static_assert(!cancels([](auto const& t) { return inverse(t); }));
static_assert(!cancels([](auto const& t) { return transpose(t); }));
static_assert(!cancels([](auto const& t) { return t; }));

// Diagonals pass the gate product on its linear side; a permutation on both; nothing denser does.
static_assert(cm::commutes_with<cm::channel_scale, op::gate_product>);
static_assert(cm::commutes_with<cm::permutation, op::gate_product>);
static_assert(!cm::commutes_with<cm::dense, op::gate_product>);
static_assert(!cm::commutes_with<cm::orthogonal, op::gate_product>);
static_assert(!cm::commutes_with<cm::scaled_rotation, op::gate_product>);

// Any matrix passes attention mixing, with every group's values repeated over its query heads.
static_assert(cm::commutes_with<cm::dense, op::attention_mixing> &&
              cm::commutes_with<cm::orthogonal, op::attention_mixing>);
static_assert(cm::commutes_with<cm::channel_scale, op::attention_mixing>);

// Orthogonal matrices pass RMSNorm.
static_assert(cm::commutes_with<cm::orthogonal, op::rms_norm> &&
              cm::commutes_with<cm::block_hadamard, op::rms_norm>);
static_assert(cm::commutes_with<cm::permutation, op::rms_norm>);
static_assert(!cm::commutes_with<cm::dense, op::rms_norm> &&
              !cm::commutes_with<cm::channel_scale, op::rms_norm>);
static_assert(!cm::commutes_with<cm::scaled_rotation, op::rms_norm>);

// Inverses undo.
static_assert(cm::commutes_with<cm::dense, op::nothing> && cm::commutes_with<cm::orthogonal, op::nothing>);
static_assert(cm::commutes_with<cm::block_hadamard, op::nothing> &&
              cm::commutes_with<cm::permutation, op::nothing>);
static_assert(cm::commutes_with<cm::scaled_rotation, op::nothing> &&
              cm::commutes_with<cm::channel_scale, op::nothing>);

// The sites' table, yes and no.
static_assert(cm::admissible_at_query_key<cm::scaled_rotation> && !cm::admissible_at_query_key<cm::dense>);
static_assert(cm::admissible_at_value_output<cm::dense> && cm::admissible_at_value_output<cm::orthogonal>);
static_assert(cm::admissible_at_up_down<cm::channel_scale> && cm::admissible_at_up_down<cm::permutation>);
static_assert(!cm::admissible_at_up_down<cm::dense> && !cm::admissible_at_up_down<cm::block_hadamard>);
static_assert(cm::admissible_at_residual_stream<cm::orthogonal> &&
              !cm::admissible_at_residual_stream<cm::dense>);
static_assert(cm::admissible_at_down_input<cm::block_hadamard> && cm::admissible_at_down_input<cm::dense>);
static_assert(cm::lawful<cm::fptquant_plan>);
static_assert(!cm::lawful<cm::plan<cm::at<cm::sites::up_down, cm::dense>>>);
static_assert(!cm::lawful<cm::plan<cm::at<cm::sites::query_key, reflection>>>);
