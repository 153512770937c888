// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/detail/hadamard_avx2.hpp>
#include <commutant/kernels/detail/hadamard_core_terms.hpp>
#include <commutant/kernels/detail/hadamard_fold.hpp>
#include <commutant/kernels/detail/hadamard_plan.hpp>
#include <commutant/kernels/detail/hadamard_scalar.hpp>
#include <commutant/kernels/detail/quantize_avx2.hpp>
#include <commutant/kernels/isa.hpp>

#if defined(COMMUTANT_KERNELS_X86)

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace commutant::kernels::detail::core_avx2 {

template <class T> using registers = ymm_of<T>;
inline constexpr std::size_t sums_at_once = 4, outputs_at_once = 9;
inline constexpr bool writes_cores = true;

COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE __m256 one_apart() noexcept {
    __m256 one = ymm_of<float>::all(1.0F);
    __asm__("" : "+x"(one));
    return one;
}
COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE __m256 less(__m256 y, __m256 v, __m256 one) noexcept {
    return ymm_of<float>::fnma(one, v, y);
}

#define COMMUTANT_CORE_TARGET COMMUTANT_TARGET_AVX2
#include <commutant/kernels/detail/hadamard_core_text.hpp>
#include <commutant/kernels/detail/hadamard_grouped_text.hpp>
#undef COMMUTANT_CORE_TARGET

}  // namespace commutant::kernels::detail::core_avx2

namespace commutant::kernels::detail {

template <class T>
COMMUTANT_TARGET_AVX2 inline void hadamard_avx2(hadamard_plan const& plan,
                                                hadamard_job<T> const& job) noexcept {
    constexpr std::size_t lanes = ymm_of<T>::lanes;
    std::size_t const width = plan.butterflies();
    std::size_t const stride = width + hadamard_plan::row_gap;
    T* const scratch = cache_line_from(job.scratch);
    T* const table = scratch + plan.core() * stride;
    for (std::size_t r = 0; r < job.n_rows; ++r) {
        T const* const source = job.source + r * job.source_stride;
        T* const target = job.target + r * job.target_stride;
        T const row_factor = job.factor_of(r);
        T const factor = job.sink.is_active() ? T{1} : row_factor;
        if (plan.core() == 1) {
            if (width < lanes)
                short_runs_avx2(source, target, job.row_size, width, job.flips, factor);
            else
                butterflies_avx2<T>(source, target, job.row_size, width, {job.flips, 0, factor});
        } else if (width < lanes) {
            short_runs_avx2(source, target, job.row_size, width, job.flips, T{1});
            for (std::size_t at = 0; at < job.row_size; at += plan.size())
                apply_core_columns(plan, target + at, 0, width, job.scratch);
            if (factor != T{1})
                for (std::size_t i = 0; i < job.row_size; ++i) target[i] *= factor;
        } else {
            for (std::size_t at = 0; at < job.row_size; at += plan.size()) {
                for (std::size_t c = 0; c < plan.core(); ++c)
                    butterflies_avx2<T>(source + at + c * width, scratch + c * stride, width, width,
                                        {job.flips, at + c * width, T{1}});
                core_avx2::apply_core(plan, scratch, stride, target + at, table, factor);
            }
        }
        if constexpr (sizeof(T) == 4) {
            if (job.sink.is_active()) write_row_avx2(job.sink, r, target, job.row_size, row_factor);
        }
    }
}

}  // namespace commutant::kernels::detail

#endif
