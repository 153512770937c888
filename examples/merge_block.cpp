// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// All six transforms of FPTQuant on a whole decoder with grouped queries: proved while compiling, merged at run time,
// and the logits compared.

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <vector>

#include <commutant/commutant.hpp>
#include <commutant/model/random_decoder.hpp>
#include <commutant/proofs/preserves_function.hpp>
#include <commutant/recipes/fptquant.hpp>

namespace cm = commutant;
using weights = cm::eigen_matrix<double>;

static_assert(cm::preserves_function<cm::families::llama, cm::fptquant_plan>);

int main() {
    cm::model_config config{.n_layers = 2,
                            .model_dim = 64,
                            .ffn_dim = 160,
                            .n_heads = 8,
                            .n_kv_heads = 2,
                            .head_dim = 16,
                            .rotary_dim = 16,
                            .vocab_size = 100,
                            .max_positions = 64};
    cm::random_source random(1);
    cm::parameter_source<double> source(random);
    auto const model = cm::random_decoder<weights>(config, source);

    auto merged = model;
    auto const transforms = cm::random_transforms<cm::fptquant_plan, weights>(config, source);
    cm::merge_report const report = cm::merge_in_place(transforms, merged);

    std::vector<int> tokens(64);
    std::iota(tokens.begin(), tokens.end(), 7);
    weights const before = cm::runner<weights>(model).logits(tokens);
    weights const after = cm::runner<weights>(merged).logits(tokens);
    double const largest = before.values.cwiseAbs().maxCoeff();
    double const deviation = (after.values - before.values).cwiseAbs().maxCoeff() / largest;
    std::printf("largest logit %.2f, relative deviation after merging %.1e, condition of T_v %.1f\n", largest,
                deviation, report.condition);
    return deviation < 1e-12 * report.condition ? 0 : 1;
}
