// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/detail/residual_scale_avx2.hpp>
#include <commutant/kernels/detail/residual_scale_avx512.hpp>
#include <commutant/kernels/detail/residual_scale_scalar.hpp>
#include <commutant/kernels/detail/residual_scale_xsimd.hpp>
#include <commutant/kernels/isa.hpp>
#include <commutant/kernels/quantize.hpp>

#include <array>
#include <cstddef>
#include <span>

namespace commutant::kernels {

/// A residual stream of n_rows tokens and one step's numbers.
struct residual_step {
    std::size_t n_rows = 1;
    float eps = 1e-5F;
    residual_eps rule = residual_eps::exact;  ///< of scale_residual only
};

namespace detail {

using residual_function = void(residual_job const&) noexcept;

inline constexpr std::array residual_bodies {
#if defined(COMMUTANT_KERNELS_X86)
    body<residual_function>{isa::avx512bw, residual_scale_avx512},
        body<residual_function>{isa::avx2, residual_scale_avx2},
#endif
#if defined(COMMUTANT_KERNELS_XSIMD_FMA)
        body<residual_function>{isa::xsimd, residual_scale_xsimd},
#endif
        body<residual_function>{isa::scalar, residual_scale_scalar},
};

inline void run_residual(residual_job const& job) noexcept {
    if (job.n_rows == 0 || job.n == 0) return;
    dispatched<residual_bodies>{}.operator()<residual_job const&>(job);
}

[[nodiscard]] inline residual_job scale_job(std::span<float> x, std::span<float const> branch,
                                            std::span<float> s, residual_step step,
                                            code_sink const& sink) noexcept {
    std::size_t const n = step.n_rows == 0 ? 0 : x.size() / step.n_rows;
    return {x.data(),    branch.empty() ? nullptr : branch.data(),
            s.data(),    nullptr,
            nullptr,     0,
            step.n_rows, n,
            step.eps,    step.rule,
            sink};
}

[[nodiscard]] inline residual_job norm_job(std::span<float> x, std::span<float const> branch,
                                           std::span<float const> gain, residual_step step, float* normalised,
                                           bool one_row, code_sink const& sink) noexcept {
    std::size_t const n = step.n_rows == 0 ? 0 : x.size() / step.n_rows;
    return {x.data(),    branch.empty() ? nullptr : branch.data(),
            nullptr,     gain.empty() ? nullptr : gain.data(),
            normalised,  one_row ? 0 : n,
            step.n_rows, n,
            step.eps,    residual_eps::plain,
            sink};
}

}  // namespace detail

/// One step of the residual stream with per-token scaling (S_n), in one pass over memory.
///
/// Equation  z = x + branch, r = sqrt(mean(z^2) + eps s^2), or + eps for residual_eps::plain;
///           x <- z (1 / r), s <- s (1 / r)
/// Shape     x, branch: [n_rows, n]; s: [n_rows]; branch empty: zero
/// Alias     branch may be x itself, or lie apart
/// Tail      any n
/// Note      branch is F(x) with s already in it, as the layers in front of it take s. mean(z^2) is summed in 64 partial
///           sums, element i in sum i % 64, which are then folded in halves: all bodies agree bit for bit.
inline void scale_residual(std::span<float> x, std::span<float const> branch, std::span<float> s,
                           residual_step step) noexcept {
    detail::run_residual(detail::scale_job(x, branch, s, step, {}));
}

/// The same, and the codes of the new x.
///
/// Note      Sink is static_codes, static_nibbles, dynamic_codes or dynamic_nibbles
template <class Sink>
inline void scale_residual(std::span<float> x, std::span<float const> branch, std::span<float> s,
                           residual_step step, Sink const& out) noexcept {
    detail::run_residual(detail::scale_job(x, branch, s, step, detail::sink_of(out)));
}

/// The first step: s <- (mean(x^2) + eps)^-1/2, x <- s x, on the embedded tokens.
///
/// Shape     x: [n_rows, n]; s: [n_rows], written
inline void start_scaled_residual(std::span<float> x, std::span<float> s, residual_step step) noexcept {
    for (float& scale : s) scale = 1.0F;
    scale_residual(x, {}, s, step);
}

/// The same, and the codes of the new x.
template <class Sink>
inline void start_scaled_residual(std::span<float> x, std::span<float> s, residual_step step,
                                  Sink const& out) noexcept {
    for (float& scale : s) scale = 1.0F;
    scale_residual(x, {}, s, step, out);
}

/// The residual stream as checkpoints mean it: adds the branch, and normalises a copy for the next reader.
///
/// Equation  x <- x + branch; normalised = x (mean(x^2) + eps)^-1/2 gain
/// Shape     x, branch, normalised: [n_rows, n]; gain: [n]; branch empty: zero; gain empty: one
/// Alias     branch may be x itself; normalised lies apart
/// Tail      any n
inline void add_rms_norm(std::span<float> x, std::span<float const> branch, std::span<float const> gain,
                         residual_step step, std::span<float> normalised) noexcept {
    detail::run_residual(detail::norm_job(x, branch, gain, step, normalised.data(), false, {}));
}

/// The same, but only the codes of the normalised copy are kept.
///
/// Shape     scratch: [n]
/// Note      Sink is static_codes, static_nibbles, dynamic_codes or dynamic_nibbles
template <class Sink>
inline void add_rms_norm(std::span<float> x, std::span<float const> branch, std::span<float const> gain,
                         residual_step step, Sink const& out, std::span<float> scratch) noexcept {
    detail::run_residual(detail::norm_job(x, branch, gain, step, scratch.data(), true, detail::sink_of(out)));
}

}  // namespace commutant::kernels
