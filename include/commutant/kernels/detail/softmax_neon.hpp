// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/isa.hpp>

#if defined(COMMUTANT_KERNELS_NEON)

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include <commutant/kernels/detail/softmax_exp2.hpp>

namespace commutant::kernels::detail {

/// softmax_scalar in 128-bit registers: four of them are the 16 parts of the sum; what is left over goes one by one.
struct softmax_neon {
    COMMUTANT_INLINE static float32x4_t exp2(float32x4_t y) noexcept {
        // NaN is not below anything, so it stays
        uint32x4_t const nothing = vcltq_f32(y, vdupq_n_f32(exp2_lowest));
        float32x4_t const magic = vdupq_n_f32(exp2_magic);
        float32x4_t const shifted = vaddq_f32(y, magic);
        float32x4_t const r = vsubq_f32(y, vsubq_f32(shifted, magic));
        float32x4_t p = vfmaq_n_f32(vdupq_n_f32(exp2_coefficients[4]), r, exp2_coefficients[5]);
        p = vfmaq_f32(vdupq_n_f32(exp2_coefficients[3]), r, p);
        p = vfmaq_f32(vdupq_n_f32(exp2_coefficients[2]), r, p);
        p = vfmaq_f32(vdupq_n_f32(exp2_coefficients[1]), r, p);
        p = vfmaq_f32(vdupq_n_f32(exp2_coefficients[0]), r, p);
        p = vfmaq_f32(vdupq_n_f32(1), r, p);
        uint32x4_t const w =
            vaddq_u32(vreinterpretq_u32_f32(p), vshlq_n_u32(vreinterpretq_u32_f32(shifted), 23));
        return vreinterpretq_f32_u32(vbicq_u32(w, nothing));
    }

    static float weights(float* row, std::size_t n, float factor, float const* scales,
                         float const* multipliers) noexcept {
        if (n == 0) return 0;
        std::size_t const whole = n / 16 * 16;
        if (scales != nullptr)
            for (std::size_t i = 0; i < n; ++i) row[i] *= scales[i];
        float32x4_t max[4];
        for (float32x4_t& m : max) m = vdupq_n_f32(row[0]);
        for (std::size_t i = 0; i < whole; i += 16)
#pragma GCC unroll 4
            for (std::size_t k = 0; k < 4; ++k) max[k] = vmaxnmq_f32(vld1q_f32(row + i + 4 * k), max[k]);
        float largest = vmaxnmvq_f32(vmaxnmq_f32(vmaxnmq_f32(max[0], max[1]), vmaxnmq_f32(max[2], max[3])));
        for (std::size_t i = whole; i < n; ++i) largest = row[i] > largest ? row[i] : largest;
        float const shift = -(largest * factor);
        alignas(16) std::array<float, 16> part{};
        float32x4_t sum[4];
        for (float32x4_t& s : sum) s = vdupq_n_f32(0);
        for (std::size_t i = 0; i < whole; i += 16)
#pragma GCC unroll 4
            for (std::size_t k = 0; k < 4; ++k) {
                float* const at = row + i + 4 * k;
                float32x4_t w = exp2(vfmaq_n_f32(vdupq_n_f32(shift), vld1q_f32(at), factor));
                sum[k] = vaddq_f32(sum[k], w);
                if (multipliers != nullptr) w = vmulq_f32(w, vld1q_f32(multipliers + i + 4 * k));
                vst1q_f32(at, w);
            }
        for (std::size_t k = 0; k < 4; ++k) vst1q_f32(part.data() + 4 * k, sum[k]);
        for (std::size_t i = whole; i < n; ++i) {
            float const w = exp2_scalar(std::fma(row[i], factor, shift));
            part[i % 16] += w;
            row[i] = multipliers == nullptr ? w : w * multipliers[i];
        }
        return sum_of_parts(part);
    }
};

}  // namespace commutant::kernels::detail

#endif
