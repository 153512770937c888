// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/detail/hadamard_scalar.hpp>
#include <commutant/kernels/isa.hpp>

// Vectors of 16 bytes are part of what every x86-64 and every aarch64 has, so no function here is marked.
#if !defined(COMMUTANT_SCALAR) && defined(__GNUC__)
#define COMMUTANT_KERNELS_PORTABLE_VECTORS 1

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

namespace commutant::kernels::detail {

/// What a body of plain 16-byte vectors counts as: the next best thing to one for x86, the one for aarch64.
#if defined(COMMUTANT_KERNELS_NEON)
inline constexpr isa portable_vectors = isa::neon;
#else
inline constexpr isa portable_vectors = isa::xsimd;
#endif

/// 128-bit registers of T as butterflies want them.
template <class T> struct v16_of;

template <> struct v16_of<float> {
    typedef float reg __attribute__((vector_size(16)));
    typedef std::int32_t bits __attribute__((vector_size(16)));
    static constexpr std::size_t lanes = 4;

    COMMUTANT_INLINE static reg load(float const* p) noexcept {
        reg v;
        std::memcpy(&v, p, sizeof(v));
        return v;
    }
    COMMUTANT_INLINE static reg load_apart(float const* p) noexcept { return load(p); }
    COMMUTANT_INLINE static void store(float* p, reg v) noexcept { std::memcpy(p, &v, sizeof(v)); }
    COMMUTANT_INLINE static reg load_first(float const* p, std::size_t n) noexcept {
        reg v = {};
        std::memcpy(&v, p, n * sizeof(float));
        return v;
    }
    COMMUTANT_INLINE static void store_first(float* p, std::size_t n, reg v) noexcept {
        std::memcpy(p, &v, n * sizeof(float));
    }
    COMMUTANT_INLINE static reg all(float v) noexcept { return reg{} + v; }
    COMMUTANT_INLINE static reg add(reg a, reg b) noexcept { return a + b; }
    COMMUTANT_INLINE static reg sub(reg a, reg b) noexcept { return a - b; }
    COMMUTANT_INLINE static reg mul(reg a, reg b) noexcept { return a * b; }
    /// a b + c for exact products: one of them 0 or, but for its sign, a power of two, so that it does not matter how often it is rounded.
    COMMUTANT_INLINE static reg fma(reg a, reg b, reg c) noexcept { return a * b + c; }
    /// +1 where the lane's number lacks a bit, -1 where it has it.
    COMMUTANT_INLINE static reg signs(int bit) noexcept {
        reg v = {};
        for (std::size_t i = 0; i < lanes; ++i) v[i] = (static_cast<int>(i) & bit) != 0 ? -1 : 1;
        return v;
    }
    /// Signs changed where a bit is set.
    COMMUTANT_INLINE static reg flipped(reg v, std::uint32_t word) noexcept {
        constexpr bits place = {1, 2, 4, 8};
        constexpr bits sign = bits{} + std::numeric_limits<std::int32_t>::min();
        bits const set = ((bits{} + static_cast<std::int32_t>(word)) & place) == place;
        return reinterpret_cast<reg>(reinterpret_cast<bits>(v) ^ (set & sign));
    }
    /// Lanes whose numbers differ in one bit change places.
    template <unsigned Bit> COMMUTANT_INLINE static reg swapped(reg v) noexcept {
        if constexpr (Bit == 1)
            return __builtin_shufflevector(v, v, 1, 0, 3, 2);
        else
            return __builtin_shufflevector(v, v, 2, 3, 0, 1);
    }
    COMMUTANT_INLINE static reg load_first_stage(float const* p, reg signs_1) noexcept {
        reg const v = load(p);
        return fma(v, signs_1, swapped<1>(v));
    }
};

template <> struct v16_of<double> {
    typedef double reg __attribute__((vector_size(16)));
    typedef std::int64_t bits __attribute__((vector_size(16)));
    static constexpr std::size_t lanes = 2;

    COMMUTANT_INLINE static reg load(double const* p) noexcept {
        reg v;
        std::memcpy(&v, p, sizeof(v));
        return v;
    }
    COMMUTANT_INLINE static reg load_apart(double const* p) noexcept { return load(p); }
    COMMUTANT_INLINE static void store(double* p, reg v) noexcept { std::memcpy(p, &v, sizeof(v)); }
    COMMUTANT_INLINE static reg load_first(double const* p, std::size_t n) noexcept {
        reg v = {};
        std::memcpy(&v, p, n * sizeof(double));
        return v;
    }
    COMMUTANT_INLINE static void store_first(double* p, std::size_t n, reg v) noexcept {
        std::memcpy(p, &v, n * sizeof(double));
    }
    COMMUTANT_INLINE static reg all(double v) noexcept { return reg{} + v; }
    COMMUTANT_INLINE static reg add(reg a, reg b) noexcept { return a + b; }
    COMMUTANT_INLINE static reg sub(reg a, reg b) noexcept { return a - b; }
    COMMUTANT_INLINE static reg mul(reg a, reg b) noexcept { return a * b; }
    /// a b + c for exact products: one of them 0 or, but for its sign, a power of two, so that it does not matter how often it is rounded.
    COMMUTANT_INLINE static reg fma(reg a, reg b, reg c) noexcept { return a * b + c; }
    /// +1 where the lane's number lacks a bit, -1 where it has it.
    COMMUTANT_INLINE static reg signs(int bit) noexcept {
        reg v = {};
        for (std::size_t i = 0; i < lanes; ++i) v[i] = (static_cast<int>(i) & bit) != 0 ? -1 : 1;
        return v;
    }
    /// Signs changed where a bit is set.
    COMMUTANT_INLINE static reg flipped(reg v, std::uint32_t word) noexcept {
        constexpr bits place = {1, 2};
        constexpr bits sign = bits{} + std::numeric_limits<std::int64_t>::min();
        bits const set = ((bits{} + static_cast<std::int64_t>(word)) & place) == place;
        return reinterpret_cast<reg>(reinterpret_cast<bits>(v) ^ (set & sign));
    }
    /// Lanes whose numbers differ in one bit change places.
    template <unsigned Bit> COMMUTANT_INLINE static reg swapped(reg v) noexcept {
        return __builtin_shufflevector(v, v, 1, 0);
    }
    COMMUTANT_INLINE static reg load_first_stage(double const* p, reg signs_1) noexcept {
        reg const v = load(p);
        return fma(v, signs_1, swapped<1>(v));
    }
};

/// Signs of the stages within a register.
template <class T> struct v16_constants { typename v16_of<T>::reg s1, s2; };

template <class T> COMMUTANT_INLINE v16_constants<T> make_v16_constants() noexcept {
    using z = v16_of<T>;
    return {z::signs(1), z::signs(2)};
}

/// One stage within a register: low + high and low - high for lanes that differ in a bit.
template <class T, unsigned Bit>
COMMUTANT_INLINE typename v16_of<T>::reg v16_stage(typename v16_of<T>::reg v,
                                                   typename v16_of<T>::reg signs) noexcept {
    return v16_of<T>::fma(v, signs, v16_of<T>::template swapped<Bit>(v));
}

/// Butterflies among 2^Stages registers: sums and differences.
template <class T, int Stages> COMMUTANT_INLINE void v16_butterflies(typename v16_of<T>::reg* v) noexcept {
    using z = v16_of<T>;
#pragma GCC unroll 4
    for (int s = 0; s < Stages; ++s) {
#pragma GCC unroll 16
        for (int i = 0; i < 1 << Stages; ++i) {
            if ((i >> s & 1) != 0) continue;
            typename z::reg const low = v[i];
            typename z::reg const high = v[i + (1 << s)];
            v[i] = z::add(low, high);
            v[i + (1 << s)] = z::sub(low, high);
        }
    }
}

/// All stages within registers and the next Stages ones, from source to target.
///
/// Shape     length: a multiple of lanes << Stages
template <class T, int Stages, bool Flip, bool Scale>
void first_pass_portable(T const* source, T* target, std::size_t length, std::uint32_t const* flips,
                         std::size_t element, T factor) noexcept {
    using z = v16_of<T>;
    constexpr int n = 1 << Stages;
    v16_constants<T> const c = make_v16_constants<T>();
    typename z::reg const f = z::all(factor);
    for (std::size_t at = 0; at < length; at += n * z::lanes) {
        typename z::reg v[n];
#pragma GCC unroll 16
        for (int i = 0; i < n; ++i) {
            std::size_t const k = at + static_cast<std::size_t>(i) * z::lanes;
            if constexpr (Flip)
                v[i] = v16_stage<T, 1>(z::flipped(z::load(source + k), flip_bits(flips, element + k)), c.s1);
            else
                v[i] = z::load_first_stage(source + k, c.s1);
            if constexpr (z::lanes == 4) v[i] = v16_stage<T, 2>(v[i], c.s2);
        }
        v16_butterflies<T, Stages>(v);
#pragma GCC unroll 16
        for (int i = 0; i < n; ++i) {
            if constexpr (Scale) v[i] = z::mul(v[i], f);
            z::store(target + at + static_cast<std::size_t>(i) * z::lanes, v[i]);
        }
    }
}

/// Stages further ones at growing distances from distance on, in place.
template <class T, int Stages, bool Scale>
void next_pass_portable(T* x, std::size_t length, std::size_t distance, T factor) noexcept {
    using z = v16_of<T>;
    constexpr int n = 1 << Stages;
    typename z::reg const f = z::all(factor);
    for (std::size_t begin = 0; begin < length; begin += distance << Stages) {
        T* const block = x + begin;
        for (std::size_t j = 0; j < distance; j += z::lanes) {
            typename z::reg v[n];
#pragma GCC unroll 16
            for (int i = 0; i < n; ++i) v[i] = z::load(block + j + static_cast<std::size_t>(i) * distance);
            v16_butterflies<T, Stages>(v);
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
inline void short_runs_portable(T const* source, T* target, std::size_t length, std::size_t run,
                                std::uint32_t const* flips, T factor) noexcept {
    using z = v16_of<T>;
    v16_constants<T> const c = make_v16_constants<T>();
    typename z::reg const f = z::all(factor);
    for (std::size_t at = 0; at < length; at += z::lanes) {
        std::size_t const n = length - at < z::lanes ? length - at : z::lanes;
        typename z::reg v = z::load_first(source + at, n);
        if (flips != nullptr) v = z::flipped(v, flip_bits(flips, at));
        if (run > 1) v = v16_stage<T, 1>(v, c.s1);
        z::store_first(target + at, n, z::mul(v, f));
    }
}

/// What the butterflies of runs of one length have around them.
template <class T> struct v16_butterfly_ends {
    std::uint32_t const* flips;  ///< null: none
    std::size_t element;         ///< of the first flip
    T factor;                    ///< 1: none
};

template <class T, int Stages>
inline void first_pass_portable(T const* source, T* target, std::size_t length,
                                v16_butterfly_ends<T> const& ends, bool is_last) noexcept {
    bool const scale = is_last && ends.factor != T{1};
    if (ends.flips != nullptr) {
        if (scale)
            first_pass_portable<T, Stages, true, true>(source, target, length, ends.flips, ends.element,
                                                       ends.factor);
        else
            first_pass_portable<T, Stages, true, false>(source, target, length, ends.flips, ends.element,
                                                        T{1});
    } else {
        if (scale)
            first_pass_portable<T, Stages, false, true>(source, target, length, nullptr, 0, ends.factor);
        else
            first_pass_portable<T, Stages, false, false>(source, target, length, nullptr, 0, T{1});
    }
}

template <class T>
inline void next_pass_portable(T* x, std::size_t length, std::size_t distance, int stages,
                               v16_butterfly_ends<T> const& ends, bool is_last) noexcept {
    bool const scale = is_last && ends.factor != T{1};
    switch (stages * 2 + (scale ? 1 : 0)) {
        case 4:
            return next_pass_portable<T, 2, false>(x, length, distance, T{1});
        case 5:
            return next_pass_portable<T, 2, true>(x, length, distance, ends.factor);
        case 6:
            return next_pass_portable<T, 3, false>(x, length, distance, T{1});
        default:
            return next_pass_portable<T, 3, true>(x, length, distance, ends.factor);
    }
}

/// Stages of the last pass when some are left; never one, which would be mostly loads and stores.
[[nodiscard]] constexpr int v16_last_pass_stages(int left) noexcept {
    return left <= 3 ? left : left == 4 ? 2 : 3;
}

/// Runs of n elements, n a power of two of at least one register; source and target as first_pass.
template <class T>
inline void butterflies_portable(T const* source, T* target, std::size_t length, std::size_t n,
                                 v16_butterfly_ends<T> const& ends, bool is_last = true) noexcept {
    constexpr int lane_stages = sizeof(T) == 4 ? 2 : 1;
    int const across = std::countr_zero(n) - lane_stages;
    if (across <= 3) {
        switch (across) {
            case 0:
                return first_pass_portable<T, 0>(source, target, length, ends, is_last);
            case 1:
                return first_pass_portable<T, 1>(source, target, length, ends, is_last);
            case 2:
                return first_pass_portable<T, 2>(source, target, length, ends, is_last);
            default:
                return first_pass_portable<T, 3>(source, target, length, ends, is_last);
        }
    }
    // One run at a time, so that the smaller runs in it are finished in a cache near by.
    int const stages = v16_last_pass_stages(across - (across == 4 ? 2 : 3));
    std::size_t const part = n >> stages;
    for (std::size_t at = 0; at < length; at += n) {
        butterflies_portable<T>(source + at, target + at, n, part, {ends.flips, ends.element + at, T{1}},
                                false);
        next_pass_portable<T>(target + at, n, part, stages, ends, is_last);
    }
}

}  // namespace commutant::kernels::detail

#endif
