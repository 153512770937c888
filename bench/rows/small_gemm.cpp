// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "rows/gemm_contests.hpp"

namespace commutant::bench {
namespace {

contest cache_resident(session const& s, gemm_shape shape) {
    auto const judge = [](contest_result const& r, measures& into) {
        for (char const* width : {" W4A8", " W4A4"}) {
            timing const* const ours = r.find("commutant" + std::string(width));
            timing const* best = nullptr;
            for (char const* type : {"fp32", "bf16", "int8"})
                if (timing const* const t = r.best(type);
                    t != nullptr && (best == nullptr || t->median < best->median))
                    best = t;
            into.add_ratio("small.best", r.name + width, best, ours);
            judge_dispatch(r, "small", width, into);
        }
    };
    gemm_entries entries;
    entries.peaks = {};
    entries.other_floating_point = shape.m <= 16;  // never the best of larger ones
    return {name_of("small", shape), [s, shape, entries] { return gemm_contestants(s, shape, entries); },
            judge};
}

}  // namespace

void add_small_gemm(std::vector<contest>& to, session const& s) {
    if (s.n_threads != 1 || (!s.is_reference && s.level != kernels::isa::amx)) return;
    std::vector<std::pair<std::size_t, std::size_t>> shapes;
    for (std::size_t n : {192, 288, 512, 768, 1024, 2048}) shapes.emplace_back(n, n);
    // Between model_dim and ffn_dim of small models.
    for (auto const& [n, k] :
         {std::pair<std::size_t, std::size_t>{768, 288}, {288, 768}, {2048, 768}, {768, 2048}})
        shapes.emplace_back(n, k);
    for (auto const& [n, k] : shapes)
        for (std::size_t m : {1, 4, 16, 64, 128, 512}) {
            if (s.quick && (n != k || (m != 1 && m != 16 && m != 128) || n == 512 || n == 1024)) continue;
            to.push_back(cache_resident(s, {m, n, k}));
        }
}

}  // namespace commutant::bench
