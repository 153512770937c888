// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include <commutant/kernels/detail/softmax_avx512.hpp>
#include <commutant/kernels/detail/softmax_exp2.hpp>
#include <commutant/kernels/isa.hpp>

namespace commutant::kernels::detail {

inline constexpr std::array softmax_bodies {
#if defined(COMMUTANT_KERNELS_X86)
    body<softmax_function>{isa::avx512bw, softmax_avx512::weights},
#endif
        body<softmax_function> {
        isa::scalar, softmax_scalar
    }
};

inline constexpr dispatched<softmax_bodies> softmax_weights{};

}  // namespace commutant::kernels::detail
