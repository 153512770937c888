// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/detail/quantize_xsimd.hpp>
#include <commutant/kernels/detail/residual_scale_scalar.hpp>
#include <commutant/kernels/isa.hpp>

// For aarch64 alone: xsimd 8.1 has no fused multiply-add for AVX-512 or SSE2, and sums must round as the scalar ones.
#if defined(COMMUTANT_KERNELS_XSIMD) && defined(COMMUTANT_KERNELS_NEON)
#define COMMUTANT_KERNELS_XSIMD_FMA 1

#include <cmath>
#include <cstddef>

namespace commutant::kernels::detail {

inline float add_and_square_xsimd(float* x, float const* branch, std::size_t n) noexcept {
    constexpr std::size_t lanes = float_batch::size;
    float_batch sums[n_square_sums / lanes];
    for (float_batch& s : sums) s = float_batch(0.0F);
    std::size_t i = 0;
    for (; i + n_square_sums <= n; i += n_square_sums) {
        for (std::size_t k = 0; k < n_square_sums / lanes; ++k) {
            float_batch z = float_batch::load_unaligned(x + i + k * lanes);
            if (branch != nullptr) {
                z = z + float_batch::load_unaligned(branch + i + k * lanes);
                z.store_unaligned(x + i + k * lanes);
            }
            sums[k] = xsimd::fma(z, z, sums[k]);
        }
    }
    float partial[n_square_sums];
    for (std::size_t k = 0; k < n_square_sums / lanes; ++k) sums[k].store_unaligned(partial + k * lanes);
    for (std::size_t k = 0; i < n; ++i, ++k) {
        if (branch != nullptr) x[i] += branch[i];
        partial[k] = std::fma(x[i], x[i], partial[k]);
    }
    return folded(partial);
}

inline void residual_scale_xsimd(residual_job const& job) noexcept {
    constexpr std::size_t lanes = float_batch::size;
    for (std::size_t r = 0; r < job.n_rows; ++r) {
        float* const x = job.x + r * job.n;
        float const square_sum =
            add_and_square_xsimd(x, job.branch == nullptr ? nullptr : job.branch + r * job.n, job.n);
        float const inverse = row_inverse_rms(job, r, square_sum);
        float* const y = job.s != nullptr ? x : job.normalised + r * job.normalised_stride;
        float_batch const factor(inverse);
        std::size_t i = 0;
        for (; i + lanes <= job.n; i += lanes) {
            float_batch v = float_batch::load_unaligned(x + i) * factor;
            if (job.gain != nullptr) v = v * float_batch::load_unaligned(job.gain + i);
            v.store_unaligned(y + i);
        }
        for (; i < job.n; ++i) {
            y[i] = x[i] * inverse;
            if (job.gain != nullptr) y[i] *= job.gain[i];
        }
        if (job.sink.is_active()) write_row_xsimd(job.sink, r, y, job.n, 1.0F);
    }
}

}  // namespace commutant::kernels::detail

#endif
