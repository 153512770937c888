// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <cmath>
#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include <commutant/model/named_tensors.hpp>
#include <commutant/recipes/norm_descent.hpp>
#include <commutant/recipes/weight_samples.hpp>
#include <support/training_models.hpp>

namespace cm = commutant;
using namespace cm::testing;

namespace {

using layer = cm::decoder_layer<running>;

/// Four blocks of T_d, three channels each.
cm::transform_parameters<running> parts_parameters(cm::model_config const& c, cm::transform_forms forms) {
    forms.down_block = 4;
    return moved_parameters(c, forms);
}

/// Largest deviation of any tensor; infinite if shapes differ.
double deviation(layer const& a, layer const& b) {
    double worst = 0;
    cm::visit_layer_pairs(a, b, 0, [&](std::string const&, running const& x, running const& y) {
        if (x.rows() != y.rows() || x.cols() != y.cols())
            worst = INFINITY;
        else if (x.size() != 0)
            worst = std::max(worst, (x.values - y.values).cwiseAbs().maxCoeff());
    });
    return worst;
}

layer folded(cm::model_config const& c, cm::transform_parameters<running> const& inner, layer const& l) {
    auto one = cm::decoder_of_block(c, l);
    cm::fold_inner(inner, one);
    return one.layers[0];
}
layer rotated(cm::model_config const& c, running const& q, layer const& l) {
    auto one = cm::decoder_of_block(c, l);
    cm::fold_rotation(q, one);
    return one.layers[0];
}

cm::mixing_units const all_units{{0, 1}, {0, 1, 2}};

/// A decoder in memory as a source of parts.
struct in_memory {
    cm::decoder<running> model;
    std::map<std::string, running const*> tensors{};

    explicit in_memory(cm::decoder<running> m) : model(std::move(m)) {
        cm::visit_tensors(model, [&](std::string const& name, running const& w) {
            if (w.size() != 0) tensors.emplace(name, &w);
        });
    }
    in_memory(in_memory const&) = delete;
    in_memory& operator=(in_memory const&) = delete;

    [[nodiscard]] cm::model_config const& config() const { return model.config; }
    [[nodiscard]] bool contains(std::string const& name) const { return tensors.count(name) != 0; }
    void read(std::string const& name, std::span<std::size_t const> rows,
              std::span<std::size_t const> columns, std::span<double> out) const {
        running const& w = *tensors.at(name);
        std::size_t next = 0;
        for (std::size_t const i : rows)
            for (std::size_t const j : columns) out[next++] = w(i, j);
    }
};

/// Every set of two of the indices below n.
std::vector<cm::feature_list> pairs_below(std::size_t n) {
    std::vector<cm::feature_list> all;
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = i + 1; j < n; ++j) all.push_back({i, j});
    return all;
}

/// Means over samples of a weight's mean |W|^p and of the gradient of its share of the loss.
struct sample_mean {
    double power = 0;
    std::vector<running> gradients{};
    std::size_t n = 0;
};

/// Adds one sample's, of every weight that depends on the parameters.
///
/// merged    () -> decoder<training>; asked again for each weight, since graphs that share transforms are walked together
template <class F>
void add_sample(F merged, cm::feature_list const& layers, std::vector<training>& parameters,
                cm::norm_estimates const& norms, std::map<std::string, sample_mean>& means) {
    std::vector<std::string> names;
    auto const first = merged();
    cm::detail::visit_weights(first, layers, [&](std::string const& name, training const& w) {
        if (w.carries_gradient()) names.push_back(name);
    });
    for (auto const& one : names) {
        auto const m = merged();
        cm::detail::visit_weights(m, layers, [&](std::string const& name, training const& w) {
            if (name != one) return;
            auto const norm = cm::lp_norm(w, norms.p());
            double const size = norm.value()(0, 0);
            sample_mean& mean = means[name];
            mean.power += std::pow(size, norms.p());
            ++mean.n;
            cm::backward(cm::scaled(norm, norms.factor(name, size, w.size())));
            for (std::size_t k = 0; k < parameters.size(); ++k) {
                auto const gradient = parameters[k].gradient();
                if (mean.gradients.size() == k)
                    mean.gradients.push_back(running(gradient.rows(), gradient.cols()));
                mean.gradients[k].values += gradient.values;
                parameters[k].clear_gradient();
            }
        });
    }
}

}  // namespace

