// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include <commutant/kernels/detail/attention_avx2.hpp>
#include <commutant/kernels/detail/attention_avx512.hpp>
#include <commutant/kernels/detail/attention_neon.hpp>
#include <commutant/kernels/detail/attention_product.hpp>
#include <commutant/kernels/isa.hpp>

namespace commutant::kernels::detail {

// Without fused multiply-add there is no vector body: it could not give the same bits.
inline constexpr std::array multiply_bodies {
#if defined(COMMUTANT_KERNELS_X86)
    body<multiply_function>{isa::avx512bw, multiply_avx512},
        body<multiply_function>{isa::avx2, multiply_avx2},
#elif defined(COMMUTANT_KERNELS_NEON)
    body<multiply_function>{isa::neon, multiply_neon},
#endif
        body<multiply_function> {
        isa::scalar, multiply_scalar
    }
};
inline constexpr std::array expand_bodies {
#if defined(COMMUTANT_KERNELS_X86)
    body<expand_function>{isa::avx512bw, expand_avx512}, body<expand_function>{isa::avx2, expand_avx2},
#elif defined(COMMUTANT_KERNELS_NEON)
    body<expand_function>{isa::neon, expand_neon},
#endif
        body<expand_function> {
        isa::scalar, expand_scalar
    }
};

inline constexpr dispatched<multiply_bodies> multiply{};
inline constexpr dispatched<expand_bodies> expand{};

}  // namespace commutant::kernels::detail
