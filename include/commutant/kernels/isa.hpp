// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <optional>
#include <string_view>

// COMMUTANT_SCALAR leaves the scalar reference bodies alone, for every processor.
#if !defined(COMMUTANT_SCALAR) && (defined(__x86_64__) || defined(__amd64__)) && defined(__GNUC__)
#define COMMUTANT_KERNELS_X86 1
#include <immintrin.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#elif !defined(COMMUTANT_SCALAR) && defined(__aarch64__) && defined(__GNUC__)
#define COMMUTANT_KERNELS_NEON 1
#include <arm_neon.h>
#if defined(__linux__)
#include <sys/auxv.h>
#endif
#endif

// Bodies for one instruction set are functions marked with it, so they compile in a build for the oldest processor.
// A lambda inside such a function does not inherit the mark: helpers are functions, marked and COMMUTANT_INLINE.
#define COMMUTANT_INLINE [[gnu::always_inline]] inline
#define COMMUTANT_TARGET_AVX2 [[gnu::target("avx2,fma,f16c,bmi2")]]
#define COMMUTANT_TARGET_AVX_VNNI [[gnu::target("avx2,fma,f16c,bmi2,avxvnni")]]
#define COMMUTANT_TARGET_AVX512BW [[gnu::target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c,bmi2")]]
#define COMMUTANT_TARGET_AVX512_VBMI \
    [[gnu::target("avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx2,fma,f16c,bmi2")]]
