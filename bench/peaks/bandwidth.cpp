// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "peaks/bandwidth.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <memory>
#include <utility>

#include <commutant/kernels/isa.hpp>

#include "harness/buffer.hpp"

namespace commutant::bench {
namespace {

using kernel = void (*)(std::byte const* from, std::byte* to, std::size_t n);  // n is a multiple of 512

#if defined(COMMUTANT_KERNELS_X86)

COMMUTANT_TARGET_AVX512BW void read_512(std::byte const* from, std::byte*, std::size_t n) {
    __m512i s0 = _mm512_setzero_si512(), s1 = s0, s2 = s0, s3 = s0;
    for (std::size_t i = 0; i < n; i += 256) {
        s0 = _mm512_xor_si512(s0, _mm512_load_si512(from + i));
        s1 = _mm512_xor_si512(s1, _mm512_load_si512(from + i + 64));
        s2 = _mm512_xor_si512(s2, _mm512_load_si512(from + i + 128));
        s3 = _mm512_xor_si512(s3, _mm512_load_si512(from + i + 192));
    }
    s0 = _mm512_xor_si512(_mm512_xor_si512(s0, s1), _mm512_xor_si512(s2, s3));
    __asm__ volatile("" : : "v"(s0));
}

COMMUTANT_TARGET_AVX512BW void in_place_512(std::byte const*, std::byte* to, std::size_t n) {
    __m512i const one = _mm512_set1_epi32(1);
    for (std::size_t i = 0; i < n; i += 128) {
        _mm512_store_si512(to + i, _mm512_add_epi32(_mm512_load_si512(to + i), one));
        _mm512_store_si512(to + i + 64, _mm512_add_epi32(_mm512_load_si512(to + i + 64), one));
    }
}

COMMUTANT_TARGET_AVX2 void read_256(std::byte const* from, std::byte*, std::size_t n) {
    __m256i s0 = _mm256_setzero_si256(), s1 = s0, s2 = s0, s3 = s0;
    auto const* const v = reinterpret_cast<__m256i const*>(from);
    for (std::size_t i = 0; i < n / 32; i += 4) {
        s0 = _mm256_xor_si256(s0, _mm256_load_si256(v + i));
        s1 = _mm256_xor_si256(s1, _mm256_load_si256(v + i + 1));
        s2 = _mm256_xor_si256(s2, _mm256_load_si256(v + i + 2));
        s3 = _mm256_xor_si256(s3, _mm256_load_si256(v + i + 3));
    }
    s0 = _mm256_xor_si256(_mm256_xor_si256(s0, s1), _mm256_xor_si256(s2, s3));
    __asm__ volatile("" : : "x"(s0));
}

COMMUTANT_TARGET_AVX2 void in_place_256(std::byte const*, std::byte* to, std::size_t n) {
    __m256i const one = _mm256_set1_epi32(1);
    auto* const v = reinterpret_cast<__m256i*>(to);
    for (std::size_t i = 0; i < n / 32; i += 2) {
        _mm256_store_si256(v + i, _mm256_add_epi32(_mm256_load_si256(v + i), one));
        _mm256_store_si256(v + i + 1, _mm256_add_epi32(_mm256_load_si256(v + i + 1), one));
    }
}

COMMUTANT_TARGET_AVX2 void stream_256(std::byte const* from, std::byte* to, std::size_t n) {
    for (std::size_t i = 0; i < n; i += 32)
        _mm256_stream_si256(reinterpret_cast<__m256i*>(to + i),
                            _mm256_load_si256(reinterpret_cast<__m256i const*>(from + i)));
    _mm_sfence();
}

bool wide() {
    return kernels::max_isa() >= kernels::isa::avx512bw && kernels::is_supported(kernels::isa::avx512bw);
}
kernel read_body() { return wide() ? read_512 : read_256; }
kernel in_place_body() { return wide() ? in_place_512 : in_place_256; }
kernel stream_body() { return stream_256; }

#else

void read_words(std::byte const* from, std::byte*, std::size_t n) {
    std::uint64_t s = 0, x = 0;
    for (std::size_t i = 0; i < n; i += sizeof x) {
        std::memcpy(&x, from + i, sizeof x);
        s ^= x;
    }
    __asm__ volatile("" : : "r"(s));
}

void in_place_words(std::byte const*, std::byte* to, std::size_t n) {
    std::uint64_t x = 0;
    for (std::size_t i = 0; i < n; i += sizeof x) {
        std::memcpy(&x, to + i, sizeof x);
        ++x;
        std::memcpy(to + i, &x, sizeof x);
    }
}

kernel read_body() { return read_words; }
kernel in_place_body() { return in_place_words; }
kernel stream_body() {
    return [](std::byte const* from, std::byte* to, std::size_t n) { std::memcpy(to, from, n); };
}

#endif

void copy(std::byte const* from, std::byte* to, std::size_t n) {
    std::memcpy(to, from, n);
    __asm__ volatile("" : : "r"(to) : "memory");
}

std::size_t from_system(int name, std::size_t otherwise) {
    long const n = sysconf(name);
    return n > 0 ? static_cast<std::size_t>(n) : otherwise;
}

/// Memory that the system can give without pushing others out.
std::size_t free_memory() {
    std::ifstream file("/proc/meminfo");
    std::string word;
    while (file >> word)
        if (word == "MemAvailable:") {
            std::size_t kib = 0;
            file >> kib;
            return kib * 1024;
        }
    return std::size_t{4} << 30;
}

/// Pages of large buffers take longer to get than to measure, so peaks of one contest have the same ones.
std::shared_ptr<buffer<std::byte>> shared_memory(std::size_t n) {
    static std::weak_ptr<buffer<std::byte>> last;
    std::shared_ptr<buffer<std::byte>> r = last.lock();
    if (r == nullptr || r->size() < n) last = r = std::make_shared<buffer<std::byte>>(n);
    return r;
}

}  // namespace

memory_sizes sizes_of_memory() {
    static memory_sizes const r = [] {
        memory_sizes s{from_system(_SC_LEVEL1_DCACHE_SIZE, 32 << 10),
                       from_system(_SC_LEVEL2_CACHE_SIZE, 1 << 20),
                       from_system(_SC_LEVEL3_CACHE_SIZE, 16 << 20), 0};
        std::size_t const wanted = std::max(5 * s.l3, std::size_t{1} << 30);
        s.beyond_caches = std::min(wanted, free_memory() / 16);
        return s;
    }();
    return r;
}

contestant bandwidth_peak(std::string const& kind, std::string const& name, std::size_t n_bytes,
                          std::size_t total_bytes, int n_threads) {
    constexpr std::size_t unit = 512;
    bool const copies = kind == "memcpy" || kind == "non-temporal copy";
    kernel const body = kind == "read"       ? read_body()
                        : kind == "in place" ? in_place_body()
                        : kind == "memcpy"   ? copy
                                             : stream_body();
    auto const share =
        std::max(unit, n_bytes / static_cast<std::size_t>(n_threads) / (copies ? 2 : 1) / unit * unit);
    std::size_t const block = share * static_cast<std::size_t>(n_threads) * (copies ? 2 : 1);
    std::size_t const n_blocks = std::max<std::size_t>(1, total_bytes / block);

    // On several threads enough for starting and meeting not to count.
    constexpr std::size_t worth_starting = std::size_t{16} << 20;
    std::size_t const repeats =
        n_threads == 1 || total_bytes != 0 ? 1 : std::max<std::size_t>(1, worth_starting / block);
    auto const data = shared_memory(block * n_blocks);
    auto const turn = std::make_shared<std::size_t>(0);
    auto const run = [=] {
        std::byte* const at = data->data() + (*turn)++ % n_blocks * block;
        if (n_threads == 1) {
            body(at, copies ? at + share : at, share);
            return;
        }
#if defined(_OPENMP)
#pragma omp parallel for num_threads(n_threads) schedule(static, 1)
#endif
        for (int i = 0; i < n_threads; ++i) {
            std::byte* const mine = at + static_cast<std::size_t>(i) * share * (copies ? 2 : 1);
            for (std::size_t r = 0; r < repeats; ++r) body(mine, copies ? mine + share : mine, share);
        }
    };
    double const moved = static_cast<double>(share * repeats) * n_threads * (kind == "read" ? 1 : 2);
    return {name, {0, moved, 0}, run};
}

contestant read_peak(std::string name, std::function<std::byte const*()> next, std::size_t n_bytes,
                     int n_threads) {
    kernel const body = read_body();
    std::size_t const share = n_bytes / static_cast<std::size_t>(n_threads) / 512 * 512;
    auto const run = [=, next = std::move(next)] {
        std::byte const* const at = next();
        if (n_threads == 1) {
            body(at, nullptr, share);
            return;
        }
#if defined(_OPENMP)
#pragma omp parallel for num_threads(n_threads) schedule(static, 1)
#endif
        for (int i = 0; i < n_threads; ++i) body(at + static_cast<std::size_t>(i) * share, nullptr, share);
    };
    return {std::move(name), {0, static_cast<double>(share) * n_threads, 0}, run};
}

rare_reading make_rare_reading(std::size_t n_bytes, std::size_t total_bytes) {
    std::size_t const n_blocks = std::max<std::size_t>(1, total_bytes / n_bytes);
    auto const data = std::make_shared<buffer<std::byte>>(n_bytes * n_blocks);
    auto const block = std::make_shared<std::size_t>(0);
    auto const touch = [=] {
        constexpr std::size_t page = 4096;
        *block = (*block + 1) % n_blocks;
        std::byte const volatile* const at = data->data() + *block * n_bytes;
        for (std::size_t i = 0; i < n_bytes; i += page) static_cast<void>(at[i]);
    };
    auto const next = [=]() -> std::byte const* { return data->data() + *block * n_bytes; };
    return {touch, read_peak("read", next, n_bytes, 1)};
}

std::vector<contestant> bandwidth_peaks(std::string const& prefix, std::size_t n_bytes,
                                        std::size_t total_bytes, int n_threads) {
    std::vector<contestant> r;
    for (char const* kind : {"read", "memcpy", "in place", "non-temporal copy"})
        r.push_back(bandwidth_peak(kind, prefix + kind, n_bytes, total_bytes, n_threads));
    return r;
}

}  // namespace commutant::bench
