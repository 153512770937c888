// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "harness/targets.hpp"

#include <algorithm>
#include <cmath>
#include <string_view>

namespace commutant::bench {

std::vector<target> const& targets() {
    using enum target::sense;
    using enum target::aggregate;
    using enum target::place;
    // "Level" and "the rate of" a neighbour or of memory are judged with the 5 % that two medians differ by here.
    constexpr double level = 0.95;
    static std::vector<target> const table{
        {"GEMM, per channel, M >= 128", "gemm.peak", "of the vpdpbusd peak", 0.93},
        {"GEMM, per channel, M >= 128", "gemm.peak", "of the vpdpbusd peak, two threads", 0.88, at_least,
         worst, reference, 2},
        {"GEMM, per channel, M >= 128", "gemm.fp32", "x the best fp32", 3.8, at_least, worst,
         reference_and_amx},
        {"GEMM, per channel, M >= 128", "gemm.bf16", "x the best bf16", 1.9, at_least, worst,
         reference_and_amx},
        {"GEMM, per channel, M >= 128", "gemm.int8", "x oneDNN int8, level", level, at_least, worst,
         reference_and_amx},
        {"GEMM, groups", "groups.128", "of the per-channel rate, groups of 128", 0.88},
        {"GEMM, groups", "groups.32", "of the per-channel rate, groups of 32", 0.70},
        {"M = 16 from DRAM", "dram16.fp32", "x the best fp32", 5, at_least, worst, reference_and_amx},
        {"M = 16 from DRAM", "dram16.bf16", "x the best bf16", 2.5, at_least, worst, reference_and_amx},
        {"GEMV, M = 1 .. 4, from DRAM", "gemv.read", "of the read rate", 0.90, at_least, worst,
         reference_and_amx},
        {"GEMV, M = 1 .. 4, from DRAM", "gemv.fp32", "x the best fp32", 7, at_least, worst,
         reference_and_amx},
        {"GEMV, M = 1 .. 4, from DRAM", "gemv.bf16", "x the best bf16", 3.5, at_least, worst,
         reference_and_amx},
        {"small shapes", "small.best", "of points at least level with the best neighbour", 0.9, at_least,
         share_at_least_one, reference_and_amx},
        {"small shapes", "small.best", "x the best neighbour, at the worst point", 0.9, at_least, worst,
         reference_and_amx},
        {"whole block", "block.fp32.128", "x the oneDNN fp32 block, 128 tokens", 3.9},
        {"whole block", "block.fp32.512", "x the oneDNN fp32 block, 512 tokens", 3.8},
        {"whole block", "block.fp32.1024", "x the oneDNN fp32 block, 1024 tokens, batch 1 and 16", 3.7},
        {"whole block", "block.fp32.2048", "x the oneDNN fp32 block, 2048 tokens", 3.6},
        {"whole block", "block.overhead", "of the block in S_n, T_d and quantisation", 0.03, at_most},
        {"decode at context 1024", "decode.fp32", "x the oneDNN fp32 block", 7, at_least, worst,
         reference_and_amx},
        {"decode at context 1024", "decode.bf16", "x the oneDNN bf16 block", 3.5, at_least, worst,
         reference_and_amx},
        {"Hadamard 2^k, in cache", "hadamard.to4096", "cycles per element, n <= 4096", 0.36, at_most},
        {"Hadamard 2^k, in cache", "hadamard.to16384", "cycles per element, n = 8192, 16384", 0.42, at_most},
        {"Hadamard 2^k, from DRAM", "hadamard.dram", "of the in-place rate, level", level},
        {"Hadamard, full order", "hadamard.14336", "cycles per element, 14336", 0.7, at_most},
        {"Hadamard, full order", "hadamard.11008", "cycles per element, 11008", 1.3, at_most},
        {"Hadamard, full order", "hadamard.18944", "cycles per element, 18944", 1.4, at_most},
        {"fp32 to int4, static", "quantize.l2", "Gelem/s from L2", 45},
        {"fp32 to int4, static", "quantize.dram", "GB/s from DRAM", 36},
        {"fp32 to int4, static", "quantize.fused", "x the Hadamard alone, rescale, quantise, pack fused", 1.2,
         at_most},
        {"int4 <-> int8, int4 -> fp32", "convert.l2", "of memcpy's rate from L2, level", level},
        {"int4 <-> int8, int4 -> fp32", "convert.dram", "of memcpy's rate from DRAM, level", level},
        {"AVX2 only", "gemm.fp32", "x the best fp32 of AVX2", 3, at_least, worst, avx2},
        {"run-time dispatch", "dispatch.gemm", "of -march=native, GEMM", 0.98, at_least, geometric_mean},
        {"run-time dispatch", "dispatch.groups", "of -march=native, groups", 0.98, at_least, geometric_mean},
        {"run-time dispatch", "dispatch.dram16", "of -march=native, M = 16 from DRAM", 0.98, at_least,
         geometric_mean},
        {"run-time dispatch", "dispatch.gemv", "of -march=native, GEMV", 0.98, at_least, geometric_mean},
        {"run-time dispatch", "dispatch.small", "of -march=native, small shapes", 0.98, at_least,
         geometric_mean},
        {"run-time dispatch", "dispatch.block", "of -march=native, whole block", 0.98, at_least,
         geometric_mean},
        {"run-time dispatch", "dispatch.hadamard", "of -march=native, Hadamard", 0.98, at_least,
         geometric_mean},
        {"run-time dispatch", "dispatch.quantize", "of -march=native, quantise and pack", 0.98, at_least,
         geometric_mean},
        {"run-time dispatch", "dispatch.convert", "of -march=native, conversions", 0.98, at_least,
         geometric_mean},
        {"run-time dispatch", "dispatch-fixed.*", "of the same with fixed bodies, all points", 0.98, at_least,
         geometric_mean},
    };
    return table;
}

namespace {

bool is_about(target const& t, run_results const& r) {
    if (r.n_threads != t.n_threads) return false;
    switch (t.where) {
        case target::place::reference:
            return r.is_reference;
        case target::place::reference_and_amx:
            return r.is_reference || r.tier == "amx";
        case target::place::avx2:
            return r.tier == "avx2";
    }
    return false;
}

bool is_about(target const& t, measure const& m) {
    if (!t.metric.ends_with('*')) return m.metric == t.metric;
    return m.metric.starts_with(std::string_view(t.metric).substr(0, t.metric.size() - 1));
}

verdict judge(target const& t, run_results const& r) {
    verdict v;
    v.what = &t, v.tier = r.tier;
    std::vector<measure> points;
    for (measure const& m : r.figures.all)
        if (is_about(t, m)) points.push_back(m);
    v.n_points = points.size();
    if (points.empty()) return v;

    std::sort(points.begin(), points.end(),
              [](measure const& a, measure const& b) { return a.value < b.value; });
    bool const at_least = t.direction == target::sense::at_least;
    measure const& worst = at_least ? points.front() : points.back();
    v.where = worst.where;
    v.median = points[points.size() / 2].value;
    switch (t.over) {
        case target::aggregate::worst:
            v.value = worst.value;
            break;
        case target::aggregate::share_at_least_one:
            v.value = static_cast<double>(std::count_if(points.begin(), points.end(),
                                                        [](measure const& m) { return m.value >= 1.0; })) /
                      static_cast<double>(points.size());
            break;
        case target::aggregate::geometric_mean: {
            double sum = 0;
            for (measure const& m : points) sum += std::log(m.value);
            v.value = std::exp(sum / static_cast<double>(points.size()));
            break;
        }
    }
    v.passed = at_least ? v.value >= t.bound : v.value <= t.bound;
    return v;
}

}  // namespace

std::vector<verdict> judged(report const& r) {
    std::vector<verdict> all;
    for (target const& t : targets()) {
        std::size_t const before = all.size();
        for (run_results const& run : r.runs)
            if (is_about(t, run)) all.push_back(judge(t, run));
        if (all.size() != before) continue;
        // No run was about it: it is named all the same.
        verdict v;
        v.what = &t, v.tier = "-";
        all.push_back(v);
    }
    return all;
}

}  // namespace commutant::bench
