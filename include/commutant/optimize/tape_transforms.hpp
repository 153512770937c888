// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include <commutant/optimize/tape_matrix.hpp>
#include <commutant/transforms/block_hadamard.hpp>

namespace commutant {

/// x H, by butterflies both ways.  x: g H^T
///
/// Shape     x: [rows, t.dim()]
template <class T> [[nodiscard]] tape_matrix<T> apply(block_hadamard_map const& t, tape_matrix<T> x) {
    tape_matrix<T> const node_of_x = tape_matrix<T>().with_node(x.node());
    return recorded(tape_matrix<T>(apply(t, std::move(x).take_values())), {&node_of_x},
                    [back = transpose(t)](auto& g, tape_inputs<T> const& in) {
                        in[0]->add(std::move(apply(back, eigen_matrix<T>(std::move(g))).values));
                    });
}

}  // namespace commutant
