// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <cstddef>

#include "planting.hpp"

namespace cm = commutant;
using cm::families::llama;

// LayerNorm does not see the mean of what it reads; RMSNorm does.

constexpr cm::field_matrix with_row_means_subtracted(cm::field_matrix x) {
    for (std::size_t i = 0; i < x.rows(); ++i) {
        cm::prime_field sum = 0;
        for (std::size_t j = 0; j < x.cols(); ++j) sum = sum + x(i, j);
        cm::prime_field const mean = sum / static_cast<int>(x.cols());
        for (std::size_t j = 0; j < x.cols(); ++j) x(i, j) = x(i, j) - mean;
    }
    return x;
}

consteval bool is_unchanged_by(bool mean_subtracted, bool stream_rotated) {
    return cm::is_unchanged_by<llama>([=](auto& model, auto& source) {
        if (mean_subtracted) model.embedding = with_row_means_subtracted(model.embedding);
        using plan = cm::plan<cm::at<cm::sites::residual_stream, cm::orthogonal>>;
        if (stream_rotated)
            cm::fold_plan(cm::random_transforms<plan, cm::field_matrix>(model.config, source), model);
    });
}
static_assert(is_unchanged_by(false, false));
static_assert(!is_unchanged_by(true, false));
static_assert(is_unchanged_by(false, true));
static_assert(!is_unchanged_by(true, true));
