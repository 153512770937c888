// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

#include <commutant/recipes/constant_token_scale.hpp>
#include <commutant/recipes/trained_merge.hpp>
#include <support/training_models.hpp>

namespace cm = commutant;
using namespace cm::testing;

namespace {

/// What down_proj of layer 1 is given, row by row.
running down_inputs(cm::decoder<running> const& m) {
    running all(0, m.config.ffn_dim);
    auto keep = [&](cm::location where, std::size_t layer, running x) {
        if (layer == 1 && where == cm::location::down_input) all = append_rows(all, x);
        return x;
    };
    for (auto const& window : small_windows)
        static_cast<void>(cm::windows_runner(m, small_windows).logits(window, keep));
    return all;
}

}  // namespace

TEST_CASE("mean_token_scales: the geometric mean of what the residual scaling multiplies with", "[recipes]") {
    auto const c = small_config();
    auto const m = small_decoder(c);
    auto p = small_parameters(c, {.chosen = {.up_down = true, .token_scale = true}});
    auto scaled = m;
    cm::fold_parameters(p, cm::eps_rule::exact, scaled);
    running const with = down_inputs(scaled), without = down_inputs(m);
    double sum = 0;
    std::size_t n = 0;
    for (std::size_t i = 0; i < with.rows(); ++i) {
        if (i == 0 || i == small_windows[0].size()) continue;  // BOS
        sum += std::log(with.values.row(with.index(i)).norm() / without.values.row(with.index(i)).norm());
        ++n;
    }
    auto const scales = cm::mean_token_scales(m, small_windows);
    CHECK(scales[1].ffn == Approx(std::exp(sum / static_cast<double>(n))));
    CHECK(scales[0].attention != Approx(scales[1].attention));
    CHECK_THROWS_WITH(cm::mean_token_scales(m, {{1}}), Catch::Contains("no token behind BOS"));
}

TEST_CASE(
    "scale_by_constants: the constants are factors of the inputs of o_proj and down_proj; the function stays",
    "[recipes][merge]") {
    auto const c = small_config();
    auto const m = small_decoder(c);
    auto const scales = cm::mean_token_scales(m, small_windows);
    for (auto const form : {cm::value_form::dense, cm::value_form::svd}) {
        auto const start =
            small_parameters(c, {.chosen = {.value_output = true, .up_down = true}, .values = form});
        auto p = start;
        cm::scale_by_constants(p, scales);
        auto before = m, after = m;
        cm::fold_parameters(start, cm::eps_rule::exact, before);
        cm::fold_parameters(p, cm::eps_rule::exact, after);
        running const x = down_inputs(before), y = down_inputs(after);
        CHECK((y.values - scales[1].ffn * x.values).cwiseAbs().maxCoeff() <
              1e-12 * x.values.cwiseAbs().maxCoeff());
        running const a = start.layers[1].value_output[1].value().forward,
                      b = p.layers[1].value_output[1].value().forward;
        CHECK((b.values - scales[1].attention * a.values).cwiseAbs().maxCoeff() < 1e-12);
        running const before_logits = cm::runner<running>(m).logits(small_tokens),
                      after_logits = cm::runner<running>(after).logits(small_tokens);
        CHECK((after_logits.values - before_logits.values).cwiseAbs().maxCoeff() < 1e-11);
    }
    auto rotated = small_parameters(
        c, {.chosen = {.value_output = true, .up_down = true}, .values = cm::value_form::orthogonal});
    CHECK_THROWS_WITH(cm::scale_by_constants(rotated, scales), Catch::Contains("is a rotation"));
    auto without = small_parameters(c, {.chosen = {.up_down = true}});
    CHECK_THROWS_WITH(cm::scale_by_constants(without, scales), Catch::Contains("expected T_v and T_u"));
}
