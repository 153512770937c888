// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/detail/hadamard_scalar.hpp>
#include <commutant/kernels/isa.hpp>

#if defined(COMMUTANT_KERNELS_X86)

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace commutant::kernels::detail {

/// 512-bit registers of T as butterflies want them.
template <class T> struct zmm_of;

template <> struct zmm_of<float> {
    using reg = __m512;
    static constexpr std::size_t lanes = 16;

    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static reg load(float const* p) noexcept {
        return _mm512_loadu_ps(p);
    }
    /// A load that is not made part of the instructions that use it, which would each load again.
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static reg load_apart(float const* p) noexcept {
        reg v = load(p);
        __asm__("" : "+v"(v));
        return v;
    }
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static void store(float* p, reg v) noexcept {
        _mm512_storeu_ps(p, v);
    }
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static reg load_first(float const* p, std::size_t n) noexcept {
        return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1U << n) - 1U), p);
    }
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static void store_first(float* p, std::size_t n,
                                                                       reg v) noexcept {
        _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1U << n) - 1U), v);
    }
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static reg all(float v) noexcept { return _mm512_set1_ps(v); }
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static reg add(reg a, reg b) noexcept {
        return _mm512_add_ps(a, b);
    }
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static reg sub(reg a, reg b) noexcept {
        return _mm512_sub_ps(a, b);
    }
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static reg mul(reg a, reg b) noexcept {
        return _mm512_mul_ps(a, b);
    }
    /// a b + c, rounded once.
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static reg fma(reg a, reg b, reg c) noexcept {
        return _mm512_fmadd_ps(a, b, c);
    }
    /// c - a b, rounded once.
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static reg fnma(reg a, reg b, reg c) noexcept {
        return _mm512_fnmadd_ps(a, b, c);
    }
    /// Signs changed where a bit is set.
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static reg flipped(reg v, std::uint32_t bits) noexcept {
        return _mm512_mask_xor_ps(v, static_cast<__mmask16>(bits), v, _mm512_set1_ps(-0.0F));
    }
    /// Lanes whose numbers differ in one bit change places.
    template <unsigned Bit> COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static reg swapped(reg v) noexcept {
        if constexpr (Bit == 1)
            return _mm512_permute_ps(v, 0xb1);
        else if constexpr (Bit == 2)
            return _mm512_permute_ps(v, 0x4e);
        else if constexpr (Bit == 4)
            return _mm512_shuffle_f32x4(v, v, 0xb1);
        else
            return _mm512_shuffle_f32x4(v, v, 0x4e);
    }
};

template <> struct zmm_of<double> {
    using reg = __m512d;
    static constexpr std::size_t lanes = 8;

    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static reg load(double const* p) noexcept {
        return _mm512_loadu_pd(p);
    }
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static reg load_apart(double const* p) noexcept {
        reg v = load(p);
        __asm__("" : "+v"(v));
        return v;
    }
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static void store(double* p, reg v) noexcept {
        _mm512_storeu_pd(p, v);
    }
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static reg load_first(double const* p,
                                                                     std::size_t n) noexcept {
        return _mm512_maskz_loadu_pd(static_cast<__mmask8>((1U << n) - 1U), p);
    }
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static void store_first(double* p, std::size_t n,
                                                                       reg v) noexcept {
        _mm512_mask_storeu_pd(p, static_cast<__mmask8>((1U << n) - 1U), v);
    }
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static reg all(double v) noexcept { return _mm512_set1_pd(v); }
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static reg add(reg a, reg b) noexcept {
        return _mm512_add_pd(a, b);
    }
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static reg sub(reg a, reg b) noexcept {
        return _mm512_sub_pd(a, b);
    }
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static reg mul(reg a, reg b) noexcept {
        return _mm512_mul_pd(a, b);
    }
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static reg fma(reg a, reg b, reg c) noexcept {
        return _mm512_fmadd_pd(a, b, c);
    }
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static reg fnma(reg a, reg b, reg c) noexcept {
        return _mm512_fnmadd_pd(a, b, c);
    }
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static reg flipped(reg v, std::uint32_t bits) noexcept {
        return _mm512_mask_xor_pd(v, static_cast<__mmask8>(bits), v, _mm512_set1_pd(-0.0));
    }
    template <unsigned Bit> COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static reg swapped(reg v) noexcept {
        if constexpr (Bit == 1)
            return _mm512_permute_pd(v, 0x55);
        else if constexpr (Bit == 2)
            return _mm512_shuffle_f64x2(v, v, 0xb1);
        else
            return _mm512_shuffle_f64x2(v, v, 0x4e);
    }
};

