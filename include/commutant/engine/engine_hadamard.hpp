// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <memory>
#include <span>

#include <commutant/kernels/hadamard.hpp>
#include <commutant/transforms/block_hadamard.hpp>

namespace commutant {

/// T_d of the deploy reading; see block_hadamard_map.
class engine_hadamard {
public:
    explicit engine_hadamard(block_hadamard_map const& t)
        : dim_(t.dim()),
          share_(1.0F / std::sqrt(static_cast<float>(t.block()))),
          plan_(std::make_shared<kernels::hadamard_plan const>(t.block(), t.side())) {}

    [[nodiscard]] std::size_t dim() const noexcept { return dim_; }
    /// Floats of scratch that apply_to_row asks for.
    [[nodiscard]] std::size_t scratch_size() const noexcept { return plan_->scratch_size(); }
    /// row <- factor row H / sqrt(block).  row: [dim()]; scratch: [scratch_size()]
    void apply_to_row(float* row, float factor, float* scratch) const noexcept {
        kernels::hadamard_factors<float> factors;
        factors.scale = share_ * factor;
        kernels::hadamard_in_place(*plan_, std::span<float>(row, dim_), {1, dim_, 0}, factors,
                                   std::span<float>(scratch, scratch_size()));
    }

private:
    std::size_t dim_;
    float share_;
    std::shared_ptr<kernels::hadamard_plan const> plan_;  ///< shared: copies of a decoder need one
};

}  // namespace commutant
