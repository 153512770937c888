// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

#include "commutant/quant/granularity.hpp"

#include <catch2/catch.hpp>
#include <stdexcept>

namespace cm = commutant;

TEST_CASE("granularity: names and slices", "[quant]") {
    using cm::granularity;
    for (const granularity g :
         {granularity::per_tensor, granularity::per_channel, granularity::per_token, granularity::per_group})
        CHECK(cm::parse_granularity(cm::to_string(g)) == g);
    CHECK(cm::to_string(granularity::per_group) == "per_group");
    CHECK_THROWS_AS(cm::parse_granularity("per_row"), std::invalid_argument);
    CHECK(cm::slice_size(granularity::per_tensor, 3, 8) == 24);
    CHECK(cm::slice_size(granularity::per_channel, 3, 8) == 8);
    CHECK(cm::slice_size(granularity::per_token, 3, 8) == 8);
    CHECK(cm::slice_size(granularity::per_group, 3, 8, 4) == 4);
    CHECK_THROWS_WITH(
        cm::slice_size(granularity::per_group, 3, 8, 3),
        Catch::Matchers::Contains("group_size is 3, expected a positive divisor of the 8 columns"));
    CHECK_THROWS_AS(cm::slice_size(granularity::per_group, 3, 8, 0), std::invalid_argument);
}
