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

/// 256-bit registers of T as butterflies want them.
template <class T> struct ymm_of;

/// All bits set in the lanes before n, for masked loads and stores.
COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE __m256i ymm_first_lanes_32(std::size_t n) noexcept {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)),
                              _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0));
}
COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE __m256i ymm_first_lanes_64(std::size_t n) noexcept {
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(static_cast<long long>(n)), _mm256_set_epi64x(3, 2, 1, 0));
}

template <> struct ymm_of<float> {
    using reg = __m256;
    static constexpr std::size_t lanes = 8;

    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static reg load(float const* p) noexcept {
        return _mm256_loadu_ps(p);
    }
    /// A load that is not made part of the instructions that use it.
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static reg load_apart(float const* p) noexcept {
        reg v = load(p);
        __asm__("" : "+x"(v));
        return v;
    }
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static void store(float* p, reg v) noexcept {
        _mm256_storeu_ps(p, v);
    }
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static reg load_first(float const* p, std::size_t n) noexcept {
        return _mm256_maskload_ps(p, ymm_first_lanes_32(n));
    }
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static void store_first(float* p, std::size_t n, reg v) noexcept {
        _mm256_maskstore_ps(p, ymm_first_lanes_32(n), v);
    }
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static reg all(float v) noexcept { return _mm256_set1_ps(v); }
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static reg add(reg a, reg b) noexcept {
        return _mm256_add_ps(a, b);
    }
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static reg sub(reg a, reg b) noexcept {
        return _mm256_sub_ps(a, b);
    }
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static reg mul(reg a, reg b) noexcept {
        return _mm256_mul_ps(a, b);
    }
    /// a b + c, rounded once.
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static reg fma(reg a, reg b, reg c) noexcept {
        return _mm256_fmadd_ps(a, b, c);
    }
    /// c - a b, rounded once.
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static reg fnma(reg a, reg b, reg c) noexcept {
        return _mm256_fnmadd_ps(a, b, c);
    }
    /// +1 where the lane's number lacks a bit, -1 where it has it.
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static reg signs(int bit) noexcept {
        __m256i const number =
            _mm256_and_si256(_mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0), _mm256_set1_epi32(bit));
        __m256i const plus = _mm256_cmpeq_epi32(number, _mm256_setzero_si256());
        return _mm256_blendv_ps(_mm256_set1_ps(-1.0F), _mm256_set1_ps(1.0F), _mm256_castsi256_ps(plus));
    }
    /// Signs changed where a bit is set.
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static reg flipped(reg v, std::uint32_t bits) noexcept {
        __m256i const place = _mm256_set_epi32(128, 64, 32, 16, 8, 4, 2, 1);
        __m256i const set =
            _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(static_cast<int>(bits)), place), place);
        return _mm256_xor_ps(v, _mm256_castsi256_ps(_mm256_slli_epi32(set, 31)));
    }
    /// Lanes whose numbers differ in one bit change places.
    template <unsigned Bit> COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static reg swapped(reg v) noexcept {
        if constexpr (Bit == 1)
            return _mm256_permute_ps(v, 0xb1);
        else if constexpr (Bit == 2)
            return _mm256_permute_ps(v, 0x4e);
        else
            return _mm256_permute2f128_ps(v, v, 1);
    }
    /// Loads with the butterflies of neighbouring lanes done: both copies come from the load units.
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static reg load_first_stage(float const* p, reg signs_1) noexcept {
        reg low, high;
        __asm__("vmovsldup %1, %0" : "=x"(low) : "m"(*reinterpret_cast<float const(*)[8]>(p)));
        __asm__("vmovshdup %1, %0" : "=x"(high) : "m"(*reinterpret_cast<float const(*)[8]>(p)));
        return _mm256_fmadd_ps(high, signs_1, low);
    }
};

