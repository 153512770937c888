// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <cstddef>

#include "single_plans.hpp"

namespace cm = commutant;

// Two blocks of 4 features, so that their order could be confused.
struct wide_mlp {
    static constexpr cm::model_config geometry = [] {
        cm::model_config c = cm::families::llama::geometry;
        c.ffn_dim = 8;
        return c;
    }();
};

template <class Family> consteval bool preserves_function_with_blocks_of(std::size_t width) {
    using plan = single::down_input<cm::block_hadamard>;
    return cm::is_unchanged_by<Family>([width](auto& model, auto& source) {
        auto const transforms =
            cm::random_transforms<plan, cm::field_matrix>(Family::geometry, source, width);
        if (transforms.down_input.block() != (width == 0 ? Family::geometry.ffn_dim : width))
            throw "the block is not as wide as asked for";
        cm::fold_plan(transforms, model);
    });
}

static_assert(preserves_function_with_blocks_of<wide_mlp>(1));
static_assert(preserves_function_with_blocks_of<wide_mlp>(2));
static_assert(preserves_function_with_blocks_of<wide_mlp>(4));
static_assert(preserves_function_with_blocks_of<wide_mlp>(8));
static_assert(preserves_function_with_blocks_of<wide_mlp>(0));
