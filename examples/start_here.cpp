// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// A merge in fifteen lines: value transforms for two kv heads go into v_proj and o_proj of a float checkpoint, in
// place, and attention computes the same as before.

#include <cstdio>
#include <vector>

#include <commutant/commutant.hpp>

namespace cm = commutant;
using weights = cm::eigen_matrix<double>;

int main() {
    // The engine's own buffers: [n_kv_heads * head_dim, model_dim] and [model_dim, n_heads * head_dim].
    cm::heads const geometry{.n_heads = 4, .n_kv_heads = 2, .head_dim = 8};
    std::size_t const model_dim = 32;
    std::vector<float> v(16 * model_dim), o(model_dim * 32);
    cm::random_source random(1);
    for (float& x : v) x = static_cast<float>(random.next_unit() - 0.5);
    for (float& x : o) x = static_cast<float>(random.next_unit() - 0.5);
    auto const before = v;

    cm::linear<cm::weight_ref<float>> v_proj{{std::span<float>(v), 16, model_dim}, {}};
    cm::linear<cm::weight_ref<float>> o_proj{{std::span<float>(o), model_dim, 32}, {}};

    // What o_proj W_o^T W_v^T makes of an input that all tokens share, before and after.
    auto const through = [&] {
        weights const x = row_block(v_proj.weight, 0, 8);  // head 0 of v_proj
        return product(columns(o_proj.weight, {0, 8}), x);
    };
    weights const expected = through();

    cm::parameter_source<double> source(random);
    std::vector<cm::dense_map<weights>> of_kv_head;
    for (int g = 0; g < 2; ++g)
        of_kv_head.push_back(cm::make_transform<cm::dense, weights>(source, {.dim = 8}));
    cm::merge_value_output_in_place(of_kv_head, geometry, v_proj, o_proj);

    double const deviation = (through().values - expected.values).cwiseAbs().maxCoeff();
    double const moved = std::abs(static_cast<double>(v[0]) - static_cast<double>(before[0]));
    std::printf("weights moved (the first by %.3f), the function by %.1e\n", moved, deviation);
    return moved > 1e-3 && deviation < 1e-5 ? 0 : 1;
}
