// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>

/// Whether F() can be worked out while compiling. False where it throws: how refusals are shown inside
/// static_assert.
///
/// Model     [] { return 1 / 2; }.  Non-model  [] { return 1 / 0; }
template <auto F> concept constant = requires {
    // In a function of its own, so that what F returns is destroyed before the expression ends.
    typename std::bool_constant<[] {
        static_cast<void>(F());
        return true;
    }()>;
};

static_assert(constant<[] { return 1; }>);
static_assert(!constant<[]() -> int { throw 1; }>);
