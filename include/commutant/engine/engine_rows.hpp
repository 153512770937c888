// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include <commutant/core/matrix.hpp>
#include <commutant/engine/detail/row_memory.hpp>
#include <commutant/engine/engine_hadamard.hpp>
#include <commutant/kernels/executor.hpp>
#include <commutant/kernels/int4_gemm.hpp>
#include <commutant/kernels/quantize.hpp>
#include <commutant/kernels/swiglu.hpp>
#include <commutant/quant/grid.hpp>

namespace commutant {

/// How keys or values are rounded as they enter the cache.
struct cache_rounding {
    int num_bits = 16;  ///< 16: not at all
    bool dynamic = false;
    bool symmetric = false;
    grid on{};  ///< unless dynamic
};

/// The matrix type of the deploy reading: activations on their way through a quantised block, on kernels.
///
/// Layout    row-major float32, one row for each token; copies share memory until one of them is written to
/// Note      Words that work on each row alone (activation, gate product, T_d, factors of S_n) are put off until the
///           row is rounded, so a row stays in cache from the output of one product to the codes of the next:
///           defer_* adds a step, and quantised() or evaluated() runs them. What has been quantised holds codes and no
///           floats.
class engine_rows {
public:
    using scalar = float;

    engine_rows() = default;
    /// Zeros.
    engine_rows(std::size_t rows, std::size_t cols) : engine_rows(uninitialised(rows, cols)) {
        std::fill_n(values_.data(), size(), 0.0F);
    }
    [[nodiscard]] static engine_rows uninitialised(std::size_t rows, std::size_t cols) {
        engine_rows r;
        r.rows_ = rows, r.cols_ = cols;
        r.values_ = detail::row_buffer<float>(rows * cols);
        return r;
    }

    [[nodiscard]] std::size_t rows() const noexcept { return rows_; }
    [[nodiscard]] std::size_t cols() const noexcept { return cols_; }
    [[nodiscard]] std::size_t size() const noexcept { return rows_ * cols_; }

    /// Elements of rows without deferred steps.
    [[nodiscard]] float const* data() const {
        require_plain();
        return values_.data();
    }
    /// The same, to be written to: no other copy sees it.
    [[nodiscard]] float* data() {
        require_plain();
        if (values_.is_shared()) {
            detail::row_buffer<float> own(size());
            std::copy_n(values_.data(), size(), own.data());
            values_ = std::move(own);
        }
        return values_.data();
    }
    [[nodiscard]] float operator()(std::size_t i, std::size_t j) const { return data()[i * cols_ + j]; }
    [[nodiscard]] float& operator()(std::size_t i, std::size_t j) { return data()[i * cols_ + j]; }

    /// Workers of the loops over rows that descend from this one, and of the products they enter.
    [[nodiscard]] kernels::executor const& threads() const noexcept { return threads_; }
    void set_threads(kernels::executor const& threads) noexcept { threads_ = threads; }

    // Steps on single rows, in the order in which they are added.

    /// row <- silu(row)
    void defer_silu() { steps_.push_back({step::kind::silu, {}, nullptr}); }
    /// row <- row * factors(row), element by element; factors: [rows, cols], without deferred steps
    void defer_product(engine_rows const& factors) {
        detail::require(factors.rows() == rows_ && factors.cols() == cols_,
                        "engine_rows: a product of rows needs two matrices of one shape");
        factors.require_plain();
        steps_.push_back({step::kind::product, factors.values_, nullptr});
    }
    /// row <- row H / sqrt(block); the transform must outlive this matrix
    void defer_hadamard(engine_hadamard const& transform) {
        detail::require(transform.dim() == cols_, "engine_rows: T_d has another number of features");
        steps_.push_back({step::kind::hadamard, {}, &transform});
    }
    /// row i <- row i * factors(i); factors: [rows, 1], without deferred steps
    void defer_row_factor(engine_rows const& factors) {
        detail::require(factors.rows() == rows_ && factors.cols() == 1,
                        "engine_rows: one factor for each row");
        factors.require_plain();
        steps_.push_back({step::kind::row_factor, factors.values_, nullptr});
    }

