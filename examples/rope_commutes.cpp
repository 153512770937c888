// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// A law is not believed, it is evaluated: the RoPE that runs, in front of and behind a symbolic scaled rotation, gives
// the same polynomials. What does not commute is refused where it is written.

#include <cstdio>

#include <commutant/laws/commutes_with.hpp>
#include <commutant/transforms/block_hadamard.hpp>
#include <commutant/transforms/scaled_rotation.hpp>

namespace cm = commutant;
using llama_rope = cm::operators::rope<cm::pairing::half_split>;

static_assert(cm::commutes_with<cm::scaled_rotation, llama_rope>);
static_assert(!cm::commutes_with<cm::block_hadamard, llama_rope>);

// Generic code asks for the law in its signature.
template <cm::commutes_with<llama_rope> T> void cache_rotated_keys(T const&) {
    std::puts("commutes with RoPE");
}

int main() {
    cm::random_source random(1);
    cm::parameter_source<double> source(random);
    cache_rotated_keys(
        cm::make_transform<cm::scaled_rotation, cm::matrix<double>>(source, {8, 8, cm::pairing::half_split}));
}
