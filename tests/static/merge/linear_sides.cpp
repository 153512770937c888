// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <cstddef>

#include <commutant/core/prime_field.hpp>
#include <commutant/merge/linear_sides.hpp>
#include <commutant/merge/residual_stream.hpp>
#include <commutant/transforms/block_hadamard.hpp>
#include <commutant/transforms/channel_scale.hpp>
#include <commutant/transforms/dense.hpp>
#include <commutant/transforms/orthogonal.hpp>
#include <commutant/transforms/permutation.hpp>
#include <commutant/transforms/scaled_rotation.hpp>
#include <commutant/transforms/value.hpp>

namespace cm = commutant;

// One linear, one merge: merged on the output side it gives y T, merged on the input side it wants x T.

namespace {

using M = cm::matrix<cm::prime_field>;
constexpr std::size_t block = 2, n_blocks = 2, in_features = block * n_blocks,
                      out_features = block * n_blocks;

struct scene {
    cm::random_source random{11};
    cm::parameter_source<cm::prime_field> source{random};
    M x = cm::parameter_matrix<M>(source, 3, in_features, 0);
    cm::linear<M> l{cm::parameter_matrix<M>(source, out_features, in_features, 0),
                    cm::parameter_matrix<M>(source, 1, out_features, 0)};

    constexpr scene() = default;
    scene(scene const&) = delete;

    template <class Kind> constexpr auto transform() {
        return cm::make_transform<Kind, M>(source, {block, block, cm::pairing::half_split});
    }
};

/// x with block i of its columns taken through transform i.
template <class T> constexpr M applied(T const* t, M const& x) {
    return cm::mapped_column_blocks(x, block,
                                    [&](std::size_t i, M const& cols) { return apply(t[i], cols); });
}

template <class Kind> consteval bool output_side_gives_transformed_rows() {
    scene s;
    decltype(s.transform<Kind>()) const t[]{s.transform<Kind>(), s.transform<Kind>()};
    M const expected = applied(t, forward(s.l, s.x));
    cm::merge_output_side(
        s.l, block, [&](std::size_t i) -> auto const& { return t[i]; });
    return forward(s.l, s.x) == expected;
}
template <class Kind> consteval bool input_side_takes_transformed_rows() {
    scene s;
    decltype(s.transform<Kind>()) const t[]{s.transform<Kind>(), s.transform<Kind>()};
    M const expected = forward(s.l, s.x);
    cm::merge_input_side(
        s.l, block, [&](std::size_t i) -> auto const& { return t[i]; });
    return forward(s.l, applied(t, s.x)) == expected && forward(s.l, s.x) != expected;
}

static_assert(output_side_gives_transformed_rows<cm::dense>());
static_assert(output_side_gives_transformed_rows<cm::orthogonal>());
static_assert(output_side_gives_transformed_rows<cm::channel_scale>());
static_assert(output_side_gives_transformed_rows<cm::scaled_rotation>());
static_assert(output_side_gives_transformed_rows<cm::permutation>());
static_assert(output_side_gives_transformed_rows<cm::block_hadamard>());
static_assert(input_side_takes_transformed_rows<cm::dense>());
static_assert(input_side_takes_transformed_rows<cm::orthogonal>());
static_assert(input_side_takes_transformed_rows<cm::channel_scale>());
static_assert(input_side_takes_transformed_rows<cm::scaled_rotation>());
static_assert(input_side_takes_transformed_rows<cm::block_hadamard>());

// A linear without a bias keeps none.
static_assert([] {
    scene s;
    auto const t = s.transform<cm::dense>();
    s.l.bias = M{};
    M const expected = cm::mapped_column_blocks(forward(s.l, s.x), block,
                                                [&](std::size_t, M const& cols) { return apply(t, cols); });
    cm::merge_output_side(
        s.l, block, [&](std::size_t) -> auto const& { return t; });
    return forward(s.l, s.x) == expected && !s.l.has_bias();
}());

// A gain in front of a linear is a scale of its columns; the bias is behind.
static_assert([] {
    scene s;
    M const gain = cm::parameter_matrix<M>(s.source, 1, in_features, 1);
    M const expected = forward(s.l, scale_columns(s.x, gain));
    cm::fold_gain(gain, s.l);
    return forward(s.l, s.x) == expected;
}());

}  // namespace
