// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <commutant/model/sampler.hpp>

#include <catch2/catch.hpp>

#include <cmath>
#include <limits>
#include <map>
#include <vector>

namespace cm = commutant;

namespace {

std::map<int, int> counts(cm::sampling_options const& options, std::vector<float> const& logits, int n) {
    cm::sampler choose(options);
    std::map<int, int> r;
    for (int i = 0; i < n; ++i) ++r[choose(logits)];
    return r;
}

}  // namespace

TEST_CASE("temperature 0 takes the largest logit, the first of equals", "[sampler]") {
    CHECK(counts({}, {0.5F, 2, -1, 2}, 5) == std::map<int, int>{{1, 5}});
    CHECK(counts({}, {-std::numeric_limits<float>::infinity(), -3}, 3) == std::map<int, int>{{1, 3}});
}

TEST_CASE("tokens come as often as the softmax says", "[sampler]") {
    std::vector<float> const logits{0, std::log(2.0F), std::log(5.0F)};
    auto found = counts({.temperature = 1, .seed = 4}, logits, 8000);
    CHECK(std::abs(found[0] - 1000) < 120);
    CHECK(std::abs(found[1] - 2000) < 160);
    CHECK(std::abs(found[2] - 5000) < 200);
    // At half the temperature probabilities are squared: 1 : 4 : 25.
    found = counts({.temperature = 0.5, .seed = 4}, logits, 8000);
    CHECK(std::abs(found[2] - 8000 * 25 / 30) < 200);
}

TEST_CASE("top_k leaves out the rest", "[sampler]") {
    std::vector<float> const logits{1, 3, 2, 0};
    auto const found = counts({.temperature = 10, .top_k = 2}, logits, 400);
    CHECK(found.size() == 2);
    CHECK(found.contains(1));
    CHECK(found.contains(2));
    CHECK(counts({.temperature = 10, .top_k = 9}, logits, 400).size() == 4);
}

TEST_CASE("the seed decides", "[sampler]") {
    std::vector<float> const logits(50, 0.0F);
    auto const drawn = [&](std::uint64_t seed) {
        cm::sampler choose({.temperature = 1, .seed = seed});
        std::vector<int> r;
        for (int i = 0; i < 20; ++i) r.push_back(choose(logits));
        return r;
    };
    CHECK(drawn(1) == drawn(1));
    CHECK(drawn(1) != drawn(2));
}

TEST_CASE("a temperature that is no temperature is refused", "[sampler]") {
    CHECK_THROWS_WITH(cm::sampler({.temperature = -1}), Catch::Contains("temperature is -1"));
    CHECK_THROWS_AS(cm::sampler({.temperature = std::nan("")}), std::invalid_argument);
    CHECK_THROWS_AS(cm::sampler({.temperature = std::numeric_limits<double>::infinity()}),
                    std::invalid_argument);
}
