// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/isa.hpp>

#include <algorithm>
#include <catch2/catch.hpp>
#include <initializer_list>
#include <string_view>

namespace commutant_test {

/// The instruction set that this build's calls go to, in the words of the preset; empty: the processor's best.
#if defined(COMMUTANT_EXPECTED_ISA)
inline constexpr std::string_view expected_isa = COMMUTANT_EXPECTED_ISA;
#else
inline constexpr std::string_view expected_isa;
#endif

[[nodiscard]] inline bool may_be_chosen(commutant::kernels::isa level) {
    using commutant::kernels::isa;
    if (expected_isa.empty())
        return level <= commutant::kernels::max_isa() && commutant::kernels::is_supported(level);
    if (level == isa::scalar || to_string(level) == expected_isa) return true;
    if (level == isa::xsimd) return expected_isa != "scalar";
    return level == isa::neon && expected_isa == "neon_dotprod";
}

/// The level of the first body that such a build may choose, found without the library's own choice.
template <auto const& Bodies> [[nodiscard]] commutant::kernels::isa expected_level() {
    for (auto const& body : Bodies)
        if (may_be_chosen(body.level)) return body.level;
    return Bodies.back().level;
}

/// Calls go to the body that this build is meant to test.
/// has    instruction sets that the list has a body of its own for, wherever a preset names them
template <auto const& Bodies> void check_chosen_body(std::initializer_list<std::string_view> has) {
    std::string_view const level = to_string(commutant::kernels::dispatched<Bodies>::chosen().level);
    CHECK(level == to_string(expected_level<Bodies>()));
    if (std::find(has.begin(), has.end(), expected_isa) != has.end()) CHECK(level == expected_isa);
}

}  // namespace commutant_test
