// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>

/// Whether f() can be worked out while compiling. False where it throws: how refusals are shown inside static_assert.
///
/// Model     [] { return 1 / 2; }.  Non-model  [] { return 1 / 0; }
template <auto F> concept constant = requires {
    typename std::bool_constant<(static_cast<void>(F()), true)>;
};

static_assert(constant<[] { return 1; }>);
static_assert(!constant<[]() -> int { throw 1; }>);