/// +1 where the lane's number lacks bit 2^k, -1 where it has it, for k = 0, 1, ..
template <class T> struct zmm_stage_signs {
    static constexpr std::size_t n_stages = sizeof(T) == 4 ? 4 : 3;
    alignas(64) T values[n_stages][zmm_of<T>::lanes] = {};

    constexpr zmm_stage_signs() noexcept {
        for (std::size_t k = 0; k < n_stages; ++k)
            for (std::size_t i = 0; i < zmm_of<T>::lanes; ++i)
                values[k][i] = (i >> k & 1) != 0 ? T{-1} : T{1};
    }
};
template <class T> inline constexpr zmm_stage_signs<T> zmm_signs{};

/// Signs of the stages within a register, and a one that the compiler does not see through.
template <class T> struct zmm_constants { typename zmm_of<T>::reg one, s1, s2, s4, s8, factor; };

template <class T>
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE zmm_constants<T> make_zmm_constants(T factor) noexcept {
    using z = zmm_of<T>;
    auto const& signs = zmm_signs<T>.values;
    typename z::reg one = z::all(T{1}), s1 = z::load(signs[0]), s2 = z::load(signs[1]),
                    s4 = z::load(signs[2]);
    typename z::reg s8 = z::load(signs[zmm_stage_signs<T>::n_stages - 1]);
    __asm__("" : "+v"(one), "+v"(s1), "+v"(s2), "+v"(s4), "+v"(s8));
    return {one, s1, s2, s4, s8, z::all(factor)};
}

/// One stage within a register: low + high and low - high for lanes that differ in a bit.
template <class T, unsigned Bit>
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE typename zmm_of<T>::reg zmm_stage(
    typename zmm_of<T>::reg v, typename zmm_of<T>::reg signs) noexcept {
    return zmm_of<T>::fma(v, signs, zmm_of<T>::template swapped<Bit>(v));
}

/// All stages within each of N registers, stage by stage: the next register's instructions fill the waits of one.
template <class T, int N>
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE void zmm_lane_stages(typename zmm_of<T>::reg* v,
                                                                zmm_constants<T> const& c) noexcept {
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) v[i] = zmm_stage<T, 1>(v[i], c.s1);
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) v[i] = zmm_stage<T, 2>(v[i], c.s2);
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) v[i] = zmm_stage<T, 4>(v[i], c.s4);
    if constexpr (zmm_of<T>::lanes == 16) {
#pragma GCC unroll 16
        for (int i = 0; i < N; ++i) v[i] = zmm_stage<T, 8>(v[i], c.s8);
    }
}

/// Whether a difference of a stage, numbered within it, is computed on the multipliers, as low - 1 high, and not on the
/// adders, where all sums are. A single stage is all on the adders.
///
/// Found by measuring every choice of none, half and all for each stage, see docs/explanation/performance.md. In a first pass
/// the multiply-adds within registers come before, in a next one loads; and a multiply-add whose result is stored next
/// waits for earlier 512-bit stores.
template <int Stages>
[[nodiscard]] constexpr bool is_difference_multiplied(bool first_pass, int stage, int difference) noexcept {
    bool const begins = stage == 0, ends = stage == Stages - 1;
    if (first_pass ? begins : ends) return false;
    if (first_pass ? ends : begins) return difference % 2 != 0;
    return true;
}

