// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <commutant/optimize/tape_losses.hpp>
#include <commutant/optimize/tape_matrix.hpp>
#include <commutant/optimize/tape_slices.hpp>
#include <commutant/optimize/tape_transforms.hpp>
#include <commutant/optimize/tape_words.hpp>

namespace commutant {

namespace detail {

/// Every node that x depends on, inputs before users.
template <class T>
[[nodiscard]] std::vector<typename tape_node<T>::pointer> recorded_order(
    typename tape_node<T>::pointer const& root) {
    using pointer = typename tape_node<T>::pointer;
    struct visit {
        pointer node;
        std::size_t next_input;
    };
    std::vector<pointer> order;
    std::vector<visit> path{{root, 0}};
    bool spent = root->is_spent();
    root->visited = true;
    while (!path.empty()) {
        visit& top = path.back();
        if (top.next_input == top.node->inputs().size()) {
            order.push_back(std::move(top.node));
            path.pop_back();
            continue;
        }
        pointer const& input = top.node->inputs()[top.next_input++];
        if (input == nullptr || input->visited) continue;
        spent = spent || input->is_spent();
        input->visited = true;
        path.push_back({input, 0});
    }
    for (auto const& node : order) node->visited = false;
    if (spent)
        throw std::logic_error(
            "backward: a part of this graph has been walked already, record it again from the parameters on");
    return order;
}

}  // namespace detail

/// Adds the derivatives of a loss by every parameter it depends on to their gradients.
///
/// weight    factor on the loss, such as a share of a batch that is walked window by window
/// Shape     loss: [1, 1]
/// Note      the graph is freed on the way: a second loss on the same intermediate results is added to the first, not
///           walked after it. Additions happen in an order that depends on the graph alone
/// Errors    std::invalid_argument if loss is not 1 x 1; std::logic_error if it depends on no parameter, if a part of
///           its graph has been walked already (nothing is changed then), or if a parameter was changed after it was
///           read (gradients then need clearing)
template <class T> void backward(tape_matrix<T> const& loss, T weight = T(1)) {
    if (loss.rows() != 1 || loss.cols() != 1)
        throw std::invalid_argument("backward: the loss is " + std::to_string(loss.rows()) + " x " +
                                    std::to_string(loss.cols()) + ", expected 1 x 1");
    if (!loss.carries_gradient())
        throw std::logic_error("backward: the loss depends on no parameter, expected at least one");
    auto order = detail::recorded_order<T>(loss.node());
    loss.node()->gradient_to_fill()(0, 0) += weight;
    while (!order.empty()) {
        if (!order.back()->is_parameter()) order.back()->finish();
        order.pop_back();
    }
}

}  // namespace commutant
