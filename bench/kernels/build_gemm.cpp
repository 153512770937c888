// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <utility>

#include <commutant/kernels/executor.hpp>
#include <commutant/kernels/int4_gemm.hpp>
#include <commutant/kernels/int4_pack.hpp>
#include <commutant/kernels/int4_weights.hpp>

#include "kernels/build_parts.hpp"

namespace commutant::bench {
namespace {

/// A copy of weights at another place, on the pages that the weights themselves have.
struct weight_copy {
    buffer<std::byte> memory;
    kernels::int4_weights_view view;

    weight_copy(kernels::int4_weights const& from) : memory(from.bytes()), view(from.view()) {
        auto const* const start = reinterpret_cast<std::byte const*>(view.lines);
        std::memcpy(memory.data(), start, from.bytes());
        auto const moved = [&](auto const*& p) {
            p = reinterpret_cast<std::remove_reference_t<decltype(p)>>(
                memory.data() + (reinterpret_cast<std::byte const*>(p) - start));
        };
        moved(view.lines), moved(view.scales), moved(view.column_sums), moved(view.scaled_column_sums);
    }
};

struct state {
    kernels::int4_weights weights;
    std::vector<weight_copy> copies;
    buffer<std::uint8_t> packed;
    buffer<std::byte> workspace;
    kernels::openmp_runner runner{1};
    std::size_t turn = 0;
};

}  // namespace

prepared_gemm build_gemm(gemm_problem const& p) {
    auto const s = std::make_shared<state>();
    s->weights = kernels::int4_weights(p.weights, p.n, p.k, p.weight_scales, p.group_size);
    for (std::size_t copy = 1; copy < p.copies(s->weights.bytes()); ++copy)
        s->copies.emplace_back(s->weights);

    auto const n_threads = static_cast<std::size_t>(p.n_threads);
    s->runner = kernels::openmp_runner(n_threads);
    s->workspace = buffer<std::byte>(kernels::int4_gemm_workspace_bytes(p.m, s->weights, n_threads));

    kernels::int4_activations x;
    x.n_rows = p.m;
    x.num_bits = p.activation_bits;
    x.scales = {&p.activation_scale, 1};
    x.zero_points = {&p.zero_point, 1};
    x.codes = p.activations;
    if (p.activation_bits == 4 && p.k % 2 == 0) {
        s->packed = buffer<std::uint8_t>(p.m * p.k / 2);
        kernels::pack_int4(std::span<std::int8_t const>(x.codes), s->packed);
        x.packed = s->packed;
        x.codes = {};
    }

    prepared_gemm r;
    r.out = std::make_shared<buffer<float>>(p.m * p.n);
    r.weight_bytes = s->weights.bytes();
    r.run = [s, x, out = r.out, n_threads] {
        std::size_t const copy = s->turn++ % (s->copies.size() + 1);
        kernels::int4_weights_view const w = copy == 0 ? s->weights.view() : s->copies[copy - 1].view;
        kernels::executor const run = n_threads == 1 ? kernels::executor() : kernels::executor(s->runner);
        kernels::int4_gemm(x, w, {}, *out, 0, s->workspace, run);
    };
    return r;
}

}  // namespace commutant::bench