/// Butterflies among 2^Stages registers.
template <class T, int Stages, bool FirstPass>
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE void zmm_butterflies(typename zmm_of<T>::reg* v,
                                                                typename zmm_of<T>::reg one) noexcept {
    using z = zmm_of<T>;
#pragma GCC unroll 4
    for (int s = 0; s < Stages; ++s) {
        int difference = 0;
#pragma GCC unroll 16
        for (int i = 0; i < 1 << Stages; ++i) {
            if ((i >> s & 1) != 0) continue;
            typename z::reg const low = v[i];
            typename z::reg const high = v[i + (1 << s)];
            v[i] = z::add(low, high);
            v[i + (1 << s)] = is_difference_multiplied<Stages>(FirstPass, s, difference++)
                                  ? z::fnma(one, high, low)
                                  : z::sub(low, high);
        }
    }
}

/// What butterflies have around them.
template <class T> struct zmm_butterfly_ends {
    std::uint32_t const* flips;  ///< null: none
    std::size_t element;         ///< of the first flip
    T factor;                    ///< 1: none
    int lines_ahead;  ///< to ask memory for with every 16 registers: 12, 16, or 0 as source is in a cache
};

/// Bytes from what is read to what memory is asked for while there is something to compute.
inline constexpr std::size_t hadamard_prefetch_distance = 16384;

template <std::size_t Lines, class T>
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE void prefetch_ahead(T const* p) noexcept {
    constexpr std::size_t line = 64;
    auto const* const at = reinterpret_cast<char const*>(p) + hadamard_prefetch_distance;
#pragma GCC unroll 16
    for (std::size_t i = 0; i < Lines; ++i) _mm_prefetch(at + i * line, _MM_HINT_T0);
}

/// Where a first pass writes runs of 2^Stages registers: one behind the other, or register i of run r to [i, r] of an array
/// whose rows lie column_apart elements apart.
template <class T, int Stages, bool ByColumn> struct zmm_run_target {
    T* p;
    std::size_t column_apart;

    /// From so many elements of the source on, the beginning of a run.
    [[nodiscard]] zmm_run_target from(std::size_t element) const noexcept {
        return {p + (ByColumn ? element >> Stages : element), column_apart};
    }
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE void store(int i, typename zmm_of<T>::reg v) const noexcept {
        constexpr int columns = 1 << Stages;
        if constexpr (ByColumn)
            zmm_of<T>::store(p + static_cast<std::size_t>(i / columns) * zmm_of<T>::lanes +
                                 static_cast<std::size_t>(i % columns) * column_apart,
                             v);
        else
            zmm_of<T>::store(p + static_cast<std::size_t>(i) * zmm_of<T>::lanes, v);
    }
};

/// All stages within N registers and the next Stages ones, from source to target.
template <class T, int Stages, int N, bool Flip, bool Scale, bool ByColumn>
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE void first_registers_avx512(
    T const* source, zmm_run_target<T, Stages, ByColumn> target, zmm_butterfly_ends<T> const& ends,
    zmm_constants<T> const& c) noexcept {
    using z = zmm_of<T>;
    constexpr int at_once = N < 8 ? N : 8;  // for which the constants and swapped lanes leave room
    typename z::reg v[N];
#pragma GCC unroll 2
    for (int begin = 0; begin < N; begin += at_once) {
#pragma GCC unroll 16
        for (int i = begin; i < begin + at_once; ++i) {
            std::size_t const k = static_cast<std::size_t>(i) * z::lanes;
            v[i] = z::load_apart(source + k);
            if constexpr (Flip) v[i] = z::flipped(v[i], flip_bits(ends.flips, ends.element + k));
        }
        zmm_lane_stages<T, at_once>(v + begin, c);
    }
#pragma GCC unroll 8
    for (int i = 0; i < N; i += 1 << Stages) zmm_butterflies<T, Stages, true>(v + i, c.one);
#pragma GCC unroll 16
    for (int i = 0; i < N; ++i) {
        if constexpr (Scale) v[i] = z::mul(v[i], c.factor);
        target.store(i, v[i]);
    }
}

