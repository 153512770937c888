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
    /// +1 where the lane's number lacks a bit, -1 where it has it.
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static reg signs(unsigned bit) noexcept {
        __m512i const number = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
        __mmask16 const minus = _mm512_test_epi32_mask(number, _mm512_set1_epi32(static_cast<int>(bit)));
        return _mm512_mask_blend_ps(minus, _mm512_set1_ps(1.0F), _mm512_set1_ps(-1.0F));
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
    /// Loads with the butterflies of neighbouring lanes done: both copies come from the load units.
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static reg load_first_stage(float const* p,
                                                                           reg signs_1) noexcept {
        reg low, high;
        __asm__("vmovsldup %1, %0" : "=v"(low) : "m"(*reinterpret_cast<float const(*)[16]>(p)));
        __asm__("vmovshdup %1, %0" : "=v"(high) : "m"(*reinterpret_cast<float const(*)[16]>(p)));
        return _mm512_fmadd_ps(high, signs_1, low);
    }
};

template <> struct zmm_of<double> {
    using reg = __m512d;
    static constexpr std::size_t lanes = 8;

    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static reg load(double const* p) noexcept {
        return _mm512_loadu_pd(p);
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
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static reg signs(unsigned bit) noexcept {
        __m512i const number = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
        __mmask8 const minus = _mm512_test_epi64_mask(number, _mm512_set1_epi64(static_cast<long long>(bit)));
        return _mm512_mask_blend_pd(minus, _mm512_set1_pd(1.0), _mm512_set1_pd(-1.0));
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
    COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE static reg load_first_stage(double const* p,
                                                                           reg signs_1) noexcept {
        reg const v = load(p);
        return fma(v, signs_1, swapped<1>(v));
    }
};

/// Signs of the stages within a register, and a one that the compiler does not see through.
template <class T> struct zmm_constants { typename zmm_of<T>::reg one, s1, s2, s4, s8; };

template <class T> COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE zmm_constants<T> make_zmm_constants() noexcept {
    using z = zmm_of<T>;
    zmm_constants<T> c{z::all(T{1}), z::signs(1), z::signs(2), z::signs(4), z::signs(8)};
    __asm__("" : "+v"(c.one), "+v"(c.s1), "+v"(c.s2), "+v"(c.s4), "+v"(c.s8));
    return c;
}

/// One stage within a register: low + high and low - high for lanes that differ in a bit.
template <class T, unsigned Bit>
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE typename zmm_of<T>::reg zmm_stage(
    typename zmm_of<T>::reg v, typename zmm_of<T>::reg signs) noexcept {
    return zmm_of<T>::fma(v, signs, zmm_of<T>::template swapped<Bit>(v));
}

/// Butterflies among 2^Stages registers: sums on the adders, differences on the multipliers.
template <class T, int Stages>
COMMUTANT_TARGET_AVX512BW COMMUTANT_INLINE void zmm_butterflies(typename zmm_of<T>::reg* v,
                                                                typename zmm_of<T>::reg one) noexcept {
    using z = zmm_of<T>;
#pragma GCC unroll 4
    for (int s = 0; s < Stages; ++s) {
#pragma GCC unroll 16
        for (int i = 0; i < 1 << Stages; ++i) {
            if ((i >> s & 1) != 0) continue;
            typename z::reg const low = v[i];
            typename z::reg const high = v[i + (1 << s)];
            v[i] = z::add(low, high);
            v[i + (1 << s)] = z::fnma(one, high, low);
        }
    }
}

/// All stages within registers and the next Stages ones, from source to target.
///
/// Shape     length: a multiple of lanes << Stages
template <class T, int Stages, bool Flip, bool Scale>
COMMUTANT_TARGET_AVX512BW void first_pass_avx512(T const* source, T* target, std::size_t length,
                                                 std::uint32_t const* flips, std::size_t element,
                                                 T factor) noexcept {
    using z = zmm_of<T>;
    constexpr int n = 1 << Stages;
    zmm_constants<T> const c = make_zmm_constants<T>();
    typename z::reg const f = z::all(factor);
    for (std::size_t at = 0; at < length; at += n * z::lanes) {
        typename z::reg v[n];
#pragma GCC unroll 16
        for (int i = 0; i < n; ++i) {
            std::size_t const k = at + static_cast<std::size_t>(i) * z::lanes;
            if constexpr (Flip)
                v[i] = zmm_stage<T, 1>(z::flipped(z::load(source + k), flip_bits(flips, element + k)), c.s1);
            else
                v[i] = z::load_first_stage(source + k, c.s1);
            v[i] = zmm_stage<T, 2>(v[i], c.s2);
            v[i] = zmm_stage<T, 4>(v[i], c.s4);
            if constexpr (z::lanes == 16) v[i] = zmm_stage<T, 8>(v[i], c.s8);
        }
        zmm_butterflies<T, Stages>(v, c.one);
#pragma GCC unroll 16
        for (int i = 0; i < n; ++i) {
            if constexpr (Scale) v[i] = z::mul(v[i], f);
            z::store(target + at + static_cast<std::size_t>(i) * z::lanes, v[i]);
        }
    }
}

/// Stages further ones at growing distances from distance on, in place.
template <class T, int Stages, bool Scale>
COMMUTANT_TARGET_AVX512BW void next_pass_avx512(T* x, std::size_t length, std::size_t distance,
                                                T factor) noexcept {
    using z = zmm_of<T>;
    constexpr int n = 1 << Stages;
    typename z::reg one = z::all(T{1});
    __asm__("" : "+v"(one));
    typename z::reg const f = z::all(factor);
    for (std::size_t begin = 0; begin < length; begin += distance << Stages) {
        T* const block = x + begin;
        for (std::size_t j = 0; j < distance; j += z::lanes) {
            typename z::reg v[n];
#pragma GCC unroll 16
            for (int i = 0; i < n; ++i) v[i] = z::load(block + j + static_cast<std::size_t>(i) * distance);
            zmm_butterflies<T, Stages>(v, one);
#pragma GCC unroll 16
            for (int i = 0; i < n; ++i) {
                if constexpr (Scale) v[i] = z::mul(v[i], f);
                z::store(block + j + static_cast<std::size_t>(i) * distance, v[i]);
            }
        }
    }
}

/// Runs shorter than a register, any length that is a multiple of them.
template <class T>
COMMUTANT_TARGET_AVX512BW inline void short_runs_avx512(T const* source, T* target, std::size_t length,
                                                        std::size_t run, std::uint32_t const* flips,
                                                        T factor) noexcept {
    using z = zmm_of<T>;
    zmm_constants<T> const c = make_zmm_constants<T>();
    typename z::reg const f = z::all(factor);
    for (std::size_t at = 0; at < length; at += z::lanes) {
        std::size_t const n = length - at < z::lanes ? length - at : z::lanes;
        typename z::reg v = z::load_first(source + at, n);
        if (flips != nullptr) v = z::flipped(v, flip_bits(flips, at));
        if (run > 1) v = zmm_stage<T, 1>(v, c.s1);
        if (run > 2) v = zmm_stage<T, 2>(v, c.s2);
        if (run > 4 && z::lanes > 8) v = zmm_stage<T, 4>(v, c.s4);
        z::store_first(target + at, n, z::mul(v, f));
    }
}

/// What the butterflies of runs of one length have around them.
template <class T> struct zmm_butterfly_ends {
    std::uint32_t const* flips;  ///< null: none
    std::size_t element;         ///< of the first flip
    T factor;                    ///< 1: none
};

template <class T, int Stages>
COMMUTANT_TARGET_AVX512BW inline void first_pass_avx512(T const* source, T* target, std::size_t length,
                                                        zmm_butterfly_ends<T> const& ends,
                                                        bool is_last) noexcept {
    bool const scale = is_last && ends.factor != T{1};
    if (ends.flips != nullptr) {
        if (scale)
            first_pass_avx512<T, Stages, true, true>(source, target, length, ends.flips, ends.element,
                                                     ends.factor);
        else
            first_pass_avx512<T, Stages, true, false>(source, target, length, ends.flips, ends.element, T{1});
    } else {
        if (scale)
            first_pass_avx512<T, Stages, false, true>(source, target, length, nullptr, 0, ends.factor);
        else
            first_pass_avx512<T, Stages, false, false>(source, target, length, nullptr, 0, T{1});
    }
}

template <class T>
COMMUTANT_TARGET_AVX512BW inline void next_pass_avx512(T* x, std::size_t length, std::size_t distance,
                                                       int stages, zmm_butterfly_ends<T> const& ends,
                                                       bool is_last) noexcept {
    bool const scale = is_last && ends.factor != T{1};
    switch (stages * 2 + (scale ? 1 : 0)) {
        case 4:
            return next_pass_avx512<T, 2, false>(x, length, distance, T{1});
        case 5:
            return next_pass_avx512<T, 2, true>(x, length, distance, ends.factor);
        case 6:
            return next_pass_avx512<T, 3, false>(x, length, distance, T{1});
        case 7:
            return next_pass_avx512<T, 3, true>(x, length, distance, ends.factor);
        case 8:
            return next_pass_avx512<T, 4, false>(x, length, distance, T{1});
        default:
            return next_pass_avx512<T, 4, true>(x, length, distance, ends.factor);
    }
}

/// Stages of the last pass when some are left; never one, which would be mostly loads and stores.
[[nodiscard]] constexpr int last_pass_stages(int left) noexcept { return left <= 4 ? left : 3; }

/// Runs of n elements, n a power of two of at least one register; source and target as first_pass.
template <class T>
COMMUTANT_TARGET_AVX512BW inline void butterflies_avx512(T const* source, T* target, std::size_t length,
                                                         std::size_t n, zmm_butterfly_ends<T> const& ends,
                                                         bool is_last = true) noexcept {
    constexpr int lane_stages = sizeof(T) == 4 ? 4 : 3;
    int const across = std::countr_zero(n) - lane_stages;
    if (across <= 4) {
        switch (across) {
            case 0:
                return first_pass_avx512<T, 0>(source, target, length, ends, is_last);
            case 1:
                return first_pass_avx512<T, 1>(source, target, length, ends, is_last);
            case 2:
                return first_pass_avx512<T, 2>(source, target, length, ends, is_last);
            case 3:
                return first_pass_avx512<T, 3>(source, target, length, ends, is_last);
            default:
                return first_pass_avx512<T, 4>(source, target, length, ends, is_last);
        }
    }
    // One run at a time, so that the smaller runs in it are finished in a cache near by.
    int const stages = last_pass_stages(across - (across == 5 ? 3 : 4));
    std::size_t const part = n >> stages;
    for (std::size_t at = 0; at < length; at += n) {
        butterflies_avx512<T>(source + at, target + at, n, part, {ends.flips, ends.element + at, T{1}},
                              false);
        next_pass_avx512<T>(target + at, n, part, stages, ends, is_last);
    }
}

}  // namespace commutant::kernels::detail

#endif
