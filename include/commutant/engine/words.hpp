// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <utility>

#include <Eigen/Core>

#include <commutant/core/pairing.hpp>
#include <commutant/engine/engine_rows.hpp>
#include <commutant/kernels/residual_scale.hpp>
#include <commutant/kernels/rope.hpp>
#include <commutant/operators/residual.hpp>
#include <commutant/operators/rope.hpp>

// The words of core/matrix.hpp that a decoder's forward pass uses, for engine_rows.

namespace commutant {

namespace detail {
using engine_map = Eigen::Map<Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;
using engine_const_map =
    Eigen::Map<Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> const>;

[[nodiscard]] inline engine_const_map mapped(engine_rows const& x) {
    return {x.data(), static_cast<Eigen::Index>(x.rows()), static_cast<Eigen::Index>(x.cols())};
}
[[nodiscard]] inline engine_map mapped(engine_rows& x) {
    return {x.data(), static_cast<Eigen::Index>(x.rows()), static_cast<Eigen::Index>(x.cols())};
}
[[nodiscard]] inline engine_rows like(engine_rows const& x, std::size_t rows, std::size_t cols) {
    engine_rows r = engine_rows::uninitialised(rows, cols);
    r.set_threads(x.threads());
    return r;
}
}  // namespace detail

/// a b^T in floating point: what is not quantised, an output head for instance.
[[nodiscard]] inline engine_rows product_transposed(engine_rows a, engine_rows const& b) {
    a = std::move(a).evaluated();
    engine_rows r = detail::like(a, a.rows(), b.rows());
    detail::mapped(r).noalias() = detail::mapped(std::as_const(a)) * detail::mapped(b).transpose();
    return r;
}

/// s b for one column s and one row b, not written out: a bias that S_n scales.
[[nodiscard]] inline engine_rows product(engine_rows const& s, engine_rows const& b) {
    return engine_rows::outer(s, b);
}

[[nodiscard]] inline engine_rows operator+(engine_rows a, engine_rows const& b) {
    detail::mapped(a) += detail::mapped(b);
    return a;
}
[[nodiscard]] inline engine_rows elementwise_product(engine_rows a, engine_rows const& b) {
    a.defer_product(b);
    return a;
}
[[nodiscard]] inline engine_rows silu(engine_rows a) {
    a.defer_silu();
    return a;
}
[[nodiscard]] inline engine_rows scale_rows(engine_rows a, engine_rows const& factors) {
    a.defer_row_factor(factors);
    return a;
}
[[nodiscard]] inline engine_rows scale_columns(engine_rows a, engine_rows const& factors) {
    a = std::move(a).evaluated();
    detail::mapped(a).array().rowwise() *= detail::mapped(factors).row(0).array();
    return a;
}
[[nodiscard]] inline engine_rows shifted(engine_rows a, float s) {
    detail::mapped(a).array() += s;
    return a;
}
[[nodiscard]] inline engine_rows rsqrt(engine_rows a) {
    detail::mapped(a) = detail::mapped(a).array().sqrt().inverse().matrix();
    return a;
}
[[nodiscard]] inline engine_rows mean_square_rows(engine_rows const& a) {
    engine_rows r = detail::like(a, a.rows(), 1);
    detail::mapped(r) = detail::mapped(a).rowwise().squaredNorm() / static_cast<float>(a.cols());
    return r;
}

/// T_d, put off until the row is quantised; t must outlive the result.
[[nodiscard]] inline engine_rows apply(engine_hadamard const& t, engine_rows x) {
    x.defer_hadamard(t);
    return x;
}

[[nodiscard]] inline engine_rows columns(engine_rows const& a, slice s) {
    engine_rows r = detail::like(a, a.rows(), s.count);
    for (std::size_t i = 0; i < a.rows(); ++i)
        for (std::size_t j = 0; j < s.count; ++j) r(i, j) = a(i, s.begin + j * s.stride);
    return r;
}
inline void set_columns(engine_rows& a, slice s, engine_rows v) {
    engine_rows const plain = std::move(v).evaluated();
    for (std::size_t i = 0; i < a.rows(); ++i)
        for (std::size_t j = 0; j < s.count; ++j) a(i, s.begin + j * s.stride) = plain(i, j);
}
[[nodiscard]] inline engine_rows row_block(engine_rows const& a, std::size_t begin, std::size_t count) {
    engine_rows r = detail::like(a, count, a.cols());
    std::copy_n(a.data() + begin * a.cols(), r.size(), r.data());
    return r;
}
inline void set_row_block(engine_rows& a, std::size_t begin, engine_rows const& v) {
    std::copy_n(v.data(), v.size(), a.data() + begin * a.cols());
}
[[nodiscard]] inline engine_rows gather_rows(engine_rows const& table, std::span<int const> ids) {
    engine_rows r = detail::like(table, ids.size(), table.cols());
    for (std::size_t i = 0; i < ids.size(); ++i)
        std::copy_n(table.data() + static_cast<std::size_t>(ids[i]) * table.cols(), table.cols(),
                    r.data() + i * table.cols());
    return r;
}

/// See the function template of operators/residual.hpp; one pass over memory.
inline void add_and_rescale(engine_rows& x, engine_rows& s, engine_rows const& branch, float const& eps,
                            eps_rule rule) {
    x = std::move(x).evaluated();
    kernels::residual_step step;
    step.eps = eps;
    step.rule = rule == eps_rule::exact ? kernels::residual_eps::exact : kernels::residual_eps::plain;
    float* const rows = x.data();
    float* const factors = s.data();
    float const* const added = branch.data();
    std::size_t const n = x.cols(), at_a_time = 8;
    x.threads().parallel_for((x.rows() + at_a_time - 1) / at_a_time, [&](std::size_t i, std::size_t) {
        std::size_t const begin = i * at_a_time;
        kernels::residual_step part = step;
        part.n_rows = std::min(at_a_time, x.rows() - begin);
        kernels::scale_residual({rows + begin * n, part.n_rows * n}, {added + begin * n, part.n_rows * n},
                                {factors + begin, part.n_rows}, part);
    });
}

/// See the function template of operators/rope.hpp.
[[nodiscard]] inline engine_rows apply_rope(engine_rows x, rotation_table<engine_rows> const& table,
                                            std::size_t head_dim, pairing p) {
    std::size_t const n = x.cols(), n_pairs = table.cosine.cols(), at_a_time = 8;
    float* const rows = x.data();
    float const* const cosine = table.cosine.data();
    float const* const sine = table.sine.data();
    x.threads().parallel_for((x.rows() + at_a_time - 1) / at_a_time, [&](std::size_t i, std::size_t) {
        std::size_t const begin = i * at_a_time, count = std::min(at_a_time, x.rows() - begin);
        kernels::apply_rope({rows + begin * n, count * n}, n, head_dim, 2 * n_pairs, p,
                            {cosine + begin * n_pairs, count * n_pairs},
                            {sine + begin * n_pairs, count * n_pairs});
    });
    return x;
}

}  // namespace commutant