/// All stages within registers and the next Stages ones, from source to target.
///
/// Shape     length: a multiple of lanes << Stages
template <class T, int Stages, bool Flip, bool Scale, bool ByColumn>
COMMUTANT_TARGET_AVX512BW void first_pass_avx512(T const* source, zmm_run_target<T, Stages, ByColumn> target,
                                                 std::size_t length, zmm_butterfly_ends<T> ends) noexcept {
    constexpr int least = 1 << Stages;
    constexpr int most = 16;
    zmm_constants<T> const c = make_zmm_constants<T>(ends.factor);
    std::size_t const element = ends.element;
    std::size_t at = 0;
    for (; at + most * zmm_of<T>::lanes <= length; at += most * zmm_of<T>::lanes) {
        ends.element = element + at;
        if (ends.lines_ahead == 12) prefetch_ahead<12>(source + at / 16 * 12);
        if (ends.lines_ahead == 16) prefetch_ahead<16>(source + at);
        first_registers_avx512<T, Stages, most, Flip, Scale>(source + at, target.from(at), ends, c);
    }
    if constexpr (least < most) {
        for (; at < length; at += least * zmm_of<T>::lanes) {
            ends.element = element + at;
            first_registers_avx512<T, Stages, least, Flip, Scale>(source + at, target.from(at), ends, c);
        }
    }
}

/// Row i of rows a distance apart, asked for in order. Every fourth moves the pointer and the others are reached from it:
/// the compiler would keep an address for each of them and run out of registers.
template <class T>
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE T* zmm_row(T*& row, std::size_t i,
                                                      std::ptrdiff_t distance) noexcept {
    if (i % 4 == 0) {
        if (i != 0) row += 4 * distance;
        __asm__ volatile("" : "+r"(row));
    }
    return row + static_cast<std::ptrdiff_t>(i % 4) * distance;
}

/// Stages further ones over one run, in place; far, used if Far only, is where the last quarter of the run came from.
template <class T, int Stages, bool Scale, bool Far>
COMMUTANT_TARGET_AVX512BW void next_pass_avx512(T* x, std::size_t distance, T factor,
                                                [[maybe_unused]] T const* far) noexcept {
    using z = zmm_of<T>;
    constexpr std::size_t n = std::size_t{1} << Stages;
    zmm_constants<T> const c = make_zmm_constants<T>(factor);
    auto const apart = static_cast<std::ptrdiff_t>(distance);
    for (std::size_t j = 0; j < distance; j += z::lanes) {
        typename z::reg v[n];
        T* row = x + j;
#pragma GCC unroll 16
        for (std::size_t i = 0; i < n; ++i) v[i] = z::load_apart(zmm_row<T>(row, i, apart));
        if constexpr (Far) prefetch_ahead<n / 4>(far + j * n / 4);
        zmm_butterflies<T, Stages, false>(v, c.one);
        row = x + j;
#pragma GCC unroll 16
        for (std::size_t i = 0; i < n; ++i) {
            if constexpr (Scale) v[i] = z::mul(v[i], c.factor);
            z::store(zmm_row<T>(row, i, apart), v[i]);
        }
    }
}

/// Runs shorter than a register, any length that is a multiple of them.
template <class T>
COMMUTANT_TARGET_AVX512BW inline void short_runs_avx512(T const* source, T* target, std::size_t length,
                                                        std::size_t run, std::uint32_t const* flips,
                                                        T factor) noexcept {
    using z = zmm_of<T>;
    zmm_constants<T> const c = make_zmm_constants<T>(factor);
    for (std::size_t at = 0; at < length; at += z::lanes) {
        std::size_t const n = length - at < z::lanes ? length - at : z::lanes;
        typename z::reg v = z::load_first(source + at, n);
        if (flips != nullptr) v = z::flipped(v, flip_bits(flips, at));
        if (run > 1) v = zmm_stage<T, 1>(v, c.s1);
        if (run > 2) v = zmm_stage<T, 2>(v, c.s2);
        if (run > 4 && z::lanes > 8) v = zmm_stage<T, 4>(v, c.s4);
        z::store_first(target + at, n, z::mul(v, c.factor));
    }
}

