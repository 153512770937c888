// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <queue>
#include <stdexcept>
#include <utility>
#include <vector>

namespace commutant::detail {

/// What joining two neighbouring tokens gives; of all pairs in a text the lowest `priority` is joined first.
template <class Priority> struct merge_rule {
    Priority priority;
    std::int32_t id;
};

/// A pair waiting to be joined; of two alike the left one goes first.
template <class Priority> struct waiting_pair {
    Priority priority;
    std::uint32_t position;
    std::int32_t left;
    std::int32_t right;
    std::int32_t id;
    [[nodiscard]] bool operator>(waiting_pair const& other) const {
        return priority != other.priority ? priority > other.priority : position > other.position;
    }
};

/// Joins the best pair of neighbours until none is left, exactly as scanning the whole text for it every
/// time would.
///
/// `find(left, right)` points to the merge_rule<Priority> of a pair, or nowhere.
/// Cost      n log n in the number of tokens
template <class Priority, class Find> void merge_pairs(std::vector<std::int32_t>& tokens, Find const& find) {
    if (tokens.size() < 2) return;
    // 32-bit links keep the queue of a long text small.
    if (tokens.size() > UINT32_MAX)
        throw std::length_error("merge_pairs: the text has more than 2^32 tokens");
    auto const end = static_cast<std::uint32_t>(tokens.size());
    std::vector<std::uint32_t> next(end), previous(end);
    std::vector<waiting_pair<Priority>> initial;
    auto const waiting = [&](std::uint32_t at) {
        auto const* const rule = find(tokens[at], tokens[next[at]]);
        return rule == nullptr
                   ? waiting_pair<Priority>{{}, end, 0, 0, 0}
                   : waiting_pair<Priority>{rule->priority, at, tokens[at], tokens[next[at]], rule->id};
    };
    for (std::uint32_t i = 0; i < end; ++i) {
        next[i] = i + 1;
        previous[i] = i - 1;  // of the first, never used
    }
    for (std::uint32_t i = 0; i + 1 < end; ++i)
        if (auto const pair = waiting(i); pair.position != end) initial.push_back(pair);
    std::priority_queue queue(std::greater<>{}, std::move(initial));
    while (!queue.empty()) {
        auto const best = queue.top();
        queue.pop();
        std::uint32_t const at = best.position;
        // Tokens that were joined into their left neighbour are marked -1; a pair whose ends have changed
        // is stale.
        if (tokens[at] != best.left || next[at] == end || tokens[next[at]] != best.right) continue;
        std::uint32_t const gone = next[at];
        tokens[at] = best.id;
        tokens[gone] = -1;
        next[at] = next[gone];
        if (next[at] != end) {
            previous[next[at]] = at;
            if (auto const pair = waiting(at); pair.position != end) queue.push(pair);
        }
        if (at != 0)
            if (auto const pair = waiting(previous[at]); pair.position != end) queue.push(pair);
    }
    std::erase(tokens, -1);
}

}  // namespace commutant::detail
