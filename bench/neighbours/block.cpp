// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <utility>

#include <commutant/quant/fake_quantize.hpp>

#include "harness/block_run.hpp"
#include "neighbours/neighbours.hpp"

namespace commutant::bench {
namespace {

/// y = x W^T by a neighbour.
struct neighbour_linear {
    std::size_t out_features = 0;
    std::function<void(float const*, float*)> apply;
    std::size_t bytes = 0;
    engine_rows bias{};
};

[[nodiscard]] engine_rows forward(neighbour_linear const& l, engine_rows const& x, engine_rows const&) {
    engine_rows y = commutant::detail::like(x, x.rows(), l.out_features);
    l.apply(x.data(), y.data());
    return y;
}
[[nodiscard]] engine_rows forward(neighbour_linear const& l, engine_rows const& x) {
    return forward(l, x, l.bias);
}

using layer = decoder_layer<engine_rows, neighbour_linear>;

/// Floats, worked out once where several linears read them; keys and values stay floats in the cache.
struct float_tap {
    std::array<double, n_locations>* mean_squares = nullptr;    ///< written down where asked for
    std::array<grid, n_locations> const* rounded_to = nullptr;  ///< fake quantisation where asked for

    [[nodiscard]] engine_rows operator()(location where, std::size_t, engine_rows x) const {
        switch (where) {
            case location::attention_input:
            case location::attention_output:
            case location::ffn_input:
            case location::down_input:
            case location::key:
            case location::value:
                x = std::move(x).evaluated();
                if (rounded_to != nullptr)
                    fake_quantize_in_place(std::span<float>(x.data(), x.size()),
                                           (*rounded_to)[static_cast<std::size_t>(where)]);
                break;
            default:
                return x;
        }
        if (mean_squares != nullptr) {
            double sum = 0;
            for (std::size_t i = 0; i < x.size(); ++i)
                sum += static_cast<double>(x.data()[i]) * static_cast<double>(x.data()[i]);
            (*mean_squares)[static_cast<std::size_t>(where)] = sum / static_cast<double>(x.size());
        }
        return x;
    }
};

struct state {
    std::vector<layer> layers;
    std::size_t turn = 0;
    kernels::openmp_runner runner{1};
    engine_online_parts online;
    std::unique_ptr<block_run<neighbour_linear, float_tap>> run;
};

/// Null when the library cannot compute a product of that type here.
std::shared_ptr<state> made(number_type type, block_problem const& p, bool with_online_parts, float_tap tap) {
    auto const s = std::make_shared<state>();
    std::size_t bytes = 0;
    do {
        layer& l = s->layers.emplace_back();
        auto const linears = linears_of(l);
        for (std::size_t i = 0; i < linears.size(); ++i) {
            prepared_gemm const g =
                onednn_gemm(type, *make_gemm_problem(p.linears[i], p.tokens, 8, p.n_threads));
            if (!g.apply) return nullptr;
            linears[i]->out_features = p.linears[i]->n;
            linears[i]->apply = g.apply;
            bytes += g.weight_bytes;
        }
    } while (bytes < p.rotated_bytes);
    s->runner = kernels::openmp_runner(static_cast<std::size_t>(p.n_threads));
    if (with_online_parts) s->online = both_online_parts(p.config);
    kernels::executor const threads = p.n_threads == 1 ? kernels::executor() : kernels::executor(s->runner);
    s->run = std::make_unique<block_run<neighbour_linear, float_tap>>(p, s->layers, s->turn, s->online, tap,
                                                                      threads);
    return s;
}

}  // namespace

prepared_block onednn_block(number_type type, block_problem const& p) {
    std::shared_ptr<state> const s = made(type, p, false, {});
    if (s == nullptr) return {};
    return {[s] { (*s->run)(); }, [s] { return s->run->result(); }};
}

bool observe_block(block_problem& p, std::vector<float>& reference) {
    std::array<double, n_locations> mean_squares{};
    std::shared_ptr<state> s = made(number_type::fp32, p, true, {&mean_squares});
    if (s == nullptr) return false;
    (*s->run)();
    // 4 bits serve normal values best when they reach to two and a half deviations.
    for (std::size_t i = 0; i < n_locations; ++i)
        p.grids[i] = {static_cast<float>(2.5 / 7.5 * std::sqrt(mean_squares[i]) + 1e-6), 0, 4, true};
    s = made(number_type::fp32, p, true, {nullptr, &p.grids});
    (*s->run)();
    auto const result = s->run->result();
    reference.assign(result.begin(), result.end());
    return true;
}

}  // namespace commutant::bench
