// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "peaks/compute.hpp"
#include "rows/gemm_contests.hpp"

namespace commutant::bench {
namespace {

void judge(contest_result const& r, measures& into) {
    judge_against_neighbours(r, "gemm", into);
    timing const* const peak = r.find("peak int8");
    for (char const* width : {" W4A8", " W4A4"})
        if (timing const* const ours = r.find("commutant" + std::string(width));
            ours != nullptr && peak != nullptr)
            into.add("gemm.peak", r.name + width,
                     ours->operations_per_second() / peak->operations_per_second());
}

contest per_channel(session const& s, gemm_shape shape) {
    gemm_entries entries;
    // The other fp32 libraries are a fifth to a third slower than oneDNN: shown where a call is short.
    double const operations = 2.0 * static_cast<double>(shape.m * shape.n * shape.k);
    entries.other_floating_point = operations < (s.quick ? 6e9 : 20e9);
    return {name_of("gemm", shape), [s, shape, entries] { return gemm_contestants(s, shape, entries); },
            judge, true};
}

/// Groups of weights against one scale per channel.
contest grouped(session const& s, gemm_shape shape) {
    auto const prepare = [s, shape] {
        std::vector<contestant> r;
        for (std::size_t group : {0, 128, 32}) {
            auto const weights = make_gemm_weights(shape, group, 0);
            for (int bits : {8, 4}) {
                auto const p = make_gemm_problem(weights, shape.m, bits, s.n_threads);
                std::string const suffix = " W4A" + std::to_string(bits);
                std::string const what = group == 0 ? "" : " g" + std::to_string(group);
                for (named_build const& b : s.entered_builds())
                    enter(r, b.name + what + suffix, p, b.build->gemm(*p), 1e-6);
            }
        }
        return r;
    };
    auto const judged = [](contest_result const& r, measures& into) {
        for (char const* width : {" W4A8", " W4A4"})
            for (char const* group : {"128", "32"}) {
                std::string const suffix = std::string(" g") + group + width;
                into.add_ratio(std::string("groups.") + group, r.name + suffix,
                               r.find("commutant" + std::string(width)), r.find("commutant" + suffix));
                judge_dispatch(r, "groups", suffix, into);
            }
    };
    return {name_of("groups", shape), prepare, judged, true};
}

}  // namespace

void add_gemm(std::vector<contest>& to, session const& s) {
    for (std::size_t m : {128, 512, 2048})
        for (auto const& [n, k] : llama_shapes) {
            if (s.quick && m != 128 && n != 4096) continue;
            if (s.quick && m == 2048 && k != 14336) continue;
            // Two threads are a target of the reference tier; 256-bit vpdpbusd is one of none, and shown for a few tokens.
            if (s.n_threads > 1 && !s.is_reference) continue;
            if (s.level == kernels::isa::avx_vnni && !s.is_reference && m != 128) continue;
            to.push_back(per_channel(s, {m, n, k}));
        }
    if (!s.is_reference || s.n_threads != 1) return;
    for (std::size_t m : {128, 512, 2048})
        for (auto const& [n, k] : llama_shapes)
            if (!s.quick || (m == 128 && n == 4096)) to.push_back(grouped(s, {m, n, k}));
}

}  // namespace commutant::bench