TEST_CASE(
    "a part of a block merges into the part of the merged block, for what T_r and for what the others mix",
    "[recipes][merge][gqa]") {
    auto c = small_config();
    for (bool const normed : {false, true}) {
        c.qk_norm = normed;
        layer const base = small_decoder(c).layers[1];
        cm::random_source random(5);
        for (auto const& forms : all_forms()) {
            auto const p = parts_parameters(c, forms);
            std::size_t const block = p.down_input.block();
            std::size_t const n_blocks = c.ffn_dim / block;
            cm::mixing_units const whole{{0, 1}, cm::feature_range(0, n_blocks)};
            auto const all = cm::features_of(whole, block, c);
            auto const inner = cm::inner_parameters(p, 1, all, whole);

            // T_r: any inner features.
            running const q = p.residual_stream.value();
            auto some = all;
            for (auto* list : {&some.q, &some.k, &some.v, &some.o, &some.gate, &some.up, &some.down})
                *list = cm::random_subset(random, 5, list->size());
            auto const rows = cm::layer_part(some, c);
            CHECK(deviation(rotated(c, q, cm::selected(base, rows)),
                            cm::selected(rotated(c, q, base), rows)) < 1e-14);

            // T_k, T_v, T_u and T_d: any features of the stream, and whole units of the rest.
            auto stream = all;
            stream.stream = {6, 1, 3};
            auto const columns = cm::layer_part(stream, c);
            CHECK(deviation(folded(c, inner, cm::selected(base, columns)),
                            cm::selected(folded(c, inner, base), columns)) < 1e-14);
            cm::mixing_units const kept{{1}, {n_blocks - 1, 0}};
            auto const features = cm::features_of(kept, block, c);
            auto const units = cm::layer_part(features, c);
            CHECK(deviation(folded(c, cm::inner_parameters(p, 1, features, kept), cm::selected(base, units)),
                            cm::selected(folded(c, inner, base), units)) < 1e-14);
            // Others' transforms on the same units do not do.
            cm::mixing_units const other{{0}, {n_blocks - 2, n_blocks - 1}};
            bool const differs =
                deviation(folded(c, cm::inner_parameters(p, 1, cm::features_of(other, block, c), other),
                                 cm::selected(base, units)),
                          cm::selected(folded(c, inner, base), units)) > 1e-3;
            CHECK(differs == (inner.chosen.value_output || inner.chosen.up_down));
            CHECK(deviation(folded(c, inner, base), base) > 1e-3);
        }
    }
}

TEST_CASE("place: the parts of a block, each at its place, are the block", "[recipes]") {
    auto const c = small_config();
    layer const base = small_decoder(c).layers[0];
    auto const all = cm::all_features(c);
    layer rebuilt = base;
    cm::visit_layer_tensors(rebuilt, 0, [](std::string const&, running& w) { w.values.setZero(); });
    for (bool const odd : {false, true}) {
        auto part = all;
        for (auto* list : {&part.q, &part.k, &part.v, &part.o, &part.gate, &part.up, &part.down})
            std::erase_if(*list, [&](std::size_t j) { return (j % 2 == 1) != odd; });
        auto const selection = cm::layer_part(part, c);
        cm::place(cm::selected(base, selection), selection, rebuilt);
        CHECK((deviation(rebuilt, base) == 0) == odd);
    }
}

TEST_CASE("load_layer: reads the part that selecting from the whole gives", "[recipes][io]") {
    auto const c = small_config();
    in_memory const source(small_decoder(c));
    cm::mixing_units const kept{{1}, {2, 0}};
    auto const part = cm::layer_part(cm::features_of(kept, 4, c), c);
    CHECK(deviation(cm::load_layer<running>(source, 1, part), cm::selected(source.model.layers[1], part)) ==
          0);
}

