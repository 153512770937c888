// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "harness/block.hpp"

#include <algorithm>
#include <utility>

namespace commutant::bench {

model_config llama_3_8b_block() {
    model_config c;
    c.n_layers = 1;
    c.model_dim = 4096;
    c.ffn_dim = 14336;
    c.n_heads = 32;
    c.n_kv_heads = 8;
    c.head_dim = 128;
    c.rotary_dim = 128;
    c.rope_theta = 500000;
    c.max_positions = 4096;
    return c;
}

double block_problem::operations() const {
    double weights = 0;
    for (auto const& w : linears) weights += static_cast<double>(w->n * w->k);
    return 2 * weights * static_cast<double>(tokens * n_sequences);
}

std::shared_ptr<block_problem> make_block_problem() {
    auto p = std::make_shared<block_problem>();
    p->config = llama_3_8b_block();
    std::size_t const model = p->config.model_dim, ffn = p->config.ffn_dim,
                      kv = p->config.n_kv_heads * p->config.head_dim;
    std::pair<std::size_t, std::size_t> const shapes[] = {
        {model, model}, {kv, model}, {kv, model}, {model, model}, {ffn, model}, {ffn, model}, {model, ffn}};
    // Products of the size of their inputs.
    for (std::size_t i = 0; i < p->linears.size(); ++i)
        p->linears[i] = make_gemm_weights({1, shapes[i].first, shapes[i].second}, 0, 0, 0.0035F);
    return p;
}

std::shared_ptr<block_problem> with_tokens(block_problem const& from, std::size_t tokens,
                                           std::size_t n_sequences, std::size_t context,
                                           std::size_t rotated_bytes, int n_threads) {
    auto p = std::make_shared<block_problem>();
    p->config = from.config, p->linears = from.linears, p->grids = from.grids;
    p->tokens = tokens, p->n_sequences = n_sequences, p->context = context;
    p->rotated_bytes = rotated_bytes, p->n_threads = n_threads;
    p->x = buffer<float>(tokens * p->config.model_dim);
    std::uint32_t state = 7;
    for (float& x : p->x) {
        state = state * 1664525U + 1013904223U;
        x = static_cast<float>(static_cast<std::int32_t>(state)) * 0x1p-30F;
    }
    return p;
}

}  // namespace commutant::bench
