// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <commutant/recipes/recipe_outcome.hpp>
#include <commutant/sites/sites.hpp>
#include <commutant/transforms/block_hadamard.hpp>
#include <commutant/transforms/hadamard_apply.hpp>
#include <commutant/transforms/orthogonal.hpp>

namespace commutant {

/// Randomised Hadamard matrices on the residual stream and on each head's values, both merged; a block Hadamard in front of
/// down_proj, online. Nothing is learned.
using hadamard_plan = plan<at<sites::residual_stream, orthogonal>, at<sites::value_output, orthogonal>,
                           at<sites::down_input, block_hadamard>>;

/// A Hadamard matrix whose rows have random signs, normalised: orthogonal, and every entry has the same size.
///
/// Equation  y = x diag(signs) H / sqrt(order), on every block of `order` features
/// Shape     result: [order * n_blocks] squared
template <class M>
[[nodiscard]] orthogonal_map<M> randomised_hadamard(hadamard_order order, std::size_t n_blocks,
                                                    random_source& random) {
    using scalar = typename M::scalar;
    dynamic_sign_rows const core = hadamard_rows(order.core);
    parameter_source<scalar> source(random);
    std::size_t const n = order.size();
    scalar const size = static_cast<scalar>(1 / std::sqrt(static_cast<double>(n)));
    M q(n * n_blocks, n * n_blocks);
    for (std::size_t b = 0; b < n_blocks; ++b) {
        for (std::size_t i = 0; i < n; ++i) {
            scalar const entry = source.sign() * size;
            for (std::size_t j = 0; j < n; ++j)
                q(b * n + i, b * n + j) = hadamard_entry_is_minus(core.view(), order, i, j) ? -entry : entry;
        }
    }
    return {std::move(q)};
}

namespace detail {
/// How dim features are covered: by one Hadamard matrix if its order is known, else by blocks of a power of two, with a
/// note.
struct hadamard_cover {
    hadamard_order order{};
    std::size_t n_blocks = 1;
    std::string note{};
};
[[nodiscard]] inline hadamard_cover cover_with_hadamard(std::size_t dim, std::string const& what) {
    if (auto const whole = find_hadamard_order(dim)) return {*whole, 1, {}};
    std::size_t const block = largest_power_of_two_divisor(dim);
    return {{1, block},
            dim / block,
            what + " " + std::to_string(dim) + " has no known Hadamard matrix: " +
                std::to_string(dim / block) + " blocks of " + std::to_string(block)};
}
}  // namespace detail

/// The transforms of hadamard_plan for a model.
///
/// down_block: width of the blocks in front of down_proj; 0: the largest power of two that divides ffn_dim
/// Errors    std::domain_error if down_block does not divide ffn_dim or has no Hadamard matrix
template <class M>
[[nodiscard]] recipe_outcome<hadamard_plan, M> prepare_hadamard(model_config const& c, random_source& random,
                                                                std::size_t down_block = 0) {
    recipe_outcome<hadamard_plan, M> r;
    auto const cover = [&](std::size_t dim, char const* what) {
        auto found = detail::cover_with_hadamard(dim, what);
        if (!found.note.empty()) r.notes.push_back(found.note);
        return found;
    };
    auto const residual = cover(c.model_dim, "model_dim");
    auto const head = cover(c.head_dim, "head_dim");
    r.transforms.residual_stream = randomised_hadamard<M>(residual.order, residual.n_blocks, random);
    for (std::size_t i = 0; i < c.n_layers; ++i) {
        layer_transforms<hadamard_plan, M> l;
        for (std::size_t g = 0; g < c.n_kv_heads; ++g)
            l.value_output.push_back(randomised_hadamard<M>(head.order, head.n_blocks, random));
        r.transforms.layers.push_back(std::move(l));
    }
    r.transforms.down_input = block_hadamard_map(c.ffn_dim, down_block);
    if (std::size_t const block = r.transforms.down_input.block(); block < 16)
        r.notes.push_back("ffn_dim " + std::to_string(c.ffn_dim) + " is divided by no power of two above " +
                          std::to_string(block) + ": blocks of " + std::to_string(block) +
                          " in front of down_proj spread outliers little");
    return r;
}

}  // namespace commutant