template <class T, int Stages>
COMMUTANT_TARGET_AVX512BW inline void first_pass_avx512(T const* source, T* target, std::size_t length,
                                                        zmm_butterfly_ends<T> const& ends) noexcept {
    zmm_run_target<T, Stages, false> const to{target, 0};
    if (ends.flips != nullptr) {
        if (ends.factor != T{1})
            first_pass_avx512<T, Stages, true, true>(source, to, length, ends);
        else
            first_pass_avx512<T, Stages, true, false>(source, to, length, ends);
    } else {
        if (ends.factor != T{1})
            first_pass_avx512<T, Stages, false, true>(source, to, length, ends);
        else
            first_pass_avx512<T, Stages, false, false>(source, to, length, ends);
    }
}

template <class T, int Stages>
COMMUTANT_TARGET_AVX512BW inline void next_pass_avx512(T* x, std::size_t distance, T factor,
                                                       T const* far) noexcept {
    if (far == nullptr) {
        if (factor != T{1})
            next_pass_avx512<T, Stages, true, false>(x, distance, factor, far);
        else
            next_pass_avx512<T, Stages, false, false>(x, distance, factor, far);
    } else {
        if (factor != T{1})
            next_pass_avx512<T, Stages, true, true>(x, distance, factor, far);
        else
            next_pass_avx512<T, Stages, false, true>(x, distance, factor, far);
    }
}

/// Runs of n elements, n a power of two of at least one register; source and target as first_pass.
template <class T>
COMMUTANT_TARGET_AVX512BW inline void butterflies_avx512(T const* source, T* target, std::size_t length,
                                                         std::size_t n,
                                                         zmm_butterfly_ends<T> const& ends) noexcept {
    constexpr int lane_stages = sizeof(T) == 4 ? 4 : 3;
    int const across = std::countr_zero(n) - lane_stages;
    switch (across) {
        case 0:
            return first_pass_avx512<T, 0>(source, target, length, ends);
        case 1:
            return first_pass_avx512<T, 1>(source, target, length, ends);
        case 2:
            return first_pass_avx512<T, 2>(source, target, length, ends);
        case 3:
            return first_pass_avx512<T, 3>(source, target, length, ends);
        case 4:
            return first_pass_avx512<T, 4>(source, target, length, ends);
        default:
            break;
    }
    // One run at a time, so that the smaller runs in it are finished in a cache near by. Sixteen rows at multiples of a
    // way of the first cache (4096 bytes in all of them) would push each other out.
    bool const sixteen = n / 16 * sizeof(T) < 4096;
    std::size_t const part = sixteen ? n / 16 : n / 8;
    // Where the next run comes from memory, the first pass asks for three quarters of it and the next pass for the rest.
    bool const is_far = ends.lines_ahead != 0 && across <= 8;
    int const lines_ahead = is_far ? 12 : ends.lines_ahead;
    for (std::size_t at = 0; at < length; at += n) {
        butterflies_avx512<T>(source + at, target + at, n, part,
                              {ends.flips, ends.element + at, T{1}, lines_ahead});
        T const* const far = is_far ? source + at + n / 4 * 3 : nullptr;
        if (sixteen)
            next_pass_avx512<T, 4>(target + at, part, ends.factor, far);
        else
            next_pass_avx512<T, 3>(target + at, part, ends.factor, far);
    }
}

/// The longest run whose registers butterflies_by_column_avx512 writes apart.
template <class T> inline constexpr std::size_t longest_run_by_column = 16 * zmm_of<T>::lanes;

/// Runs of n elements, at most longest_run_by_column of them, without a factor: register i of run r goes to [i, r] of target.
///
/// Shape     target: [n / lanes, length / n] registers
template <class T, int Stages = 0>
COMMUTANT_TARGET_AVX512BW inline void butterflies_by_column_avx512(
    T const* source, T* target, std::size_t length, std::size_t n,
    zmm_butterfly_ends<T> const& ends) noexcept {
    if constexpr (Stages <= 4) {
        if (n != zmm_of<T>::lanes << Stages)
            return butterflies_by_column_avx512<T, Stages + 1>(source, target, length, n, ends);
        zmm_run_target<T, Stages, true> const to{target, length >> Stages};
        if (ends.flips != nullptr)
            first_pass_avx512<T, Stages, true, false>(source, to, length, ends);
        else
            first_pass_avx512<T, Stages, false, false>(source, to, length, ends);
    }
}

}  // namespace commutant::kernels::detail

#endif
