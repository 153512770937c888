// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstdint>
#include <span>

#include "planting.hpp"

namespace cm = commutant;
using cm::field_matrix;

// S_n carries the normalised stream: its norm adds eps S^2, and what a sub-block returns is scaled by S, bias
// and all.

// eps.

consteval bool is_unchanged_with(cm::eps_rule rule) {
    return cm::is_unchanged_by<cm::families::llama>([rule](auto& model, auto& source) {
        using plan = cm::plan<cm::at<cm::sites::token_scale, cm::residual_scale>>;
        cm::fold_plan(cm::random_transforms<plan, field_matrix>(model.config, source), model);
        model.online.eps = rule;
    });
}
static_assert(is_unchanged_with(cm::eps_rule::exact));
static_assert(!is_unchanged_with(cm::eps_rule::plain));

// The branch.

struct unscaled_bias : cm::scaled_residual<field_matrix> {
    using scaled_residual::scaled_residual;
    [[nodiscard]] constexpr field_matrix branch_bias(field_matrix const& bias) const { return bias; }
};
struct unscaled_branch : cm::scaled_residual<field_matrix> {
    using scaled_residual::scaled_residual;
    [[nodiscard]] constexpr field_matrix branch_input(field_matrix y) const { return y; }
};

// Biases on o_proj only, or on down_proj only, so that each is missed by itself.
template <bool OnAttentionOutput, bool OnMlpOutput> struct biased {
    static constexpr cm::model_config geometry = [] {
        cm::model_config c = cm::families::mistral::geometry;
        c.o_bias = OnAttentionOutput;
        c.mlp_bias = OnMlpOutput;
        return c;
    }();
};

/// Whether logits over a residual stream of the given kind are those of the plain one.
template <class Family, class Residual> consteval bool agrees_with_the_plain_stream() {
    cm::random_source random(0x5eed);
    mistakes::source source(random);
    auto const drawn = cm::random_decoder<field_matrix>(Family::geometry, source);
    auto const angles = cm::detail::random_angles(3, Family::geometry.rotary_dim / 2, source);
    cm::decoder_constants<cm::prime_field> const constants{source.near(1), source.near(0)};
    constexpr std::array<int, 3> tokens{0, 2, 1};
    auto const folded = [&] {
        auto m = drawn;
        cm::fold_gains(m.layers[0]);
        cm::fold_gain(m.final_norm, m.lm_head);
        m.final_norm = field_matrix{};
        return m;
    }();

    cm::no_tap tap;
    cm::kv_cache<field_matrix> plain(Family::geometry), scaled(Family::geometry);
    auto const expected = cm::logits(drawn, constants, angles, std::span<int const>(tokens), plain, tap);
    Residual const stream(cm::gather_rows(drawn.embedding, std::span<int const>(tokens)),
                          constants.rms_norm_eps);
    return cm::logits_from(folded, constants, stream, angles, scaled, tap) == expected;
}

using cm::scaled_residual;
static_assert(agrees_with_the_plain_stream<biased<true, false>, scaled_residual<field_matrix>>());
static_assert(!agrees_with_the_plain_stream<biased<true, false>, unscaled_bias>());
static_assert(agrees_with_the_plain_stream<biased<false, true>, scaled_residual<field_matrix>>());
static_assert(!agrees_with_the_plain_stream<biased<false, true>, unscaled_bias>());

// Without a bias there is nothing to miss but the branch itself.
static_assert(agrees_with_the_plain_stream<biased<false, false>, unscaled_bias>());
static_assert(!agrees_with_the_plain_stream<biased<false, false>, unscaled_branch>());
static_assert(!agrees_with_the_plain_stream<biased<true, true>, unscaled_branch>());
