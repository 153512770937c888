// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// Which orders are reached, and by which core.

#include <commutant/transforms/hadamard_order.hpp>

#include <cstddef>
#include <type_traits>

namespace {

using commutant::find_hadamard_order;
using commutant::find_hadamard_recipe;
using commutant::hadamard_construction;
using commutant::hadamard_core_order;
using commutant::hadamard_order;
using commutant::hadamard_recipe;
using commutant::largest_power_of_two_divisor;
using commutant::require_hadamard_order;

static_assert(find_hadamard_recipe(344) == hadamard_recipe{hadamard_construction::paley_one, 343});
static_assert(find_hadamard_recipe(28) == hadamard_recipe{hadamard_construction::paley_one, 27});
static_assert(find_hadamard_recipe(108) == hadamard_recipe{hadamard_construction::paley_one, 107});
static_assert(find_hadamard_recipe(148) == hadamard_recipe{hadamard_construction::paley_two, 73});
static_assert(find_hadamard_recipe(924) == hadamard_recipe{hadamard_construction::paley_two, 461});
static_assert(find_hadamard_recipe(100) == hadamard_recipe{hadamard_construction::paley_two, 49});
static_assert(find_hadamard_recipe(64) == hadamard_recipe{hadamard_construction::sylvester, 0});
static_assert(!find_hadamard_recipe(65537 * 4));

static_assert(hadamard_core_order<1> && hadamard_core_order<2> && hadamard_core_order<12>);
static_assert(!hadamard_core_order<0>);
static_assert(
    !hadamard_core_order<6>);  // q = 5 = 1 mod 4 gives no Paley I, and no Hadamard matrix has order 6
static_assert(!hadamard_core_order<40>);   // 20 * 2, but no core: 39 is no prime power and 19 = 3 mod 4
static_assert(!hadamard_core_order<172>);  // 171 = 9 * 19, 85 = 5 * 17

// Widths of feed-forward and residual layers of published models.
static_assert(find_hadamard_order(11008) == hadamard_order{344, 32});
static_assert(find_hadamard_order(1376) == hadamard_order{344, 4});
static_assert(find_hadamard_order(14336) == hadamard_order{28, 512});
static_assert(find_hadamard_order(28672) == hadamard_order{28, 1024});
static_assert(find_hadamard_order(13824) == hadamard_order{108, 128});
static_assert(find_hadamard_order(27648) == hadamard_order{108, 256});
static_assert(find_hadamard_order(18944) == hadamard_order{148, 128});
static_assert(find_hadamard_order(29568) == hadamard_order{924, 32});
static_assert(find_hadamard_order(25600) == hadamard_order{100, 256});
static_assert(find_hadamard_order(12800) == hadamard_order{100, 128});
static_assert(find_hadamard_order(17920) == hadamard_order{140, 128});
static_assert(find_hadamard_order(8960) == hadamard_order{140, 64});
static_assert(find_hadamard_order(17408) == hadamard_order{68, 256});
static_assert(find_hadamard_order(9728) == hadamard_order{76, 128});
static_assert(find_hadamard_order(4864) == hadamard_order{76, 64});
static_assert(find_hadamard_order(5632) == hadamard_order{44, 128});
static_assert(find_hadamard_order(5376) == hadamard_order{84, 64});
static_assert(find_hadamard_order(21504) == hadamard_order{84, 256});
static_assert(find_hadamard_order(3840) == hadamard_order{60, 64});
static_assert(find_hadamard_order(15360) == hadamard_order{60, 256});
static_assert(find_hadamard_order(2304) == hadamard_order{36, 64});
static_assert(find_hadamard_order(1152) == hadamard_order{36, 32});
static_assert(find_hadamard_order(576) == hadamard_order{36, 16});
static_assert(find_hadamard_order(288) == hadamard_order{36, 8});
static_assert(find_hadamard_order(5120) == hadamard_order{20, 256});
static_assert(find_hadamard_order(2560) == hadamard_order{20, 128});
static_assert(find_hadamard_order(10240) == hadamard_order{20, 512});
static_assert(find_hadamard_order(3072) == hadamard_order{12, 256});
static_assert(find_hadamard_order(1536) == hadamard_order{12, 128});
static_assert(find_hadamard_order(6144) == hadamard_order{12, 512});
static_assert(find_hadamard_order(12288) == hadamard_order{12, 1024});
static_assert(find_hadamard_order(768) == hadamard_order{12, 64});
static_assert(find_hadamard_order(4096) == hadamard_order{1, 4096});
static_assert(find_hadamard_order(1) == hadamard_order{1, 1});

static_assert(!find_hadamard_order(0));
static_assert(!find_hadamard_order(3));
static_assert(!find_hadamard_order(6));
static_assert(!find_hadamard_order(172));
static_assert(!find_hadamard_order(13696));
static_assert(!find_hadamard_order(13696, 13696));  // none at all, however large a core one would accept
static_assert(largest_power_of_two_divisor(13696) == 128);
static_assert(largest_power_of_two_divisor(0) == 0);
static_assert(largest_power_of_two_divisor(7) == 1);
static_assert(require_hadamard_order(11008).size() == 11008);

// 92 = 23 * 4 has no Paley core; 368 = 367 + 1 has. A core above the limit is found only on request.
static_assert(find_hadamard_order(368) == hadamard_order{368, 1});
static_assert(!find_hadamard_order(92));
static_assert(!find_hadamard_order(29568, 923));
static_assert(!find_hadamard_order(1040));
static_assert(find_hadamard_order(1040, 2048) == hadamard_order{1040, 1});  // q = 1039

template <std::size_t N> concept has_order = requires {
    typename std::integral_constant<std::size_t, require_hadamard_order(N).core>;
};
static_assert(has_order<29568>);
static_assert(!has_order<13696>);
static_assert(!has_order<0>);

}  // namespace
