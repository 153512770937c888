// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <commutant/io/detail/merge_pairs.hpp>

#include <map>
#include <random>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

using namespace commutant::detail;

namespace {

using rules_t = std::map<std::pair<std::int32_t, std::int32_t>, merge_rule<float>>;

/// The definition: look through the whole text for the best pair, leftmost first, join it, begin again.
std::vector<std::int32_t> merge_by_scanning(std::vector<std::int32_t> tokens, rules_t const& rules) {
    while (true) {
        merge_rule<float> const* best = nullptr;
        std::size_t place = 0;
        for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
            auto const found = rules.find({tokens[i], tokens[i + 1]});
            if (found == rules.end() || (best != nullptr && found->second.priority >= best->priority))
                continue;
            best = &found->second;
            place = i;
        }
        if (best == nullptr) return tokens;
        tokens[place] = best->id;
        tokens.erase(tokens.begin() + static_cast<std::ptrdiff_t>(place) + 1);
    }
}

}  // namespace

TEST_CASE("merge_pairs: the queue joins what scanning the whole text would", "[io][property]") {
    constexpr unsigned seed = 20;
    INFO("seed " << seed);
    std::mt19937 random(seed);
    std::size_t merged = 0;
    for (int round = 0; round < 3000; ++round) {
        // Few tokens and few priorities, so that ties, chains and runs of one token are the rule.
        std::int32_t const n_tokens = 2 + static_cast<std::int32_t>(random() % 6);
        rules_t rules;
        auto const any = [&] {
            return static_cast<std::int32_t>(random() % static_cast<unsigned>(n_tokens));
        };
        for (unsigned i = 0; i < 1 + random() % 12; ++i)
            rules[{any(), any()}] = {static_cast<float>(random() % 4) - 2.0f, any()};
        std::vector<std::int32_t> tokens(random() % 40);
        for (auto& token : tokens) token = any();
        auto fast = tokens;
        merge_pairs<float>(fast, [&](std::int32_t left, std::int32_t right) {
            auto const found = rules.find({left, right});
            return found == rules.end() ? nullptr : &found->second;
        });
        merged += tokens.size() - fast.size();
        if (fast != merge_by_scanning(tokens, rules)) FAIL("round " << round);
    }
    CHECK(merged > 10000);
}
