// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "peaks/bandwidth.hpp"
#include "rows/transfer_contests.hpp"

namespace commutant::bench {
namespace {

struct level {
    char const* name;
    std::size_t call_bytes;  ///< read and written in one call
    std::size_t rotated;     ///< bytes of all calls together; 0: the same each call
};

std::vector<level> levels() {
    memory_sizes const m = sizes_of_memory();
    return {{"L2", m.l2 / 2, 0}, {"DRAM", std::size_t{16} << 20, m.beyond_caches}};
}

sliced shape_of(level const& l, transfer_kind kind) {
    constexpr std::size_t row_size = 4096;
    double const per_element = source_bytes(kind, 1) + target_bytes(kind, 1);
    auto const elements = [&](std::size_t bytes) {
        return static_cast<std::size_t>(static_cast<double>(bytes) / per_element);
    };
    return {elements(l.call_bytes) / row_size, row_size, elements(l.rotated)};
}

contest quantize(session const& s, level const& l) {
    sliced const shape = shape_of(l, transfer_kind::quantize_pack);
    auto const prepare = [s, l, shape] {
        std::vector<contestant> r;
        enter_transfers(r, s, transfer_kind::quantize_pack, shape);
        r.push_back(bandwidth_peak("read", "peak read", shape.elements() * sizeof(float), l.rotated, 1));
        return r;
    };
    bool const from_cache = l.rotated == 0;
    auto const judge = [from_cache](contest_result const& r, measures& into) {
        if (timing const* const ours = r.find("commutant"); ours != nullptr) {
            double const rate = ours->elements_per_second() / 1e9;
            if (from_cache)
                into.add("quantize.l2", r.name, rate);
            else
                into.add("quantize.dram", r.name, rate * sizeof(float));
        }
        judge_dispatch(r, "quantize", "", into);
    };
    return {std::string("quantize/static nibbles/") + l.name, prepare, judge, l.rotated != 0};
}

/// The transform alone, and with row scales, grid and packing in the same pass.
contest fused(session const& s, std::size_t n) {
    auto const prepare = [s, n] {
        std::vector<contestant> r;
        sliced const shape{rows_in(sizes_of_memory().l2 / 4, n), n};
        enter_transfers(r, s, transfer_kind::hadamard, shape, " hadamard");
        enter_transfers(r, s, transfer_kind::hadamard_rescale_pack, shape, " hadamard to nibbles");
        return r;
    };
    auto const judge = [](contest_result const& r, measures& into) {
        into.add_ratio("quantize.fused", r.name, r.find("commutant hadamard to nibbles"),
                       r.find("commutant hadamard"));
        judge_dispatch(r, "quantize", " hadamard to nibbles", into);
    };
    return {"quantize/after hadamard/n:" + std::to_string(n), prepare, judge};
}

contest residual(session const& s, level const& l) {
    sliced const shape = shape_of(l, transfer_kind::residual_scale);
    return {std::string("quantize/residual scaling/") + l.name,
            [s, shape] {
                std::vector<contestant> r;
                enter_transfers(r, s, transfer_kind::residual_scale, shape);
                return r;
            },
            [](contest_result const& r, measures& into) { judge_dispatch(r, "quantize", "", into); }};
}

contest convert(session const& s, level const& l, char const* name, transfer_kind kind) {
    sliced const shape = shape_of(l, kind);
    auto const prepare = [s, l, kind, shape] {
        std::vector<contestant> r;
        enter_transfers(r, s, kind, shape);
        auto const n = static_cast<double>(shape.elements());
        auto const moved = static_cast<std::size_t>(source_bytes(kind, n) + target_bytes(kind, n));
        r.push_back(bandwidth_peak("memcpy", "memcpy", moved, l.rotated, 1));
        r.push_back(bandwidth_peak("non-temporal copy", "non-temporal copy", moved, l.rotated, 1));
        return r;
    };
    std::string const metric = l.rotated == 0 ? "convert.l2" : "convert.dram";
    auto const judge = [metric](contest_result const& r, measures& into) {
        timing const* const ours = r.find("commutant");
        timing const* const copy = r.find("memcpy");
        if (ours != nullptr && copy != nullptr)
            into.add(metric, r.name, ours->bytes_per_second() / copy->bytes_per_second());
        judge_dispatch(r, "convert", "", into);
    };
    return {std::string("convert/") + name + "/" + l.name, prepare, judge, l.rotated != 0};
}

}  // namespace

void add_transfers(std::vector<contest>& to, session const& s) {
    if (!s.is_reference || s.n_threads != 1) return;
    for (level const& l : levels()) {
        to.push_back(quantize(s, l));
        to.push_back(residual(s, l));
        to.push_back(convert(s, l, "int8 to int4", transfer_kind::pack));
        to.push_back(convert(s, l, "int4 to int8", transfer_kind::unpack));
        to.push_back(convert(s, l, "int4 to fp32", transfer_kind::dequantize));
    }
    for (std::size_t n : {1024, 4096, 14336}) to.push_back(fused(s, n));
}

}  // namespace commutant::bench
