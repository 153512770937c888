// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>

#include <commutant/engine/words.hpp>
#include <commutant/kernels/int4_gemm.hpp>
#include <commutant/kernels/int4_weights.hpp>

namespace commutant {

/// A weight of the deploy reading: INT4 codes in the kernels' order, or floats where nothing was quantised.
///
/// Shape     [out_features, in_features]
struct engine_weight {
    engine_rows floats{};
    kernels::int4_weights codes{};
    bool is_int4 = false;

    [[nodiscard]] std::size_t rows() const { return is_int4 ? codes.view().out_features : floats.rows(); }
    [[nodiscard]] std::size_t cols() const { return is_int4 ? codes.view().in_features : floats.cols(); }
    /// Bytes read by one product.
    [[nodiscard]] std::size_t bytes() const {
        return is_int4 ? codes.bytes() : floats.size() * sizeof(float);
    }
};

/// A linear layer of the deploy reading; see linear.
struct engine_linear {
    engine_weight weight{};
    engine_rows bias{};

    [[nodiscard]] bool has_bias() const { return bias.rows() != 0; }
};

/// y = x W^T + bias, in integers where W is INT4: x must then have been quantised.
///
/// Shape     x: [tokens, in_features]; bias: [1, out_features], product(s, bias) for one factor per token, or empty
/// Errors    std::invalid_argument if x holds floats and W codes, or the other way round
[[nodiscard]] inline engine_rows forward(engine_linear const& l, engine_rows const& x,
                                         engine_rows const& bias) {
    detail::require(x.cols() == l.weight.cols(), "forward: the weight has another number of inputs");
    if (!l.weight.is_int4) {
        engine_rows y = product_transposed(x, l.weight.floats);
        if (bias.rows() == 0) return y;
        auto out = detail::mapped(y);
        for (std::size_t i = 0; i < y.rows(); ++i)
            out.row(static_cast<Eigen::Index>(i)) +=
                (bias.row_scales().empty() ? 1.0F : bias.row_scales()[i]) *
                Eigen::Map<Eigen::RowVectorXf const>(bias.row_of_bias().data(), out.cols());
        return y;
    }
    detail::require(x.has_codes(),
                    "forward: the weight is INT4 and the input holds floats; quantise the activations");
    engine_rows y = detail::like(x, x.rows(), l.weight.rows());
    kernels::int4_weights_view const w = l.weight.codes.view();
    detail::row_buffer<std::byte> const workspace(
        kernels::int4_gemm_workspace_bytes(x.rows(), w, x.threads().n_workers()));
    kernels::int4_gemm_epilogue epilogue;
    if (bias.rows() != 0) {
        epilogue.bias = bias.row_of_bias();
        epilogue.bias_scales = bias.row_scales();
    }
    kernels::int4_gemm(x.codes(), w, epilogue, {y.data(), y.size()}, 0, {workspace.data(), workspace.size()},
                       x.threads());
    return y;
}

[[nodiscard]] inline engine_rows forward(engine_linear const& l, engine_rows const& x) {
    return forward(l, x, l.bias);
}

}  // namespace commutant
