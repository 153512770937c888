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

/// What all builds read.
struct packed_weights {
    kernels::int4_weights weights;
    std::vector<weight_copy> copies;  ///< beyond the first
    mutable std::size_t turn = 0;

    explicit packed_weights(gemm_weights const& w) : weights(w.codes, w.n, w.k, w.scales, w.group_size) {
        for (std::size_t copy = 1; copy < w.copies(weights.bytes()); ++copy) copies.emplace_back(weights);
    }
    /// Whoever asks takes the copy that was read longest ago.
    [[nodiscard]] kernels::int4_weights_view next() const {
        std::size_t const copy = turn++ % (copies.size() + 1);
        return copy == 0 ? weights.view() : copies[copy - 1].view;
    }
};

struct state {
    std::shared_ptr<packed_weights const> weights;
    buffer<std::uint8_t> packed;
    buffer<std::byte> workspace;
    kernels::openmp_runner runner{1};
};

}  // namespace

prepared_gemm build_gemm(gemm_problem const& p) {
    if (p.weights->packed == nullptr) p.weights->packed = std::make_shared<packed_weights>(*p.weights);
    auto const s = std::make_shared<state>();
    s->weights = std::static_pointer_cast<packed_weights const>(p.weights->packed);

    auto const n_threads = static_cast<std::size_t>(p.n_threads);
    s->runner = kernels::openmp_runner(n_threads);
    s->workspace = buffer<std::byte>(kernels::int4_gemm_workspace_bytes(p.m, s->weights->weights, n_threads));

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
    r.weight_bytes = s->weights->weights.bytes();
    r.next_weights = [w = s->weights] { return reinterpret_cast<std::byte const*>(w->next().lines); };
    r.run = [s, x, out = r.out, n_threads] {
        kernels::int4_weights_view const w = s->weights->next();
        kernels::executor const run = n_threads == 1 ? kernels::executor() : kernels::executor(s->runner);
        kernels::int4_gemm(x, w, {}, *out, 0, s->workspace, run);
    };
    return r;
}

}  // namespace commutant::bench
