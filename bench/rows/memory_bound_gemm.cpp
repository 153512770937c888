// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "peaks/bandwidth.hpp"
#include "peaks/compute.hpp"
#include "rows/gemm_contests.hpp"

namespace commutant::bench {
namespace {

contest from_dram(session const& s, gemm_shape shape) {
    bool const few = shape.m <= 4;
    std::string const row = few ? "gemv" : shape.m == 16 ? "dram16" : "dram";
    auto const prepare = [s, shape] {
        gemm_entries entries;
        entries.other_floating_point = false;
        entries.peaks = {};
        entries.rotated_bytes = sizes_of_memory().beyond_caches;
        entries.read = true;
        return gemm_contestants(s, shape, entries);
    };
    auto const judge = [row, few](contest_result const& r, measures& into) {
        judge_against_neighbours(r, row, into);
        timing const* const read = r.find("peak read");
        if (!few || read == nullptr) return;
        for (char const* width : {" W4A8", " W4A4"})
            if (timing const* const ours = r.find("commutant" + std::string(width)); ours != nullptr)
                into.add("gemv.read", r.name + width, ours->bytes_per_second() / read->bytes_per_second());
    };
    return {name_of(row, shape), prepare, judge, true};
}

}  // namespace

void add_memory_bound_gemm(std::vector<contest>& to, session const& s) {
    if (s.n_threads != 1) return;
    if (!s.is_reference && s.level != kernels::isa::amx) return;
    for (auto const& [n, k] : llama_shapes)
        for (std::size_t m : {1, 2, 3, 4, 6, 9, 13, 16}) {
            // The shape of gate_proj stands for all where time is short, and for rows between those of the targets.
            bool const is_largest = n == 14336, is_main = m == 1 || m == 4 || m == 16;
            if ((s.quick || !is_main) && !is_largest) continue;
            if (s.quick && !is_main) continue;
            to.push_back(from_dram(s, {m, n, k}));
        }
}

}  // namespace commutant::bench
