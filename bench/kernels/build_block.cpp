// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "harness/block_run.hpp"
#include "kernels/build_parts.hpp"

namespace commutant::bench {
namespace {

using layer = decoder_layer<engine_rows, engine_linear>;

/// What all builds read.
struct packed_block {
    std::vector<layer> layers;
    std::size_t turn = 0;
};

std::shared_ptr<packed_block> packed(block_problem const& p) {
    auto const r = std::make_shared<packed_block>();
    std::size_t bytes = 0;
    do {
        layer& l = r->layers.emplace_back();
        auto const linears = linears_of(l);
        for (std::size_t i = 0; i < linears.size(); ++i) {
            gemm_weights const& w = *p.linears[i];
            linears[i]->weight.codes = kernels::int4_weights(w.codes, w.n, w.k, w.scales);
            linears[i]->weight.is_int4 = true;
            bytes += linears[i]->weight.bytes();
        }
    } while (bytes < p.rotated_bytes);
    return r;
}

/// Codes on static grids of 4 bits: inputs of all linears, keys and values.
struct static_tap {
    std::array<grid, n_locations> grids;

    [[nodiscard]] engine_rows operator()(location where, std::size_t, engine_rows x) const {
        grid const& g = grids[static_cast<std::size_t>(where)];
        switch (where) {
            case location::attention_input:
            case location::attention_output:
            case location::ffn_input:
            case location::down_input:
                return x.quantized(g);
            case location::key:
            case location::value:
                x.cache_as({4, false, false, g});
                return x;
            default:
                return x;
        }
    }
};

struct state {
    std::shared_ptr<packed_block> weights;
    kernels::openmp_runner runner{1};
    engine_online_parts online;
    std::unique_ptr<block_run<engine_linear, static_tap>> run;
};

/// What the block does besides what a floating-point block does; the addition to the residual stream is counted too.
runner extras_of(block_problem const& p, std::shared_ptr<state> const& s) {
    auto const filled = [&](std::size_t cols) {
        engine_rows r(p.tokens, cols);
        for (std::size_t i = 0; i < r.size(); ++i) r.data()[i] = p.x[i % p.x.size()];
        return r;
    };
    engine_rows const x = filled(p.config.model_dim), inner = filled(p.config.ffn_dim);
    engine_rows const scale = filled(1);
    static_tap const tap{p.grids};
    return [s, tap, x, inner, scale, stream = filled(p.config.model_dim), factors = filled(1)]() mutable {
        std::fill_n(factors.data(), factors.size(), 1.0F);
        static_cast<void>(tap(location::attention_input, 0, x));
        static_cast<void>(tap(location::attention_output, 0, scale_rows(x, scale)));
        add_and_rescale(stream, factors, x, 1e-5F, eps_rule::exact);
        static_cast<void>(tap(location::ffn_input, 0, x));
        static_cast<void>(
            tap(location::down_input, 0, scale_rows(apply(*s->online.down_input, inner), scale)));
        add_and_rescale(stream, factors, x, 1e-5F, eps_rule::exact);
    };
}

}  // namespace

prepared_block build_block(block_problem const& p) {
    if (p.packed == nullptr) p.packed = packed(p);
    auto const s = std::make_shared<state>();
    s->weights = std::static_pointer_cast<packed_block>(p.packed);
    s->runner = kernels::openmp_runner(static_cast<std::size_t>(p.n_threads));
    s->online = both_online_parts(p.config);
    kernels::executor const threads = p.n_threads == 1 ? kernels::executor() : kernels::executor(s->runner);
    s->run = std::make_unique<block_run<engine_linear, static_tap>>(p, s->weights->layers, s->weights->turn,
                                                                    s->online, static_tap{p.grids}, threads);
    return {[s] { (*s->run)(); }, [s] { return s->run->result(); }, extras_of(p, s)};
}

}  // namespace commutant::bench
