// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "peaks/bandwidth.hpp"
#include "peaks/compute.hpp"
#include "rows/transfer_contests.hpp"

namespace commutant::bench {
namespace {

/// The textbook loops over one row, as the compiler vectorises them.
void plain_butterflies(float* x, std::size_t n) {
    for (std::size_t half = 1; half < n; half *= 2)
        for (std::size_t start = 0; start < n; start += 2 * half) {
            float* __restrict const first = x + start;
            float* __restrict const second = first + half;
            for (std::size_t i = 0; i < half; ++i) {
                float const a = first[i], b = second[i];
                first[i] = a + b, second[i] = a - b;
            }
        }
    float const scale = 1.0F / std::sqrt(static_cast<float>(n));
    for (std::size_t i = 0; i < n; ++i) x[i] *= scale;
}

contestant plain(sliced const& shape) {
    auto const x = std::make_shared<buffer<float>>(shape.elements());
    for (std::size_t i = 0; i < x->size(); ++i) (*x)[i] = static_cast<float>(i % 13) - 6.0F;
    auto const n = static_cast<double>(shape.elements());
    return {"plain loops", {0, 8 * n, n}, [x, shape] {
                for (std::size_t r = 0; r < shape.n_rows; ++r)
                    plain_butterflies(x->data() + r * shape.row_size, shape.row_size);
            }};
}

contest in_cache(session const& s, std::string const& metric, std::size_t n, char const* level,
                 std::size_t bytes) {
    sliced const shape{rows_in(bytes, n), n};
    auto const prepare = [s, shape, n] {
        std::vector<contestant> r;
        enter_transfers(r, s, transfer_kind::hadamard, shape);
        if ((n & (n - 1)) == 0) r.push_back(plain(shape));
        r.push_back(cycle_counter());
        return r;
    };
    auto const judge = [metric](contest_result const& r, measures& into) {
        timing const* const ours = r.find("commutant");
        timing const* const clock = r.find("cycles");
        if (ours != nullptr && clock != nullptr && !metric.empty())
            into.add(metric, r.name, ours->median * clock->operations_per_second() / ours->per_call.elements);
        judge_dispatch(r, "hadamard", "", into);
    };
    return {"hadamard/n:" + std::to_string(n) + "/" + level, prepare, judge};
}

contest from_dram(session const& s, std::size_t n) {
    constexpr std::size_t slice = std::size_t{8} << 20;
    std::size_t const rotated = sizes_of_memory().beyond_caches;
    sliced const shape{rows_in(slice, n), n, rotated / sizeof(float)};
    auto const prepare = [s, shape, rotated] {
        std::vector<contestant> r;
        enter_transfers(r, s, transfer_kind::hadamard, shape);
        r.push_back(bandwidth_peak("in place", "peak in place", slice, rotated, 1));
        return r;
    };
    auto const judge = [](contest_result const& r, measures& into) {
        timing const* const ours = r.find("commutant");
        timing const* const peak = r.find("peak in place");
        if (ours != nullptr && peak != nullptr)
            into.add("hadamard.dram", r.name, ours->bytes_per_second() / peak->bytes_per_second());
        judge_dispatch(r, "hadamard", "", into);
    };
    return {"hadamard/n:" + std::to_string(n) + "/DRAM", prepare, judge, true};
}

}  // namespace

void add_hadamard(std::vector<contest>& to, session const& s) {
    if (!s.is_reference || s.n_threads != 1) return;
    memory_sizes const sizes = sizes_of_memory();
    for (std::size_t n : {64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768}) {
        if (s.quick && n != 64 && n != 1024 && n != 4096 && n != 16384) continue;
        std::string const metric = n <= 4096 ? "hadamard.to4096" : n <= 16384 ? "hadamard.to16384" : "";
        if (n * sizeof(float) <= sizes.l1 / 2) to.push_back(in_cache(s, metric, n, "L1", sizes.l1 / 2));
        to.push_back(in_cache(s, metric, n, "L2", sizes.l2 / 4));
    }
    for (std::size_t n : {14336, 11008, 18944})
        to.push_back(in_cache(s, "hadamard." + std::to_string(n), n, "L2", sizes.l2 / 4));
    for (std::size_t n : {1024, 4096, 14336})
        if (!s.quick || n == 4096) to.push_back(from_dram(s, n));
}

}  // namespace commutant::bench
