// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "harness/block.hpp"

#include <algorithm>
#include <cmath>

#include "harness/session.hpp"
#include "neighbours/neighbours.hpp"
#include "peaks/bandwidth.hpp"

namespace commutant::bench {
namespace {

/// The weights, the grids and the result of a short run in fake quantisation.
struct observed_block {
    std::shared_ptr<block_problem> problem;
    std::vector<float> reference;
};

/// Made once for all contests.
observed_block const& observed() {
    constexpr std::size_t n_tokens = 16;
    static observed_block const r = [] {
        observed_block b{with_tokens(*make_block_problem(), n_tokens, 1, 0, 0, 1), {}};
        static_cast<void>(observe_block(*b.problem, b.reference));
        return b;
    }();
    return r;
}

/// Root mean square deviation of the first tokens, relative to the result; attention is causal, so more tokens do not change
/// them.
double deviation(std::span<float const> found) {
    std::vector<float> const& reference = observed().reference;
    std::size_t const n = std::min(found.size(), reference.size());
    double deviations = 0, squares = 0;
    for (std::size_t i = 0; i < n; ++i) {
        deviations += std::pow(static_cast<double>(found[i]) - static_cast<double>(reference[i]), 2);
        squares += std::pow(static_cast<double>(reference[i]), 2);
    }
    return n == 0 ? 0.0 : std::sqrt(deviations / squares);
}
/// Sums in another order move values across ties of the next rounding.
constexpr double flipped_codes = 0.02;

void enter_block(std::vector<contestant>& in, std::string name, std::shared_ptr<block_problem const> const& p,
                 prepared_block made, bool is_comparable) {
    if (!made.run) return;
    contestant c{std::move(name), {p->operations(), 0, 0}, std::move(made.run)};
    c.error = [p, is_comparable, result = std::move(made.result)] {
        std::span<float const> const found = result();
        bool const finite = std::all_of(found.begin(), found.end(), [](float v) { return std::isfinite(v); });
        return !finite ? 1e9 : is_comparable ? deviation(found) : 0.0;
    };
    c.tolerance = flipped_codes;
    in.push_back(std::move(c));
}

std::vector<contestant> contestants(session const& s, std::shared_ptr<block_problem const> const& p,
                                    std::vector<number_type> const& neighbours) {
    std::vector<contestant> r;
    runner extras;
    for (named_build const& b : s.entered_builds()) {
        prepared_block made = b.build->block(*p);
        if (!extras) extras = std::move(made.extras);
        enter_block(r, b.name, p, std::move(made), p->context == 0);
    }
    for (number_type t : neighbours)
        enter_block(r, std::string(to_string(t)) + " oneDNN", p, onednn_block(t, *p), false);
    if (extras) r.push_back({"S_n, T_d, quantisation", {}, extras});
    return r;
}

contest prefill(session const& s, std::size_t tokens, std::size_t n_sequences) {
    auto const prepare = [s, tokens, n_sequences] {
        // The target is about fp32; bf16 is shown where a call is short.
        std::vector<number_type> neighbours{number_type::fp32};
        if (tokens <= 128) neighbours.push_back(number_type::bf16);
        return contestants(s, with_tokens(*observed().problem, tokens, n_sequences, 0, 0, s.n_threads),
                           neighbours);
    };
    auto const judge = [tokens](contest_result const& r, measures& into) {
        timing const* const ours = r.find("commutant");
        into.add_ratio("block.fp32." + std::to_string(tokens), r.name, r.best("fp32"), ours);
        into.add_ratio("block.bf16", r.name, r.best("bf16"), ours);
        timing const* const extras = r.find("S_n, T_d, quantisation");
        if (ours != nullptr && extras != nullptr && ours->per_call.operations > 0)
            into.add("block.overhead", r.name, extras->median / ours->median);
        judge_dispatch(r, "block", "", into);
    };
    return {"block/tokens:" + std::to_string(tokens) + "/batch:" + std::to_string(n_sequences), prepare,
            judge, true};
}

contest decode(session const& s) {
    constexpr std::size_t context = 1024;
    auto const prepare = [s] {
        auto const p =
            with_tokens(*observed().problem, 1, 1, context, sizes_of_memory().beyond_caches, s.n_threads);
        return contestants(s, p, {number_type::fp32, number_type::bf16});
    };
    auto const judge = [](contest_result const& r, measures& into) {
        timing const* const ours = r.find("commutant");
        into.add_ratio("decode.fp32", r.name, r.best("fp32"), ours);
        into.add_ratio("decode.bf16", r.name, r.best("bf16"), ours);
        judge_dispatch(r, "block", "", into);
    };
    return {"decode/context:" + std::to_string(context), prepare, judge, true};
}

}  // namespace

void add_block(std::vector<contest>& to, session const& s) {
    if (s.n_threads != 1 || (!s.is_reference && s.level != kernels::isa::amx)) return;
    to.push_back(decode(s));
    if (!s.is_reference) return;
    for (std::size_t tokens : {128, 512, 1024, 2048})
        if (!s.quick || tokens <= 512) to.push_back(prefill(s, tokens, 1));
    if (!s.quick) to.push_back(prefill(s, 1024, 16));
}

}  // namespace commutant::bench
