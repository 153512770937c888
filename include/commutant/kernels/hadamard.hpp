// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/detail/hadamard_core_avx2.hpp>
#include <commutant/kernels/detail/hadamard_core_avx512.hpp>
#include <commutant/kernels/detail/hadamard_core_portable.hpp>
#include <commutant/kernels/detail/hadamard_plan.hpp>
#include <commutant/kernels/detail/hadamard_scalar.hpp>
#include <commutant/kernels/isa.hpp>
#include <commutant/kernels/quantize.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

namespace commutant::kernels {

/// Vectors at equal distances.
struct hadamard_shape {
    std::size_t n_rows = 1;
    std::size_t row_size = 0;    ///< one or more whole blocks of plan.size()
    std::size_t row_stride = 0;  ///< elements from one row to the next; 0 means row_size

    [[nodiscard]] constexpr std::size_t stride() const noexcept {
        return row_stride == 0 ? row_size : row_stride;
    }
};

/// What is multiplied in around H.
template <std::floating_point T> struct hadamard_factors {
    T scale = T{1};                  ///< of everything, such as 1 / sqrt(plan.size())
    std::span<T const> row_scale{};  ///< [n_rows], such as the token scale S; empty: none
    std::span<std::uint32_t const>
        flips{};  ///< bit i % 32 of word i / 32 set: feature i changes its sign before H;
                  ///< [ceil(row_size / 32)]; empty: none
};

/// Elements of scratch for hadamard_quantize.
[[nodiscard]] inline std::size_t hadamard_quantize_scratch_size(hadamard_plan const& plan,
                                                                std::size_t row_size) noexcept {
    return hadamard_plan::alignment + (row_size + 15) / 16 * 16 + plan.scratch_size();
}

namespace detail {

template <class T> using hadamard_function = void(hadamard_plan const&, hadamard_job<T> const&) noexcept;

template <class T> inline constexpr std::array hadamard_bodies {
#if defined(COMMUTANT_KERNELS_X86)
    body<hadamard_function<T>>{isa::avx512bw, hadamard_avx512<T>},
        body<hadamard_function<T>>{isa::avx2, hadamard_avx2<T>},
#endif
#if defined(COMMUTANT_KERNELS_PORTABLE_VECTORS)
        body<hadamard_function<T>>{portable_vectors, hadamard_portable<T>},
#endif
        body<hadamard_function<T>>{isa::scalar, hadamard_scalar<T>},
};

template <class T>
[[nodiscard]] inline hadamard_job<T> job_of(T const* source, T* target, hadamard_shape shape,
                                            std::size_t target_stride, hadamard_factors<T> const& factors,
                                            T* scratch) noexcept {
    return {source,
            target,
            shape.n_rows,
            shape.row_size,
            shape.stride(),
            target_stride,
            factors.scale,
            factors.row_scale.empty() ? nullptr : factors.row_scale.data(),
            factors.flips.empty() ? nullptr : factors.flips.data(),
            scratch,
            code_sink{}};
}

template <class T>
inline void hadamard_in_place(hadamard_plan const& plan, std::span<T> x, hadamard_shape shape,
                              hadamard_factors<T> const& factors, std::span<T> scratch) noexcept {
    // Short rows are not worth a start each.
    if (factors.row_scale.empty() && factors.flips.empty() && shape.stride() == shape.row_size)
        shape = {1, shape.n_rows * shape.row_size, 0};
    hadamard_job<T> const job = job_of<T>(x.data(), x.data(), shape, shape.stride(), factors, scratch.data());
    dispatched<hadamard_bodies<T>>{}.template operator()<hadamard_plan const&, hadamard_job<T> const&>(plan,
                                                                                                       job);
}

template <class Sink>
inline void hadamard_quantize(hadamard_plan const& plan, std::span<float const> x, hadamard_shape shape,
                              hadamard_factors<float> const& factors, Sink const& out,
                              std::span<float> scratch) noexcept {
    float* const row = cache_line_from(scratch.data());
    hadamard_job<float> job =
        job_of<float>(x.data(), row, shape, 0, factors, row + (shape.row_size + 15) / 16 * 16);
    job.sink = sink_of(out);
    dispatched<hadamard_bodies<float>>{}
        .template operator()<hadamard_plan const&, hadamard_job<float> const&>(plan, job);
}

}  // namespace detail

/// Rows times a Hadamard matrix, in place.
///
/// Equation  x <- scale * row_scale * (x D) H, or H^T as the plan says, D = diag(+-1) of flips, H unnormalised; each
///           block of plan.size() features on its own
/// Shape     x: rows of shape; scratch: [plan.scratch_size()]
/// Alias     scratch lies apart from x
/// Tail      any order that a plan can be made for
/// Note      the order of additions is that of the scalar body, which for 2^k is apply_sylvester's: all bodies agree
///           bit for bit on finite rows. A row with an infinity comes out infinite or NaN
inline void hadamard_in_place(hadamard_plan const& plan, std::span<float> x, hadamard_shape shape,
                              hadamard_factors<float> const& factors, std::span<float> scratch) noexcept {
    detail::hadamard_in_place(plan, x, shape, factors, scratch);
}
inline void hadamard_in_place(hadamard_plan const& plan, std::span<double> x, hadamard_shape shape,
                              hadamard_factors<double> const& factors, std::span<double> scratch) noexcept {
    detail::hadamard_in_place(plan, x, shape, factors, scratch);
}

/// Rows times a Hadamard matrix, quantised, in one pass over memory: int8 or packed 4-bit codes on a grid that is known
/// or made for each row.
///
/// Equation  codes of y = scale * row_scale * (x D) H on the grid of out; the factor is merged into the grid's 1 / scale,
///           so codes may differ from those of a rounded y where y / scale is within three ulp of a tie
/// Shape     x: rows of shape, unchanged; scratch: [hadamard_quantize_scratch_size(plan, shape.row_size)]
/// Alias     scratch and out lie apart from x and from each other
inline void hadamard_quantize(hadamard_plan const& plan, std::span<float const> x, hadamard_shape shape,
                              hadamard_factors<float> const& factors, static_codes out,
                              std::span<float> scratch) noexcept {
    detail::hadamard_quantize(plan, x, shape, factors, out, scratch);
}
inline void hadamard_quantize(hadamard_plan const& plan, std::span<float const> x, hadamard_shape shape,
                              hadamard_factors<float> const& factors, static_nibbles out,
                              std::span<float> scratch) noexcept {
    detail::hadamard_quantize(plan, x, shape, factors, out, scratch);
}
inline void hadamard_quantize(hadamard_plan const& plan, std::span<float const> x, hadamard_shape shape,
                              hadamard_factors<float> const& factors, dynamic_codes out,
                              std::span<float> scratch) noexcept {
    detail::hadamard_quantize(plan, x, shape, factors, out, scratch);
}
inline void hadamard_quantize(hadamard_plan const& plan, std::span<float const> x, hadamard_shape shape,
                              hadamard_factors<float> const& factors, dynamic_nibbles out,
                              std::span<float> scratch) noexcept {
    detail::hadamard_quantize(plan, x, shape, factors, out, scratch);
}

}  // namespace commutant::kernels