TEST_CASE("random_subset: every set is as likely as any other", "[recipes]") {
    cm::random_source random(1);
    CHECK(cm::random_subset(random, 4, 4) == cm::feature_range(0, 4));
    CHECK(cm::random_subset(random, 9, 4) == cm::feature_range(0, 4));
    std::map<cm::feature_list, int> counts;
    for (int k = 0; k < 12000; ++k) ++counts[cm::random_subset(random, 2, 4)];
    CHECK(counts.size() == 6);
    for (auto const& [set, n] : counts) CHECK(std::abs(n - 2000) < 200);  // five standard deviations
}

TEST_CASE("samples for T_r: over all of them, powers and gradients are in the mean those of the whole",
          "[recipes][optimize][gqa]") {
    auto const c = small_config();
    in_memory const source(small_decoder(c));
    auto const p = parts_parameters(c, all_forms().front());
    auto const all = cm::features_of(all_units, 4, c);
    std::map<std::string, sample_mean> whole, mean;
    cm::norm_estimates norms(c, 4);
    std::vector<training> rotation{training::parameter(p.residual_stream.value())};
    auto const add = [&](cm::layer_sample const& sample, std::map<std::string, sample_mean>& means) {
        auto const sampled = cm::decoder_of_block(c, cm::sampled_layer(source, p, 1, sample));
        auto const merged = [&] {
            auto one = cm::converted<training>(sampled);
            cm::fold_rotation(rotation[0], one);
            return one;
        };
        add_sample(merged, {1}, rotation, norms, means);
    };
    // All at once, with factors of one.
    add({all_units, all}, whole);
    REQUIRE(whole.size() == 7);
    // The factors of samples come from what was seen before: here, from the truth.
    for (auto const& [name, w] : whole) norms.add(name, std::pow(w.power, 0.25));
    cm::feature_list cm::layer_features::*const lists[] = {
        &cm::layer_features::q,    &cm::layer_features::k,  &cm::layer_features::v,   &cm::layer_features::o,
        &cm::layer_features::gate, &cm::layer_features::up, &cm::layer_features::down};
    for (auto const list : lists)
        for (std::size_t const head : {0, 1})
            for (std::size_t const block : {0, 1, 2}) {
                cm::mixing_units const units{{head}, {block}};
                auto const among = cm::features_of(units, 4, c);
                for (auto const& two : pairs_below((among.*list).size())) {
                    cm::layer_features features;
                    features.stream = all.stream;
                    features.*list = two;
                    add({units, features}, mean);
                }
            }
    REQUIRE(mean.size() == 7);
    for (auto const& [name, w] : whole) {
        CAPTURE(name);
        auto const& m = mean.at(name);
        CHECK(m.power / static_cast<double>(m.n) == Approx(w.power).epsilon(1e-12));
        double const size = w.gradients[0].values.cwiseAbs().maxCoeff();
        CHECK(
            (m.gradients[0].values / static_cast<double>(m.n) - w.gradients[0].values).cwiseAbs().maxCoeff() <
            1e-12 * size);
    }
}