template <> struct ymm_of<double> {
    using reg = __m256d;
    static constexpr std::size_t lanes = 4;

    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static reg load(double const* p) noexcept {
        return _mm256_loadu_pd(p);
    }
    /// A load that is not made part of the instructions that use it.
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static reg load_apart(double const* p) noexcept {
        reg v = load(p);
        __asm__("" : "+x"(v));
        return v;
    }
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static void store(double* p, reg v) noexcept {
        _mm256_storeu_pd(p, v);
    }
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static reg load_first(double const* p, std::size_t n) noexcept {
        return _mm256_maskload_pd(p, ymm_first_lanes_64(n));
    }
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static void store_first(double* p, std::size_t n, reg v) noexcept {
        _mm256_maskstore_pd(p, ymm_first_lanes_64(n), v);
    }
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static reg all(double v) noexcept { return _mm256_set1_pd(v); }
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static reg add(reg a, reg b) noexcept {
        return _mm256_add_pd(a, b);
    }
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static reg sub(reg a, reg b) noexcept {
        return _mm256_sub_pd(a, b);
    }
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static reg mul(reg a, reg b) noexcept {
        return _mm256_mul_pd(a, b);
    }
    /// a b + c, rounded once.
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static reg fma(reg a, reg b, reg c) noexcept {
        return _mm256_fmadd_pd(a, b, c);
    }
    /// c - a b, rounded once.
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static reg fnma(reg a, reg b, reg c) noexcept {
        return _mm256_fnmadd_pd(a, b, c);
    }
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static reg signs(int bit) noexcept {
        __m256i const number = _mm256_and_si256(_mm256_set_epi64x(3, 2, 1, 0), _mm256_set1_epi64x(bit));
        __m256i const plus = _mm256_cmpeq_epi64(number, _mm256_setzero_si256());
        return _mm256_blendv_pd(_mm256_set1_pd(-1.0), _mm256_set1_pd(1.0), _mm256_castsi256_pd(plus));
    }
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static reg flipped(reg v, std::uint32_t bits) noexcept {
        __m256i const place = _mm256_set_epi64x(8, 4, 2, 1);
        __m256i const set = _mm256_cmpeq_epi64(_mm256_and_si256(_mm256_set1_epi64x(bits), place), place);
        return _mm256_xor_pd(v, _mm256_castsi256_pd(_mm256_slli_epi64(set, 63)));
    }
    template <unsigned Bit> COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static reg swapped(reg v) noexcept {
        if constexpr (Bit == 1)
            return _mm256_permute_pd(v, 0x5);
        else
            return _mm256_permute4x64_pd(v, 0x4e);
    }
    COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE static reg load_first_stage(double const* p,
                                                                       reg signs_1) noexcept {
        reg const v = load(p);
        return fma(v, signs_1, swapped<1>(v));
    }
};

/// Signs of the stages within a register, and a one that the compiler does not see through.
template <class T> struct ymm_constants { typename ymm_of<T>::reg one, s1, s2, s4; };

template <class T> COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE ymm_constants<T> make_ymm_constants() noexcept {
    using z = ymm_of<T>;
    ymm_constants<T> c{z::all(T{1}), z::signs(1), z::signs(2), z::signs(4)};
    __asm__("" : "+x"(c.one), "+x"(c.s1), "+x"(c.s2), "+x"(c.s4));
    return c;
}

/// One stage within a register: low + high and low - high for lanes that differ in a bit.
template <class T, unsigned Bit>
COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE typename ymm_of<T>::reg ymm_stage(
    typename ymm_of<T>::reg v, typename ymm_of<T>::reg signs) noexcept {
    return ymm_of<T>::fma(v, signs, ymm_of<T>::template swapped<Bit>(v));
}

