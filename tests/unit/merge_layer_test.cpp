// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include <commutant/merge/layer.hpp>
#include <commutant/model/random_decoder.hpp>
#include <commutant/recipes/fptquant.hpp>

namespace {

namespace cm = commutant;
using float64 = cm::eigen_matrix<double>;
using float32 = cm::eigen_matrix<float>;

cm::model_config geometry() {
    return {.n_layers = 2,
            .model_dim = 16,
            .ffn_dim = 24,
            .n_heads = 4,
            .n_kv_heads = 2,
            .head_dim = 6,
            .rotary_dim = 4,
            .vocab_size = 300,
            .max_positions = 8,
            .qkv_bias = true,
            .o_bias = true,
            .mlp_bias = true};
}

template <class T> cm::weight_ref<T> ref(cm::eigen_matrix<T>& m) {
    if (m.rows() == 0) return {};
    return {m.elements(), m.rows(), m.cols()};
}

template <class T> cm::decoder_layer<cm::weight_ref<T>> refs(cm::decoder_layer<cm::eigen_matrix<T>>& l) {
    auto const both = [](cm::linear<cm::eigen_matrix<T>>& x) {
        return cm::linear<cm::weight_ref<T>>{ref(x.weight), ref(x.bias)};
    };
    return {ref(l.attention_norm), both(l.q_proj),  both(l.k_proj),   both(l.v_proj),
            both(l.o_proj),        ref(l.q_norm),   ref(l.k_norm),    ref(l.ffn_norm),
            both(l.gate_proj),     both(l.up_proj), both(l.down_proj)};
}

struct fixture {
    cm::random_source random{11};
    cm::parameter_source<double> source{random};
    cm::decoder<float64> model = cm::random_decoder<float64>(geometry(), source);
    cm::plan_transforms<cm::fptquant_plan, float64> transforms =
        cm::random_transforms<cm::fptquant_plan, float64>(geometry(), source);
};

}  // namespace

TEST_CASE("merge_layer_in_place: float buffers hold the double merge, rounded once", "[merge]") {
    fixture f;
    cm::decoder<float32> narrow = cm::converted<float32>(f.model);
    cm::decoder<float64> wide = cm::converted<float64>(narrow);
    cm::merge_in_place(f.transforms, wide);
    for (std::size_t i = 0; i < 2; ++i) {
        auto buffers = refs(narrow.layers[i]);
        cm::merge_layer_in_place(f.transforms, i, geometry(), buffers);
    }
    auto embedding = ref(narrow.embedding), gain = ref(narrow.final_norm), head = ref(narrow.lm_head.weight);
    cm::merge_embedding_in_place(f.transforms, embedding);
    cm::merge_head_in_place(f.transforms, gain, head);

    std::vector<float32 const*> merged;
    visit_tensors(narrow, [&](std::string const&, float32 const& w) { merged.push_back(&w); });
    std::size_t next = 0;
    visit_tensors(wide, [&](std::string const& name, float64 const& w) {
        INFO(name);
        float32 const& found = *merged[next++];
        if (w.rows() == 0) {  // folded gains: nothing in the decoder, ones in the buffer
            CHECK((found.rows() == 0 || (found.values.array() == 1.0F).all()));
        } else {
            CHECK(found.values == w.values.cast<float>());
        }
    });
}

