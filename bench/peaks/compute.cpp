// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "peaks/compute.hpp"

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

#include <commutant/kernels/isa.hpp>

#if defined(COMMUTANT_KERNELS_X86)
#define COMMUTANT_BENCH_TARGET_AVX512_BF16 [[gnu::target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]]
#define COMMUTANT_BENCH_TARGET_AMX_BF16 [[gnu::target("amx-tile,amx-int8,amx-bf16")]]
#endif

namespace commutant::bench {
namespace {

constexpr std::int64_t n_steps = 4096;
constexpr int n_sums = 20;  // more than latency times throughput, fewer than there are registers

/// Loops in one call: on several threads enough for starting and meeting not to count.
[[nodiscard]] constexpr int repeats(int n_threads) { return n_threads == 1 ? 1 : 100; }

/// Runs on n_threads at once; a call's work is that of all of them.
void on_threads(int n_threads, void (*loop)()) {
#if defined(_OPENMP)
    if (n_threads > 1) {
#pragma omp parallel for num_threads(n_threads) schedule(static, 1)
        for (int i = 0; i < n_threads; ++i)
            for (int r = 0; r < repeats(n_threads); ++r) loop();
        return;
    }
#endif
    loop();
}

struct peak {
    char const* name;
    kernels::isa level;
    bool available;
    double operations;
    void (*loop)();
};

#if defined(COMMUTANT_KERNELS_X86)

// One loop: n_sums accumulators in registers, each updated once a step by STEP(sum). The empty asm keeps them there.
#define COMMUTANT_BENCH_LOOP(NAME, TARGET, TYPE, SETUP, N_SUMS, STEP)                \
    TARGET void NAME() {                                                             \
        SETUP;                                                                       \
        TYPE sum[N_SUMS];                                                            \
        _Pragma("GCC unroll 32") for (int i = 0; i < (N_SUMS); ++i) sum[i] = TYPE{}; \
        for (std::int64_t step = 0; step < n_steps; ++step) {                        \
            _Pragma("GCC unroll 32") for (int i = 0; i < (N_SUMS); ++i) {            \
                STEP;                                                                \
                __asm__ volatile("" : "+v"(sum[i]));                                 \
            }                                                                        \
        }                                                                            \
    }

COMMUTANT_BENCH_LOOP(fma_512, COMMUTANT_TARGET_AVX512BW, __m512, __m512 const a = _mm512_set1_ps(0.5F),
                     n_sums, sum[i] = _mm512_fmadd_ps(a, a, sum[i]))
COMMUTANT_BENCH_LOOP(fma_256, COMMUTANT_TARGET_AVX2, __m256, __m256 const a = _mm256_set1_ps(0.5F), 12,
                     sum[i] = _mm256_fmadd_ps(a, a, sum[i]))
COMMUTANT_BENCH_LOOP(vpdpbusd_512, COMMUTANT_TARGET_AVX512_VNNI, __m512i,
                     __m512i const a = _mm512_set1_epi8(3), n_sums,
                     sum[i] = _mm512_dpbusd_epi32(sum[i], a, a))
COMMUTANT_BENCH_LOOP(vpdpbusd_256, COMMUTANT_TARGET_AVX_VNNI, __m256i, __m256i const a = _mm256_set1_epi8(3),
                     12, sum[i] = _mm256_dpbusd_avx_epi32(sum[i], a, a))
// The product's first operand changes, or it would be moved out of the loop.
COMMUTANT_BENCH_LOOP(vpmaddubsw_512, COMMUTANT_TARGET_AVX512BW, __m512i, __m512i a = _mm512_set1_epi8(3),
                     n_sums,
                     __asm__ volatile(""
                                      : "+v"(a));
                     sum[i] = _mm512_add_epi16(sum[i], _mm512_maddubs_epi16(a, a)))
COMMUTANT_BENCH_LOOP(vpmaddubsw_256, COMMUTANT_TARGET_AVX2, __m256i, __m256i a = _mm256_set1_epi8(3), 12,
                     __asm__ volatile(""
                                      : "+v"(a));
                     sum[i] = _mm256_add_epi16(sum[i], _mm256_maddubs_epi16(a, a)))
COMMUTANT_BENCH_LOOP(vdpbf16ps_512, COMMUTANT_BENCH_TARGET_AVX512_BF16, __m512,
                     __m512bh const a = _mm512_cvtne2ps_pbh(_mm512_set1_ps(0.5F), _mm512_set1_ps(0.5F)),
                     n_sums, sum[i] = _mm512_dpbf16_ps(sum[i], a, a))

struct tile_shapes {
    std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
    std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(tile_shapes) == 64);

// Four sums, two tiles of each factor: the arrangement of a tiled product.
#define COMMUTANT_BENCH_TILES(NAME, TARGET, DOT)              \
    TARGET void NAME() {                                      \
        alignas(64) static tile_shapes const shapes{};        \
        _tile_loadconfig(&shapes);                            \
        _tile_zero(0);                                        \
        _tile_zero(1);                                        \
        _tile_zero(2);                                        \
        _tile_zero(3);                                        \
        _tile_zero(4);                                        \
        _tile_zero(5);                                        \
        _tile_zero(6);                                        \
        _tile_zero(7);                                        \
        for (std::int64_t step = 0; step < n_steps; ++step) { \
            DOT(0, 4, 6);                                     \
            DOT(1, 4, 7);                                     \
            DOT(2, 5, 6);                                     \
            DOT(3, 5, 7);                                     \
        }                                                     \
        _tile_release();                                      \
    }

COMMUTANT_BENCH_TILES(tdpbssd, COMMUTANT_TARGET_AMX, _tile_dpbssd)
COMMUTANT_BENCH_TILES(tdpbf16ps, COMMUTANT_BENCH_TARGET_AMX_BF16, _tile_dpbf16ps)

std::vector<peak> known_peaks() {
    using kernels::isa;
    bool const bf16 = __builtin_cpu_supports("avx512bf16");
    double const steps = static_cast<double>(n_steps);
    return {
        {"fp32 vfmadd 512", isa::avx512bw, true, steps * n_sums * 32, fma_512},
        {"fp32 vfmadd 256", isa::avx2, true, steps * 12 * 16, fma_256},
        {"bf16 tdpbf16ps", isa::amx, bf16, steps * 4 * 16 * 16 * 32 * 2, tdpbf16ps},
        {"bf16 vdpbf16ps 512", isa::avx512_vnni, bf16, steps * n_sums * 64, vdpbf16ps_512},
        {"int8 tdpbssd", isa::amx, true, steps * 4 * 16 * 16 * 64 * 2, tdpbssd},
        {"int8 vpdpbusd 512", isa::avx512_vnni, true, steps * n_sums * 128, vpdpbusd_512},
        {"int8 vpdpbusd 256", isa::avx_vnni, true, steps * 12 * 64, vpdpbusd_256},
        {"int8 vpmaddubsw + vpaddw 512", isa::avx512bw, true, steps * n_sums * 128, vpmaddubsw_512},
        {"int8 vpmaddubsw + vpaddw 256", isa::avx2, true, steps * 12 * 64, vpmaddubsw_256},
    };
}

#else

std::vector<peak> known_peaks() { return {}; }

#endif

std::vector<peak> peaks_of_this_tier() {
    std::vector<peak> r;
    for (peak const& p : known_peaks())
        if (p.available && p.level <= kernels::max_isa() && kernels::is_supported(p.level)) r.push_back(p);
    return r;
}

contestant entered(peak const& p, std::string name, int n_threads) {
    return {std::move(name),
            {p.operations * n_threads * repeats(n_threads), 0, 0},
            [loop = p.loop, n_threads] { on_threads(n_threads, loop); }};
}

}  // namespace

std::vector<contestant> compute_peaks(int n_threads) {
    std::vector<contestant> r;
    for (peak const& p : peaks_of_this_tier())
        r.push_back(entered(p, "peak " + std::string(p.name), n_threads));
    return r;
}

std::vector<contestant> compute_peak(std::string const& name, int n_threads) {
    // The list is sorted by rate within a type.
    for (peak const& p : peaks_of_this_tier())
        if (("peak " + std::string(p.name)).starts_with(name + " ")) return {entered(p, name, n_threads)};
    return {};
}

contestant cycle_counter() {
    constexpr std::int64_t n_cycles = 1 << 16;
    return {"cycles", {static_cast<double>(n_cycles), 0, 0}, [] {
                std::uint64_t x = 1, one = 1;  // in a register: some processors remove additions of constants
                for (std::int64_t i = 0; i < n_cycles; i += 16) {
#if defined(__x86_64__)
                    __asm__ volatile(".rept 16\n\tadd %1, %0\n\t.endr" : "+r"(x) : "r"(one));
#elif defined(__aarch64__)
                    __asm__ volatile(".rept 16\n\tadd %0, %0, %1\n\t.endr" : "+r"(x) : "r"(one));
#else
                    for (int k = 0; k < 16; ++k) __asm__ volatile("" : "+r"(x = x + one));
#endif
                }
            }};
}

}  // namespace commutant::bench
