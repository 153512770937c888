// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "bodies/bodies.hpp"

#include <benchmark/benchmark.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <string>

#include <commutant/kernels/dequantize.hpp>
#include <commutant/kernels/hadamard.hpp>
#include <commutant/kernels/int4_pack.hpp>
#include <commutant/kernels/quantize.hpp>

#include "harness/buffer.hpp"

namespace commutant::bench {
namespace {

/// Memory that one benchmark reads and writes; large enough for any element type.
struct arrays {
    buffer<float> from, to;
    explicit arrays(std::size_t n) : from(n), to(n) {
        for (std::size_t i = 0; i < n; ++i) from[i] = static_cast<float>(i % 15) - 7.0F;
    }
    [[nodiscard]] std::uint8_t* source() { return reinterpret_cast<std::uint8_t*>(from.data()); }
    [[nodiscard]] std::uint8_t* target() { return reinterpret_cast<std::uint8_t*>(to.data()); }
};

/// Registers BM_<what>/<body>/elements:<n> for each body that runs here; call(function, arrays, n) is one call.
template <class Bodies, class Call>
void add(std::string const& what, Bodies const& bodies, std::size_t n, double bytes, Call call) {
    for (auto const& b : bodies) {
        if (!kernels::is_supported(b.level) || b.level > kernels::max_isa()) continue;
        std::string const name =
            "BM_" + what + "/" + std::string(to_string(b.level)) + "/elements:" + std::to_string(n);
        benchmark::RegisterBenchmark(name.c_str(), [=, function = b.function](benchmark::State& state) {
            arrays data(n);
            for (auto _ : state) {
                call(function, data, n);
                benchmark::ClobberMemory();
            }
            state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * n));
            state.SetBytesProcessed(
                static_cast<std::int64_t>(static_cast<double>(state.iterations()) * bytes));
        });
    }
    benchmark::RegisterBenchmark(
        ("BM_" + what + "/memcpy/elements:" + std::to_string(n)).c_str(), [=](benchmark::State& state) {
            arrays data(n);
            auto const half = static_cast<std::size_t>(bytes / 2);
            for (auto _ : state) {
                std::memcpy(data.target(), data.source(), half);
                benchmark::ClobberMemory();
            }
            state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * 2 * half));
        });
}

void add_packing(std::size_t n) {
    namespace k = kernels::detail;
    auto const pack = [](k::pack_int4_function* f, arrays& a, std::size_t count) {
        f(a.source(), {count, kernels::nibble_order::interleaved, kernels::default_nibble_block}, a.target());
    };
    double const bytes = 1.5 * static_cast<double>(n);
    add("pack_int4", k::pack_int4_bodies, n, bytes, pack);
    add("unpack_int4", k::unpack_signed_int4_bodies, n, bytes, pack);
    auto const dequantize = [](k::dequantize_function<float>* f, arrays& a, std::size_t count) {
        float const scale = 0.5F;
        std::int32_t const zero_point = 0;
        f({a.source(),
           {count, kernels::nibble_order::interleaved, kernels::default_nibble_block},
           true,
           count,
           &scale,
           &zero_point},
          a.to.data());
    };
    add("dequantize_int4", k::dequantize_bodies<float>, n, 4.5 * static_cast<double>(n), dequantize);
}

void add_quantize(std::size_t n) {
    namespace k = kernels::detail;
    auto const quantize = [](k::quantize_rows_function* f, arrays& a, std::size_t count) {
        kernels::static_nibbles const to{{0.5F, 0, 4}, {a.target(), kernels::packed_int4_size(count)}};
        f(a.from.data(), 1, count, k::sink_of(to));
    };
    add("quantize_pack_int4", k::quantize_rows_bodies, n, 4.5 * static_cast<double>(n), quantize);
}

void add_hadamard(std::size_t n, std::size_t n_rows) {
    namespace k = kernels::detail;
    auto const plan = std::make_shared<kernels::hadamard_plan const>(n);
    auto const scratch = std::make_shared<buffer<float>>(plan->scratch_size() + 1);
    auto const transform = [=](k::hadamard_function<float>* f, arrays& a, std::size_t) {
        kernels::hadamard_factors<float> factors;
        factors.scale = 1.0F / std::sqrt(static_cast<float>(n));
        f(*plan, k::job_of<float>(a.from.data(), a.from.data(), {n_rows, n, 0}, n, factors, scratch->data()));
    };
    add("transform_hadamard/order:" + std::to_string(n), k::hadamard_bodies<float>, n * n_rows,
        8.0 * static_cast<double>(n * n_rows), transform);
}

}  // namespace

int run_bodies(int argc, char** argv) {
    for (std::size_t n : {std::size_t{1} << 14, std::size_t{1} << 18, std::size_t{1} << 25}) {
        add_packing(n);
        add_quantize(n);
    }
    for (std::size_t n : {64, 256, 1024, 4096, 16384, 14336}) add_hadamard(n, std::size_t{65536} / n);
    // The option that brought us here is none of the library's.
    int kept = 1;
    for (int i = 1; i < argc; ++i)
        if (std::string(argv[i]) != "--bodies") argv[kept++] = argv[i];
    argv[kept] = nullptr;
    benchmark::Initialize(&kept, argv);
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}

}  // namespace commutant::bench
