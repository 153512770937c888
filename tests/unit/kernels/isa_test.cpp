// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

#include <commutant/kernels/isa.hpp>

#include <array>
#include <catch2/catch.hpp>

#include "support/expected_body.hpp"

using namespace commutant::kernels;
using commutant_test::expected_isa;
using commutant_test::expected_level;

namespace {

using asked = isa();

template <isa Level> isa say() { return Level; }

// One body for each instruction set, best first.
constexpr std::array all_bodies{
    body<asked>{isa::neon_dotprod, say<isa::neon_dotprod>},
    body<asked>{isa::neon, say<isa::neon>},
    body<asked>{isa::amx, say<isa::amx>},
    body<asked>{isa::avx512_vnni, say<isa::avx512_vnni>},
    body<asked>{isa::avx512_vbmi, say<isa::avx512_vbmi>},
    body<asked>{isa::avx512bw, say<isa::avx512bw>},
    body<asked>{isa::avx_vnni, say<isa::avx_vnni>},
    body<asked>{isa::avx2, say<isa::avx2>},
    body<asked>{isa::xsimd, say<isa::xsimd>},
    body<asked>{isa::scalar, say<isa::scalar>},
};
constexpr std::array one_body{body<asked>{isa::scalar, say<isa::scalar>}};

}  // namespace

TEST_CASE("dispatched: the body that runs is the one it says, the best that may", "[kernels][isa]") {
    static_assert(all_bodies.size() == n_isas);
    constexpr dispatched<all_bodies> call{};
    isa const said = call.chosen().level;
    CHECK(call() == said);
    CHECK(call() == said);  // chosen once, kept
    if (expected_isa == "scalar") {
        // Lists have no other bodies there; this one has.
        CHECK((said == isa::scalar || said == isa::xsimd));
    } else {
        CHECK(to_string(said) == to_string(expected_level<all_bodies>()));
    }
    CHECK(dispatched<one_body>{}() == isa::scalar);
}

TEST_CASE("isa: every name is found, and no other", "[kernels][isa]") {
    for (std::size_t i = 0; i < n_isas; ++i) {
        isa const level = static_cast<isa>(i);
        CHECK(find_isa(to_string(level)) == level);
    }
    CHECK(!find_isa("avx"));
    CHECK(!find_isa(""));
    CHECK(is_supported(isa::scalar));
}
