// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// The residual is named: 2 sin(angle 0) times feature 0 times the second parameter of pair 0.
// expect: residual<commutant::term<2, commutant::feature<0>, commutant::sine<0>, commutant::parameter<2> ?> ?>
#include <commutant/laws/commutes_with.hpp>

namespace cm = commutant;

struct my_map {
    template <class S> static constexpr cm::block2<S> block(S const& a, S const& b) {
#ifdef COMMUTANT_REFUSE
        return {a, b, b, a};
#else
        return {a, b, -b, a};
#endif
    }
};

static_assert(cm::commutes_with<my_map, cm::operators::rope<cm::pairing::half_split>>);
