// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// Your own transform: a type with nothing but its block formula. The library derives its inverse, its partner on the
// queries and its merge, proves its lemmas for all parameter values, and runs a whole decoder block before and after
// the merge in exact arithmetic. The wrong sibling below it is refuted: with -DSHOW_REFUSAL the compiler names what is
// left over, residual<term<4, feature<0>, sine<0>, parameter<0>, parameter<2>>>.

#include <cstdio>

#include <commutant/proofs/preserves_function.hpp>
#include <commutant/sites/admissible.hpp>

namespace cm = commutant;

/// Turns and stretches every RoPE pair like the square of the complex number a + ib.
struct complex_square {
    template <class S> static constexpr cm::block2<S> block(S const& a, S const& b) {
        return {a * a - b * b, 2 * a * b, -(2 * a * b), a * a - b * b};
    }
};

/// The same with one sign wrong.
struct wrong_square {
    template <class S> static constexpr cm::block2<S> block(S const& a, S const& b) {
        return {a * a - b * b, 2 * a * b, 2 * a * b, a * a - b * b};
    }
};

static_assert(cm::admissible_at_query_key<complex_square>);
static_assert(
    cm::preserves_function<cm::families::llama, cm::plan<cm::at<cm::sites::query_key, complex_square>>>);

static_assert(!cm::admissible_at_query_key<wrong_square>);
static_assert(
    !cm::preserves_function<cm::families::llama, cm::plan<cm::at<cm::sites::query_key, wrong_square>>>);

#ifdef SHOW_REFUSAL
static_assert(cm::commutes_with<wrong_square, cm::operators::rope<cm::pairing::half_split>>);
#endif

int main() { std::puts("complex_square: proved for all parameters, and through a whole decoder block"); }