    /// The rows with their steps run.
    [[nodiscard]] engine_rows evaluated() && {
        if (steps_.empty()) return std::move(*this);
        engine_rows r = uninitialised(rows_, cols_);
        r.threads_ = threads_;
        for_row_blocks([&](std::size_t begin, std::size_t count, float* scratch) {
            for (std::size_t i = begin; i < begin + count; ++i)
                run_steps(i, r.values_.data() + i * cols_, scratch);
        });
        return r;
    }

    /// Codes of the rows, their steps run, on a grid that is known.
    ///
    /// Note      kernels::quantize: x is multiplied by the reciprocal of scale where quantize() of quant/ divides
    [[nodiscard]] engine_rows quantized(grid const& g) const {
        engine_rows r = as_codes(g.num_bits, 1);
        r.scales_[0] = g.scale;
        r.zero_points_[0] = g.zero_point;
        kernels::code_grid const on{g.scale, g.zero_point, g.num_bits};
        quantize_blocks(
            r, [&](std::span<float const> x, std::size_t, std::size_t, std::span<std::int8_t> codes) {
                kernels::quantize(x, kernels::static_codes{on, codes});
            });
        return r;
    }

    /// The same with a grid for each row from its own values.
    [[nodiscard]] engine_rows quantized_per_token(int num_bits, bool symmetric) const {
        engine_rows r = as_codes(num_bits, rows_);
        quantize_blocks(r, [&](std::span<float const> x, std::size_t begin, std::size_t count,
                               std::span<std::int8_t> codes) {
            kernels::quantize_rows(
                x, count,
                kernels::dynamic_codes{num_bits, symmetric, codes, std::span(r.scales_).subspan(begin, count),
                                       std::span(r.zero_points_).subspan(begin, count)});
        });
        return r;
    }

    /// Has these rows, keys or values, rounded when they enter the cache.
    void cache_as(cache_rounding const& rounding) noexcept { cache_rounding_ = rounding; }
    [[nodiscard]] cache_rounding const& cached_as() const noexcept { return cache_rounding_; }

    [[nodiscard]] bool has_codes() const noexcept { return codes_.size() != 0; }
    /// The codes, for a product with INT4 weights.
    [[nodiscard]] kernels::int4_activations codes() const {
        kernels::int4_activations r;
        r.codes = {codes_.data(), codes_.size()};
        r.n_rows = rows_;
        r.num_bits = num_bits_;
        r.scales = scales_;
        r.zero_points = zero_points_;
        return r;
    }

    /// s b without writing it out, s one column and b one row: what a bias under S_n is.
    [[nodiscard]] static engine_rows outer(engine_rows const& s, engine_rows const& b) {
        s.require_plain();
        b.require_plain();
        detail::require(s.cols() == 1 && b.rows() == 1, "engine_rows: a column times a row is expected");
        engine_rows r = b;
        r.rows_ = s.rows_;
        r.bias_scales_ = s.values_;
        return r;
    }
    /// One row b, or the b of s b.
    [[nodiscard]] std::span<float const> row_of_bias() const noexcept { return {values_.data(), cols_}; }
    /// The s of s b; empty if there is none.
    [[nodiscard]] std::span<float const> row_scales() const noexcept {
        return {bias_scales_.data(), bias_scales_.size()};
    }

private:
    struct step {
        enum class kind { silu, product, hadamard, row_factor };
        kind what;
        detail::row_buffer<float> operand;
        engine_hadamard const* transform;
    };

    void require_plain() const {
        detail::require(steps_.empty() && !has_codes() && bias_scales_.size() == 0,
                        "engine_rows: floats were asked of rows that are codes or have steps to run");
    }

    [[nodiscard]] engine_rows as_codes(int num_bits, std::size_t n_grids) const {
        detail::require(!has_codes() && bias_scales_.size() == 0, "engine_rows: quantised twice");
        engine_rows r;
        r.rows_ = rows_, r.cols_ = cols_;
        r.threads_ = threads_;
        r.num_bits_ = num_bits;
        r.codes_ = detail::row_buffer<std::int8_t>(size());
        r.scales_.resize(n_grids);
        r.zero_points_.resize(n_grids);
        return r;
    }

