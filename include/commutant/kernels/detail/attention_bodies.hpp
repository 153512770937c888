// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include <commutant/kernels/detail/attention_product.hpp>
#include <commutant/kernels/isa.hpp>

namespace commutant::kernels::detail {

// Without fused multiply-add there is no vector body: it could not give the same bits.
inline constexpr std::array multiply_bodies{body<multiply_function>{isa::scalar, multiply_scalar}};
inline constexpr std::array expand_bodies{body<expand_function>{isa::scalar, expand_scalar}};

inline constexpr dispatched<multiply_bodies> multiply{};
inline constexpr dispatched<expand_bodies> expand{};

}  // namespace commutant::kernels::detail
