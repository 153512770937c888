// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include <commutant/kernels/detail/softmax_avx2.hpp>
#include <commutant/kernels/detail/softmax_avx512.hpp>
#include <commutant/kernels/detail/softmax_exp2.hpp>
#include <commutant/kernels/detail/softmax_neon.hpp>
#include <commutant/kernels/isa.hpp>

namespace commutant::kernels::detail {

inline constexpr std::array softmax_bodies {
#if defined(COMMUTANT_KERNELS_X86)
    body<softmax_function>{isa::avx512bw, softmax_avx512::weights},
        body<softmax_function>{isa::avx2, softmax_avx2::weights},
#elif defined(COMMUTANT_KERNELS_NEON)
    body<softmax_function>{isa::neon, softmax_neon::weights},
#endif
        body<softmax_function> {
        isa::scalar, softmax_scalar
    }
};

inline constexpr dispatched<softmax_bodies> softmax_weights{};

}  // namespace commutant::kernels::detail
