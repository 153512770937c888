// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/detail/swiglu_avx2.hpp>
#include <commutant/kernels/detail/swiglu_avx512.hpp>
#include <commutant/kernels/detail/swiglu_scalar.hpp>
#include <commutant/kernels/isa.hpp>

#include <array>
#include <cstddef>
#include <span>

namespace commutant::kernels {
namespace detail {

using swiglu_function = void(float const*, float const*, float*, std::size_t) noexcept;

inline constexpr std::array swiglu_bodies {
#if defined(COMMUTANT_KERNELS_X86)
    body<swiglu_function>{isa::avx512bw, swiglu_avx512}, body<swiglu_function>{isa::avx2, swiglu_avx2},
#endif
        body<swiglu_function>{isa::scalar, swiglu_scalar},
};

}  // namespace detail

/// The SwiGLU product.
///
/// Equation  y = gate / (1 + exp(-gate)) * up
/// Shape     gate, up, y: [n]
/// Alias     y may be gate or up, or lie apart
/// Tail      any n
/// Note      exp is within 2 ulp for -gate in [-87, 88] and constant beyond: there y is off by less than 1e-36 up. All
///           bodies agree bit for bit.
inline void swiglu(std::span<float const> gate, std::span<float const> up, std::span<float> y) noexcept {
    dispatched<detail::swiglu_bodies>{}(gate.data(), up.data(), y.data(), y.size());
}

}  // namespace commutant::kernels