    /// f(first row, rows, scratch) for all rows, a few at a time.
    template <class F> void for_row_blocks(F const& f) const {
        constexpr std::size_t rows_at_a_time = 4;
        std::size_t const each = (scratch_size() + 15) / 16 * 16;
        detail::row_buffer<float> const scratch(each * threads_.n_workers());
        threads_.parallel_for(
            (rows_ + rows_at_a_time - 1) / rows_at_a_time, [&](std::size_t i, std::size_t worker) {
                std::size_t const begin = i * rows_at_a_time;
                f(begin, std::min(rows_at_a_time, rows_ - begin), scratch.data() + worker * each);
            });
    }
    [[nodiscard]] std::size_t scratch_size() const {
        std::size_t most = 0;
        for (step const& s : steps_)
            if (s.what == step::kind::hadamard) most = std::max(most, s.transform->scratch_size());
        return cols_ + most;
    }

    /// quantize(floats, first row, rows, codes) for all rows, each with its steps run just before.
    template <class Quantize> void quantize_blocks(engine_rows& r, Quantize const& quantize) const {
        for_row_blocks([&](std::size_t begin, std::size_t count, float* scratch) {
            std::int8_t* const codes = r.codes_.data() + begin * cols_;
            if (steps_.empty()) {
                quantize(std::span<float const>(values_.data() + begin * cols_, count * cols_), begin, count,
                         std::span<std::int8_t>(codes, count * cols_));
                return;
            }
            for (std::size_t i = 0; i < count; ++i) {
                run_steps(begin + i, scratch, scratch + cols_);
                quantize(std::span<float const>(scratch, cols_), begin + i, std::size_t{1},
                         std::span<std::int8_t>(codes + i * cols_, cols_));
            }
        });
    }

    /// Row i, its steps run, to out; scratch holds what T_d asks for.
    void run_steps(std::size_t i, float* out, float* scratch) const noexcept {
        std::span<float> const y(out, cols_);
        std::span<float const> x(values_.data() + i * cols_, cols_);
        for (std::size_t k = 0; k < steps_.size(); ++k) {
            step const& s = steps_[k];
            bool const is_last = k + 1 == steps_.size();
            switch (s.what) {
                case step::kind::silu:
                    if (!is_last && steps_[k + 1].what == step::kind::product) {
                        kernels::swiglu(x, row_of(steps_[++k], i), y);
                        break;
                    }
                    std::transform(x.begin(), x.end(), out,
                                   [](float v) { return v / (1.0F + std::exp(-v)); });
                    break;
                case step::kind::product:
                    std::transform(x.begin(), x.end(), row_of(s, i).begin(), out, std::multiplies<>());
                    break;
                case step::kind::row_factor: {
                    float const factor = s.operand.data()[i];
                    std::transform(x.begin(), x.end(), out, [factor](float v) { return v * factor; });
                    break;
                }
                case step::kind::hadamard: {
                    if (x.data() != out) std::copy(x.begin(), x.end(), out);
                    float factor = 1.0F;
                    if (!is_last && steps_[k + 1].what == step::kind::row_factor)
                        factor = steps_[++k].operand.data()[i];
                    s.transform->apply_to_row(out, factor, scratch);
                    break;
                }
            }
            x = y;
        }
    }
    [[nodiscard]] std::span<float const> row_of(step const& s, std::size_t i) const noexcept {
        return {s.operand.data() + i * cols_, cols_};
    }

    std::size_t rows_ = 0;
    std::size_t cols_ = 0;
    detail::row_buffer<float> values_{};
    std::vector<step> steps_{};
    detail::row_buffer<float> bias_scales_{};
    detail::row_buffer<std::int8_t> codes_{};
    std::vector<float> scales_{};              ///< of the codes: one, or one for each row
    std::vector<std::int32_t> zero_points_{};  ///< the same
    int num_bits_ = 8;
    cache_rounding cache_rounding_{};
    kernels::executor threads_{};
};

}  // namespace commutant
