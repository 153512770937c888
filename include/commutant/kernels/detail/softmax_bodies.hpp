// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include <commutant/kernels/detail/softmax_exp2.hpp>
#include <commutant/kernels/isa.hpp>

namespace commutant::kernels::detail {

inline constexpr std::array softmax_bodies{body<softmax_function>{isa::scalar, softmax_scalar}};

inline constexpr dispatched<softmax_bodies> softmax_weights{};

}  // namespace commutant::kernels::detail