/// Butterflies among 2^Stages registers: sums on the adders, differences on the multipliers.
template <class T, int Stages>
COMMUTANT_TARGET_AVX2 COMMUTANT_INLINE void ymm_butterflies(typename ymm_of<T>::reg* v,
                                                            typename ymm_of<T>::reg one) noexcept {
    using z = ymm_of<T>;
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
COMMUTANT_TARGET_AVX2 void first_pass_avx2(T const* source, T* target, std::size_t length,
                                           std::uint32_t const* flips, std::size_t element,
                                           T factor) noexcept {
    using z = ymm_of<T>;
    constexpr int n = 1 << Stages;
    ymm_constants<T> const c = make_ymm_constants<T>();
    typename z::reg const f = z::all(factor);
    for (std::size_t at = 0; at < length; at += n * z::lanes) {
        typename z::reg v[n];
#pragma GCC unroll 16
        for (int i = 0; i < n; ++i) {
            std::size_t const k = at + static_cast<std::size_t>(i) * z::lanes;
            if constexpr (Flip)
                v[i] = ymm_stage<T, 1>(z::flipped(z::load(source + k), flip_bits(flips, element + k)), c.s1);
            else
                v[i] = z::load_first_stage(source + k, c.s1);
            v[i] = ymm_stage<T, 2>(v[i], c.s2);
            if constexpr (z::lanes == 8) v[i] = ymm_stage<T, 4>(v[i], c.s4);
        }
        ymm_butterflies<T, Stages>(v, c.one);
#pragma GCC unroll 16
        for (int i = 0; i < n; ++i) {
            if constexpr (Scale) v[i] = z::mul(v[i], f);
            z::store(target + at + static_cast<std::size_t>(i) * z::lanes, v[i]);
        }
    }
}

/// Stages further ones at growing distances from distance on, in place.
template <class T, int Stages, bool Scale>
COMMUTANT_TARGET_AVX2 void next_pass_avx2(T* x, std::size_t length, std::size_t distance, T factor) noexcept {
    using z = ymm_of<T>;
    constexpr int n = 1 << Stages;
    typename z::reg one = z::all(T{1});
    __asm__("" : "+x"(one));
    typename z::reg const f = z::all(factor);
    for (std::size_t begin = 0; begin < length; begin += distance << Stages) {
        T* const block = x + begin;
        for (std::size_t j = 0; j < distance; j += z::lanes) {
            typename z::reg v[n];
#pragma GCC unroll 16
            for (int i = 0; i < n; ++i) v[i] = z::load(block + j + static_cast<std::size_t>(i) * distance);
            ymm_butterflies<T, Stages>(v, one);
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
COMMUTANT_TARGET_AVX2 inline void short_runs_avx2(T const* source, T* target, std::size_t length,
                                                  std::size_t run, std::uint32_t const* flips,
                                                  T factor) noexcept {
    using z = ymm_of<T>;
    ymm_constants<T> const c = make_ymm_constants<T>();
    typename z::reg const f = z::all(factor);
    for (std::size_t at = 0; at < length; at += z::lanes) {
        std::size_t const n = length - at < z::lanes ? length - at : z::lanes;
        typename z::reg v = z::load_first(source + at, n);
        if (flips != nullptr) v = z::flipped(v, flip_bits(flips, at));
        if (run > 1) v = ymm_stage<T, 1>(v, c.s1);
        if constexpr (z::lanes == 8) {
            if (run > 2) v = ymm_stage<T, 2>(v, c.s2);
        }
        z::store_first(target + at, n, z::mul(v, f));
    }
}

/// What the butterflies of runs of one length have around them.
template <class T> struct ymm_butterfly_ends {
    std::uint32_t const* flips;  ///< null: none
    std::size_t element;         ///< of the first flip
    T factor;                    ///< 1: none
};

template <class T, int Stages>
COMMUTANT_TARGET_AVX2 inline void first_pass_avx2(T const* source, T* target, std::size_t length,
                                                  ymm_butterfly_ends<T> const& ends, bool is_last) noexcept {
    bool const scale = is_last && ends.factor != T{1};
    if (ends.flips != nullptr) {
        if (scale)
            first_pass_avx2<T, Stages, true, true>(source, target, length, ends.flips, ends.element,
                                                   ends.factor);
        else
            first_pass_avx2<T, Stages, true, false>(source, target, length, ends.flips, ends.element, T{1});
    } else {
        if (scale)
            first_pass_avx2<T, Stages, false, true>(source, target, length, nullptr, 0, ends.factor);
        else
            first_pass_avx2<T, Stages, false, false>(source, target, length, nullptr, 0, T{1});
    }
}

template <class T>
COMMUTANT_TARGET_AVX2 inline void next_pass_avx2(T* x, std::size_t length, std::size_t distance, int stages,
                                                 ymm_butterfly_ends<T> const& ends, bool is_last) noexcept {
    bool const scale = is_last && ends.factor != T{1};
    switch (stages * 2 + (scale ? 1 : 0)) {
        case 4:
            return next_pass_avx2<T, 2, false>(x, length, distance, T{1});
        case 5:
            return next_pass_avx2<T, 2, true>(x, length, distance, ends.factor);
        case 6:
            return next_pass_avx2<T, 3, false>(x, length, distance, T{1});
        default:
            return next_pass_avx2<T, 3, true>(x, length, distance, ends.factor);
    }
}

/// Stages of the last pass when some are left; never one, which would be mostly loads and stores.
[[nodiscard]] constexpr int ymm_last_pass_stages(int left) noexcept {
    return left <= 3 ? left : left == 4 ? 2 : 3;
}

/// Runs of n elements, n a power of two of at least one register; source and target as first_pass.
template <class T>
COMMUTANT_TARGET_AVX2 inline void butterflies_avx2(T const* source, T* target, std::size_t length,
                                                   std::size_t n, ymm_butterfly_ends<T> const& ends,
                                                   bool is_last = true) noexcept {
    constexpr int lane_stages = sizeof(T) == 4 ? 3 : 2;
    int const across = std::countr_zero(n) - lane_stages;
    if (across <= 3) {
        switch (across) {
            case 0:
                return first_pass_avx2<T, 0>(source, target, length, ends, is_last);
            case 1:
                return first_pass_avx2<T, 1>(source, target, length, ends, is_last);
            case 2:
                return first_pass_avx2<T, 2>(source, target, length, ends, is_last);
            default:
                return first_pass_avx2<T, 3>(source, target, length, ends, is_last);
        }
    }
    // One run at a time, so that the smaller runs in it are finished in a cache near by.
    int const stages = ymm_last_pass_stages(across - (across == 4 ? 2 : 3));
    std::size_t const part = n >> stages;
    for (std::size_t at = 0; at < length; at += n) {
        butterflies_avx2<T>(source + at, target + at, n, part, {ends.flips, ends.element + at, T{1}}, false);
        next_pass_avx2<T>(target + at, n, part, stages, ends, is_last);
    }
}

}  // namespace commutant::kernels::detail

#endif