TEST_CASE("samples of the stream: over all of them, powers and gradients are in the mean those of the whole",
          "[recipes][optimize][gqa]") {
    auto const c = small_config();
    layer const base = small_decoder(c).layers[0];
    auto const p = parts_parameters(c, all_forms().front());
    auto inner = cm::inner_parameters(p, 0, cm::features_of(all_units, 4, c), all_units);
    std::vector<training> parameters;
    for (auto const& x : values_of(inner)) parameters.push_back(training::parameter(x));
    auto const transforms = with_values<training>(inner, parameters);
    std::map<std::string, sample_mean> whole, mean;
    cm::norm_estimates norms(c, 6);
    auto const add = [&](cm::feature_list const& stream, std::map<std::string, sample_mean>& means) {
        auto kept = cm::all_features(c);
        kept.stream = stream;
        auto const part = cm::decoder_of_block(c, cm::selected(base, cm::layer_part(kept, c)));
        auto const merged = [&] {
            auto one = cm::converted<training>(part);
            cm::fold_inner(transforms, one);
            return one;
        };
        add_sample(merged, {0}, parameters, norms, means);
    };
    add(cm::feature_range(0, c.model_dim), whole);
    REQUIRE(whole.size() == 6);  // gate_proj has none of these transforms
    for (auto const& [name, w] : whole) norms.add(name, std::pow(w.power, 1.0 / 6));
    for (auto const& two : pairs_below(c.model_dim)) add(two, mean);
    for (auto const& [name, w] : whole) {
        CAPTURE(name);
        auto const& m = mean.at(name);
        CHECK(m.power / static_cast<double>(m.n) == Approx(w.power).epsilon(1e-12));
        for (std::size_t k = 0; k < parameters.size(); ++k)
            CHECK((m.gradients[k].values / static_cast<double>(m.n) - w.gradients[k].values)
                      .cwiseAbs()
                      .maxCoeff() < 1e-12 * (1e-3 + w.gradients[k].values.cwiseAbs().maxCoeff()));
    }
}

TEST_CASE("random_layer_sample: as many features as asked for, all of them in the end", "[recipes]") {
    auto const c = small_config();
    cm::random_source random(3);
    auto const some = cm::random_layer_sample(random, 5, 4, c);
    CHECK(some.units.kv_heads.size() == 1);
    CHECK(some.units.down_blocks.size() == 2);
    CHECK(some.features.stream.size() == c.model_dim);
    CHECK(some.features.q.size() == 5);
    CHECK(some.features.down.size() == 5);
    auto const all = cm::random_layer_sample(random, 1000, 4, c);
    CHECK(all.units.kv_heads == all_units.kv_heads);
    CHECK(all.units.down_blocks == all_units.down_blocks);
    CHECK(all.features.q == cm::all_features(c).q);
    CHECK(all.features.down == cm::all_features(c).down);
}

TEST_CASE("sample_for_rotation: blocks stand for those that are not there, rows for their tensors",
          "[recipes]") {
    auto c = small_config();
    c.tied_head = true;
    auto model = small_decoder(c);
    REQUIRE(model.lm_head.weight.size() == 0);
    in_memory const source(model);
    auto const p = parts_parameters(c, all_forms().front());
    cm::random_source random(4);
    auto const part = cm::sample_for_rotation(source, p, {1}, 3, random);
    CHECK(part.layers == cm::feature_list{1});
    CHECK(part.layer_share == 2);
    CHECK(part.weights.layers.size() == 1);
    CHECK(part.weights.final_norm.values == model.final_norm.values);
    for (running const* rows : {&part.weights.embedding, &part.weights.lm_head.weight}) {
        REQUIRE(rows->rows() == 3);
        for (Eigen::Index i = 0; i < 3; ++i) {
            int found = 0;
            for (Eigen::Index j = 0; j < model.embedding.values.rows(); ++j)
                found += rows->values.row(i) == model.embedding.values.row(j);
            CHECK(found == 1);
        }
    }
}

TEST_CASE("norm_estimates: roots of running means of powers, and factors of samples", "[recipes]") {
    cm::norm_estimates norms(small_config(), 3);
    std::string const name = "model.layers.0.mlp.up_proj.weight";
    std::size_t const size = 12 * 8;
    CHECK(norms.factor(name, 7, 10) == 1);  // nothing to compare with
    norms.add(name, 2);
    CHECK(norms.sum() == Approx(2));
    CHECK(norms.factor(name, 3, 10) == Approx(9.0 / 4));
    CHECK(norms.factor(name, 3, size) == 1);  // whole
    norms.add(name, 3);
    CHECK(norms.sum() == Approx(std::cbrt(0.9 * 8 + 0.1 * 27)));
}
