// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include <commutant/model/inference.hpp>
#include <commutant/recipes/local_stage.hpp>
#include <support/training_models.hpp>

namespace cm = commutant;
using namespace cm::testing;

namespace {

double relative_deviation(cm::decoder<running> const& a, cm::decoder<running> const& b) {
    running const x = cm::runner<running>(a).logits(small_tokens),
                  y = cm::runner<running>(b).logits(small_tokens);
    return (x.values - y.values).cwiseAbs().maxCoeff() / y.values.cwiseAbs().maxCoeff();
}

bool same_values(cm::transform_parameters<running> const& a, cm::transform_parameters<running> const& b) {
    std::vector<running> of_a, of_b;
    cm::visit_trained(a, [&](auto, auto const&, running const& x) { of_a.push_back(x); });
    cm::visit_trained(b, [&](auto, auto const&, running const& x) { of_b.push_back(x); });
    bool same = of_a.size() == of_b.size();
    for (std::size_t k = 0; same && k < of_a.size(); ++k) same = of_a[k].values == of_b[k].values;
    return same;
}

}  // namespace

TEST_CASE("transform_parameters: every form starts and stays function-preserving, in or out of the plan",
          "[optimize][merge][gqa]") {
    auto const c = small_config();
    auto const base = small_decoder(c);
    for (auto const& forms : all_forms()) {
        auto p = small_parameters(c, forms);
        move_randomly(p);
        for (auto const eps : {cm::eps_rule::exact, cm::eps_rule::plain}) {
            auto merged = base;
            cm::fold_parameters(p, eps, merged);
            CHECK(merged.online.token_scale == forms.chosen.token_scale);
            CHECK(merged.online.down_input.has_value() == forms.chosen.down_input);
            if (eps == cm::eps_rule::exact || !forms.chosen.token_scale)
                CHECK(relative_deviation(merged, base) < 1e-12);
            else
                CHECK(relative_deviation(merged, base) > 1e-6);  // eps of 1e-2
        }
    }
}

TEST_CASE("merge_offline and merge_online: together what fold_parameters does", "[recipes][merge]") {
    auto c = small_config();
    for (bool const normed : {false, true}) {
        c.qk_norm = normed;
        auto const base = small_decoder(c);
        for (auto const& forms : all_forms()) {
            auto p = small_parameters(c, forms);
            CHECK(p.chosen.query_key == (forms.chosen.query_key && !normed));
            move_randomly(p);
            auto whole = base, parts = base;
            cm::fold_parameters(p, cm::eps_rule::exact, whole);
            cm::merge_offline(p, parts, {10, 1e6});
            CHECK_FALSE(parts.online.token_scale);
            CHECK(relative_deviation(parts, base) < 1e-12);
            cm::merge_online(p, cm::eps_rule::exact, parts, {10, 1e6});
            CHECK(relative_deviation(parts, whole) < 1e-13);
            CHECK(parts.online.token_scale == whole.online.token_scale);
        }
    }
}

TEST_CASE("weight norms: the gradient of every trained transform is that of central differences",
          "[optimize][merge][gqa]") {
    auto const c = small_config();
    auto const base = small_decoder(c);
    for (auto const& forms : all_forms()) {
        auto const p = moved_parameters(c, forms);
        auto const norms = [&]<class M>(std::vector<M> const& values) {
            auto m = cm::converted<M>(base);
            cm::fold_parameters(with_values<M>(p, values), cm::eps_rule::exact, m);
            M sizes(0, 1);
            cm::visit_tensors(m, [&](std::string const&, M const& w) {
                if (w.rows() > 1) sizes = append_rows(sizes, mean_square_rows(elementwise_product(w, w)));
            });
            return sizes;
        };
        CHECK(gradient_deviation(values_of(p), norms) < gradient_tolerance);
    }
}

TEST_CASE("local stage: norms fall, every transform has a gradient and moves, and the function stays",
          "[recipes][optimize]") {
    auto const c = small_config();
    auto const base = small_decoder(c);
    for (auto const& forms : all_forms())
        for (bool const sequential : {true, false}) {
            auto const start = small_parameters(c, forms);
            auto p = start;
            cm::local_options const options{.n_steps = 30, .p = 4, .sequential = sequential};
            std::size_t calls = 0, last = 0;
            auto const report = cm::minimise_weight_norms(
                base, p, options, [&](std::size_t done, std::size_t total) { ++calls, last = total - done; });
            CHECK(calls > 0);
            CHECK(last <= 30);
            CHECK(report.loss_after < 0.995 * report.loss_before);
            auto merged = base;
            cm::fold_parameters(p, cm::eps_rule::exact, merged);
            CHECK(cm::weight_norms(merged, 4) == Approx(report.loss_after));
            CHECK(relative_deviation(merged, base) < 1e-12);
            std::vector<running> before;
            cm::visit_trained(start, [&](auto, auto const&, running const& x) { before.push_back(x); });
            std::size_t k = 0;
            cm::visit_trained(p, [&](cm::parameter_group group, std::string const& name, running const& x) {
                CAPTURE(name, sequential);
                CHECK((x.values - before[k++].values).norm() > 1e-3);
                CHECK(report.gradient_norms[static_cast<std::size_t>(group)] > 1e-4);
                CHECK(report.movements[static_cast<std::size_t>(group)] > 1e-3);
            });
        }
}

TEST_CASE("local stage: same bytes again, nearly the same on two threads, every p accepted in its range",
          "[recipes][optimize]") {
    auto const c = small_config();
    auto const base = small_decoder(c);
    auto const forms = all_forms().front();
    auto const run = [&](cm::local_options const& options) {
        auto p = small_parameters(c, forms);
        cm::minimise_weight_norms(base, p, options);
        return p;
    };
    cm::local_options options{.n_steps = 10};
    auto const once = run(options);
    CHECK(same_values(once, run(options)));
    options.n_threads = 2;
    auto const on_two = run(options);
    CHECK(same_values(on_two, run(options)));
    auto const a = values_of(once), b = values_of(on_two);
    for (std::size_t k = 0; k < a.size(); ++k)
        CHECK((a[k].values - b[k].values).cwiseAbs().maxCoeff() < 1e-9);  // sums in another order
    for (int const p : {1, 9}) {
        options.p = p;
        CHECK_THROWS_WITH(run(options),
                          "minimise_weight_norms: p is " + std::to_string(p) + ", expected 2 to 8");
    }
}