#define COMMUTANT_TARGET_AVX512_VNNI \
    [[gnu::target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c,bmi2")]]
#define COMMUTANT_TARGET_AMX \
    [[gnu::target("amx-tile,amx-int8,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c,bmi2")]]
#define COMMUTANT_TARGET_NEON_DOTPROD [[gnu::target("arch=armv8.2-a+dotprod")]]

namespace commutant::kernels {

/// Instruction sets that a kernel may have a body for; on one processor family a later one is the better one.
enum class isa : unsigned char {
    scalar,       ///< plain C++, the reference
    xsimd,        ///< xsimd for the architecture that the file is compiled for
    avx2,         ///< AVX2 and FMA
    avx_vnni,     ///< the same with 256-bit vpdpbusd
    avx512bw,     ///< AVX-512 F, BW, VL, DQ
    avx512_vbmi,  ///< the same with permutations of bytes
    avx512_vnni,  ///< AVX-512 F, BW, VL, DQ with 512-bit vpdpbusd
    amx,          ///< the same with int8 tiles
    neon,         ///< aarch64
    neon_dotprod  ///< the same with sdot
};
inline constexpr std::size_t n_isas = static_cast<std::size_t>(isa::neon_dotprod) + 1;

namespace detail {
inline constexpr std::array<std::string_view, n_isas> isa_names{
    "scalar",      "xsimd",       "avx2", "avx_vnni", "avx512bw",
    "avx512_vbmi", "avx512_vnni", "amx",  "neon",     "neon_dotprod"};
}  // namespace detail

[[nodiscard]] constexpr std::string_view to_string(isa i) noexcept {
    return detail::isa_names[static_cast<std::size_t>(i)];
}

/// Instruction set of that name, if one has it.
[[nodiscard]] constexpr std::optional<isa> find_isa(std::string_view name) noexcept {
    for (std::size_t i = 0; i < n_isas; ++i)
        if (name == detail::isa_names[i]) return static_cast<isa>(i);
    return std::nullopt;
}

/// Whether the compiler may use the instruction set anywhere, so that no question at run time is needed.
[[nodiscard]] constexpr bool always_available(isa i) noexcept {
    switch (i) {
        case isa::scalar:
        case isa::xsimd:
            return true;
#if defined(COMMUTANT_KERNELS_X86)
        case isa::avx2:
#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__) && defined(__BMI2__)
            return true;
#else
            return false;
#endif
        case isa::avx_vnni:
#if defined(__AVXVNNI__) && defined(__FMA__) && defined(__F16C__) && defined(__BMI2__)
            return true;
#else
            return false;
#endif
        case isa::avx512bw:
#if defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512DQ__)
            return true;
#else
            return false;
#endif
        case isa::avx512_vbmi:
#if defined(__AVX512VBMI__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512DQ__)
            return true;
#else
            return false;
#endif
        case isa::avx512_vnni:
#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512DQ__)
            return true;
#else
            return false;
#endif
#elif defined(COMMUTANT_KERNELS_NEON)
        case isa::neon:
            return true;
        case isa::neon_dotprod:
#if defined(__ARM_FEATURE_DOTPROD)
            return true;
#else
            return false;
#endif
#endif
        default:
            return false;  // AMX also needs the system's leave
    }
}

namespace detail {

#if defined(COMMUTANT_KERNELS_X86)
struct cpuid_words {
    unsigned a, b, c, d;
};
[[nodiscard]] inline cpuid_words ask_cpuid(unsigned leaf, unsigned subleaf = 0) noexcept {
    cpuid_words r{leaf, 0, subleaf, 0};
    __asm__ volatile("cpuid" : "+a"(r.a), "=b"(r.b), "+c"(r.c), "=d"(r.d));
    return r;
}

/// Whether AMX is there and Linux lets this process use it.
[[nodiscard]] inline bool ask_for_amx() noexcept {
#if defined(__linux__) && defined(SYS_arch_prctl)
    // CPUID leaf 7: EDX bit 24 AMX-TILE, bit 25 AMX-INT8.
    if ((ask_cpuid(7).d >> 24 & 3) != 3) return false;
    constexpr long request_permission = 0x1023, tile_data = 18;
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
    return false;
#endif
}

/// CPUID leaf 7, subleaf 1: EAX bit 4.
[[nodiscard]] inline bool has_avx_vnni() noexcept {
    return ask_cpuid(7).a >= 1 && (ask_cpuid(7, 1).a >> 4 & 1) != 0;
}

/// AMD's family 19h: with AVX-512, Zen 4.
[[nodiscard]] inline bool is_amd_family_19h() noexcept {
    if (!__builtin_cpu_is("amd")) return false;
    // CPUID leaf 1: EAX bits 11..8 the family, 27..20 what is added when those are all set.
    unsigned const a = ask_cpuid(1).a;
    return (a >> 8 & 15) == 15 && 15 + (a >> 20 & 255) == 0x19;
}
#endif

[[nodiscard]] inline bool detect(isa i) noexcept {
    if (always_available(i)) return true;
#if defined(COMMUTANT_KERNELS_X86)
    bool const avx2 =
        __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    bool const avx512 = avx2 && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("avx512dq");
    bool const vnni = avx512 && __builtin_cpu_supports("avx512vnni");
    switch (i) {
        case isa::avx2:
            return avx2;
        case isa::avx_vnni:
            return avx2 && has_avx_vnni();
        case isa::avx512bw:
            return avx512;
        case isa::avx512_vbmi:
            return avx512 && __builtin_cpu_supports("avx512vbmi");
        case isa::avx512_vnni:
            return vnni;
        case isa::amx:
            return vnni && ask_for_amx();
        default:
            return false;
    }
#elif defined(COMMUTANT_KERNELS_NEON) && defined(__linux__)
    constexpr unsigned long asimddp = 1UL << 20;
    return i == isa::neon_dotprod && (getauxval(AT_HWCAP) & asimddp) != 0;
#else
    return false;
#endif
}

/// The environment's limit: COMMUTANT_MAX_ISA holds a name; an unknown one limits nothing.
[[nodiscard]] inline isa limit_from_environment() noexcept {
    char const* const name = std::getenv("COMMUTANT_MAX_ISA");
    return name == nullptr ? isa::neon_dotprod : find_isa(name).value_or(isa::neon_dotprod);
}

}  // namespace detail

/// Whether this processor, this system and this build can run bodies for an instruction set.
[[nodiscard]] inline bool is_supported(isa i) noexcept {
    static std::array<bool, n_isas> const known = [] {
        std::array<bool, n_isas> r{};
        for (std::size_t k = 0; k < n_isas; ++k) r[k] = detail::detect(static_cast<isa>(k));
        return r;
    }();
    return known[static_cast<std::size_t>(i)];
}

/// The best instruction set that kernels may use: the environment variable COMMUTANT_MAX_ISA, read once.
///
/// Note      bodies after it in isa's order are not chosen by dispatched; a body fixed at compile time is left out too
[[nodiscard]] inline isa max_isa() noexcept {
    static isa const limit = detail::limit_from_environment();
    return limit;
}

/// One implementation of a kernel.
template <class Function> struct body {
    isa level;
    Function* function;
};

/// Index of the first body that may run here; the last one, scalar, always may.
template <class Bodies> [[nodiscard]] inline std::size_t choose(Bodies const& bodies) noexcept {
    for (std::size_t i = 0; i + 1 < bodies.size(); ++i)
        if (bodies[i].level <= max_isa() && is_supported(bodies[i].level)) return i;
    return bodies.size() - 1;
}

/// Calls the best body of a kernel: asked once, then one indirect call.
///
/// Bodies    a constexpr array of body<Function>, best first, isa::scalar last
/// Note      COMMUTANT_STATIC_DISPATCH fixes the first body that the compiler's own options allow: no indirect call,
///           nothing asked
template <auto const& Bodies> struct dispatched {
    using function_pointer = decltype(Bodies[0].function);

    /// The body that calls go to.
    [[nodiscard]] static auto const& chosen() noexcept {
#if defined(COMMUTANT_STATIC_DISPATCH)
        return Bodies[fixed];
#else
        static std::size_t const index = choose(Bodies);
        return Bodies[index];
#endif
    }

    template <class... Args> auto operator()(Args... args) const noexcept {
#if defined(COMMUTANT_STATIC_DISPATCH)
        return Bodies[fixed].function(args...);
#else
        function_pointer f = pointer.load(std::memory_order_relaxed);
        if (f == nullptr) [[unlikely]] {
            f = chosen().function;
            pointer.store(f, std::memory_order_relaxed);
        }
        return f(args...);
#endif
    }

private:
#if defined(COMMUTANT_STATIC_DISPATCH)
    static constexpr std::size_t fixed = [] {
        for (std::size_t i = 0; i < Bodies.size(); ++i)
            if (always_available(Bodies[i].level)) return i;
        return Bodies.size() - 1;
    }();
#else
    static inline constinit std::atomic<function_pointer> pointer{nullptr};
#endif
};

}  // namespace commutant::kernels
