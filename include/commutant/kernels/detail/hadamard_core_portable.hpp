// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/detail/hadamard_core_terms.hpp>
#include <commutant/kernels/detail/hadamard_fold.hpp>
#include <commutant/kernels/detail/hadamard_plan.hpp>
#include <commutant/kernels/detail/hadamard_portable.hpp>
#include <commutant/kernels/detail/hadamard_scalar.hpp>
#include <commutant/kernels/detail/quantize_xsimd.hpp>
#include <commutant/kernels/isa.hpp>

#if defined(COMMUTANT_KERNELS_PORTABLE_VECTORS)

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace commutant::kernels::detail::core_portable {

template <class T> using registers = v16_of<T>;
inline constexpr std::size_t sums_at_once = 4, outputs_at_once = 9;
#if defined(COMMUTANT_KERNELS_X86)
inline constexpr bool writes_cores = false;  // processors without AVX2 are not worth it
#else
inline constexpr bool writes_cores = true;
#endif

COMMUTANT_INLINE v16_of<float>::reg one_apart() noexcept { return v16_of<float>::all(1.0F); }
COMMUTANT_INLINE v16_of<float>::reg less(v16_of<float>::reg y, v16_of<float>::reg v,
                                         v16_of<float>::reg /*one*/) noexcept {
    return y - v;
}

#define COMMUTANT_CORE_TARGET
#include <commutant/kernels/detail/hadamard_core_text.hpp>
#include <commutant/kernels/detail/hadamard_grouped_text.hpp>
#undef COMMUTANT_CORE_TARGET

}  // namespace commutant::kernels::detail::core_portable

namespace commutant::kernels::detail {

template <class T>
inline void hadamard_portable(hadamard_plan const& plan, hadamard_job<T> const& job) noexcept {
    constexpr std::size_t lanes = v16_of<T>::lanes;
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
                short_runs_portable(source, target, job.row_size, width, job.flips, factor);
            else
                butterflies_portable<T>(source, target, job.row_size, width, {job.flips, 0, factor});
        } else if (width < lanes) {
            short_runs_portable(source, target, job.row_size, width, job.flips, T{1});
            for (std::size_t at = 0; at < job.row_size; at += plan.size())
                apply_core_columns(plan, target + at, 0, width, job.scratch);
            if (factor != T{1})
                for (std::size_t i = 0; i < job.row_size; ++i) target[i] *= factor;
        } else {
            for (std::size_t at = 0; at < job.row_size; at += plan.size()) {
                for (std::size_t c = 0; c < plan.core(); ++c)
                    butterflies_portable<T>(source + at + c * width, scratch + c * stride, width, width,
                                            {job.flips, at + c * width, T{1}});
                core_portable::apply_core(plan, scratch, stride, target + at, table, factor);
            }
        }
        if constexpr (sizeof(T) == 4) {
            if (job.sink.is_active()) write_row_xsimd(job.sink, r, target, job.row_size, row_factor);
        }
    }
}

}  // namespace commutant::kernels::detail

#endif