TEST_CASE("merge_layer_in_place: a refused merge writes nothing", "[merge]") {
    fixture f;
    auto const untouched = f.model.layers[0].v_proj.weight;
    SECTION("condition above the limit") {
        f.transforms.layers[0].value_output[1].forward.values *= 0;
        auto buffers = refs(f.model.layers[0]);
        CHECK_THROWS_WITH(cm::merge_layer_in_place(f.transforms, 0, geometry(), buffers),
                          Catch::Contains("condition number is inf, expected at most 100"));
    }
    SECTION("a buffer of another shape") {
        auto buffers = refs(f.model.layers[0]);
        buffers.v_proj.weight =
            cm::weight_ref<double>(f.model.layers[0].v_proj.weight.elements().first(6 * 16), 6, 16);
        buffers.v_proj.bias = {};
        CHECK_THROWS_WITH(cm::merge_layer_in_place(f.transforms, 0, geometry(), buffers),
                          Catch::Contains("v_proj has rows 6, expected the configuration's = 12"));
    }
    SECTION("a weight that overflows") {
        f.model.layers[0].v_proj.weight(0, 0) = std::numeric_limits<double>::infinity();
        auto const spoilt = f.model.layers[0].v_proj.weight;
        auto buffers = refs(f.model.layers[0]);
        CHECK_THROWS_AS(cm::merge_layer_in_place(f.transforms, 0, geometry(), buffers), std::overflow_error);
        CHECK(f.model.layers[0].v_proj.weight.values == spoilt.values);
        return;
    }
    SECTION("a layer for which there are no transforms") {
        auto buffers = refs(f.model.layers[0]);
        CHECK_THROWS_AS(cm::merge_layer_in_place(f.transforms, 2, geometry(), buffers),
                        std::invalid_argument);
    }
    CHECK(f.model.layers[0].v_proj.weight.values == untouched.values);
}

TEST_CASE("merge_in_place: queries and keys that are normed refuse T_k with the reason", "[merge]") {
    fixture f;
    f.model.config.qk_norm = true;
    CHECK_THROWS_WITH(cm::merge_in_place(f.transforms, f.model),
                      Catch::Contains("RMSNorm stands between the projections and RoPE"));
}

TEST_CASE("merge_in_place: a condition number above 10 warns, above 100 is refused unless allowed",
          "[merge]") {
    fixture f;
    auto const conditioned = [&](double k) {
        float64 a = cm::identity_matrix<float64>(6);
        a(0, 0) = k;
        f.transforms.layers[1].value_output[0] = cm::dense_map<float64>::from_matrix(a);
    };
    conditioned(50);
    auto const report = cm::merge_in_place(f.transforms, f.model);
    CHECK(report.condition == Approx(50));
    REQUIRE(report.warnings.size() == 1);
    conditioned(200);
    CHECK_THROWS_AS(cm::merge_in_place(f.transforms, f.model), std::domain_error);
    CHECK_NOTHROW(cm::merge_in_place(f.transforms, f.model, {.warn = 10, .refuse = 1000}));
}

TEST_CASE("merge_query_key_in_place: shapes that do not fit are named with their numbers", "[merge]") {
    std::vector<double> q(24 * 4), k(12 * 4);
    cm::linear<cm::weight_ref<double>> q_proj{{std::span<double>(q), 24, 4}, {}},
        k_proj{{std::span<double>(k), 12, 4}, {}};
    cm::random_source random(1);
    cm::parameter_source<double> source(random);
    std::vector<cm::pairwise<cm::scaled_rotation, float64>> of_kv_head;
    for (int g = 0; g < 2; ++g)
        of_kv_head.push_back(
            cm::make_transform<cm::scaled_rotation, float64>(source, {8, 8, cm::pairing::half_split}));
    CHECK_THROWS_WITH(cm::merge_query_key_in_place(of_kv_head, cm::heads{4, 2, 6}, q_proj, k_proj),
                      Catch::Contains("a transform acts on features: 8, expected head_dim = 6"));
    CHECK_THROWS_WITH(cm::merge_query_key_in_place(of_kv_head, cm::heads{4, 2, 8}, q_proj, k_proj),
                      Catch::Contains("q_proj has rows 24, expected n_heads * head_dim = 4 * 8 = 32"));
    CHECK_THROWS_WITH(cm::merge_query_key_in_place(of_kv_head, cm::heads{5, 2, 8}, q_proj, k_proj),
                      Catch::Contains("5 query heads over 2 kv heads"));
}
