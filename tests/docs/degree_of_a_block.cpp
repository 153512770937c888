// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// One more reading of the decoder and the merge: scalars that know nothing but a bound on their degree as rational
// functions of all that a whole-block proof draws at random. It counts what docs/explanation/proofs.md says about the
// chance that a wrong identity passes, and fails if a change takes the count past that.
//
// What SiLU and softmax return counts as a new variable, since in a proof it is a hash. 1/sqrt of N/D is sqrt(N D) / N.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <map>
#include <span>
#include <string>
#include <vector>

#include <commutant/core/random.hpp>
#include <commutant/merge/plan.hpp>
#include <commutant/model/forward.hpp>
#include <commutant/model/random_decoder.hpp>
#include <commutant/proofs/family.hpp>
#include <commutant/recipes/fptquant.hpp>

namespace degrees {

/// Degrees of all denominators that have come up, and what was counted on the way.
struct ledger {
    std::vector<double> factors{};
    std::size_t n_roots = 0;       ///< values of 1/sqrt
    std::size_t n_compared = 0;    ///< arguments of SiLU and softmax: equal ones must be equal in both runs
    double largest_numerator = 0;  ///< among these arguments
    double largest_denominator = 0;
};
inline ledger book;

/// A polynomial of at most this degree, over a product of powers of known factors. Zero is known to be zero.
struct bound {
    double degree = 0;
    std::map<std::size_t, unsigned> denominator{};
    bool is_zero = true;

    bound() = default;
    bound(int constant) : is_zero(constant == 0) {}  // NOLINT(google-explicit-constructor): as every scalar

    [[nodiscard]] static bound variable() {
        bound r(1);
        r.degree = 1;
        return r;
    }
    [[nodiscard]] double denominator_degree() const {
        double d = 0;
        for (auto const& [factor, power] : denominator) d += power * book.factors[factor];
        return d;
    }

    friend bool operator==(bound const& a, bound const& b) { return a.is_zero && b.is_zero; }
    friend bound operator+(bound const& a, bound const& b) {
        if (a.is_zero) return b;
        if (b.is_zero) return a;
        bound r(1);
        r.denominator = a.denominator;
        for (auto const& [factor, power] : b.denominator)
            r.denominator[factor] = std::max(r.denominator[factor], power);
        double const common = r.denominator_degree();
        r.degree =
            std::max(a.degree + common - a.denominator_degree(), b.degree + common - b.denominator_degree());
        return r;
    }
    friend bound operator-(bound const& a) { return a; }
    friend bound operator-(bound const& a, bound const& b) { return a + b; }
    friend bound operator*(bound const& a, bound const& b) {
        if (a.is_zero || b.is_zero) return {};
        bound r(1);
        r.degree = a.degree + b.degree;
        r.denominator = a.denominator;
        for (auto const& [factor, power] : b.denominator) r.denominator[factor] += power;
        return r;
    }
    friend bound operator/(bound const& a, bound const& b) { return a * reciprocal(b); }

    [[nodiscard]] static bound over_new_factor(double numerator, double factor) {
        bound r(1);
        r.degree = numerator;
        if (factor == 0) return r;
        r.denominator[book.factors.size()] = 1;
        book.factors.push_back(factor);
        return r;
    }
    [[nodiscard]] friend bound reciprocal(bound const& a) {
        return over_new_factor(a.denominator_degree(), a.degree);
    }
    [[nodiscard]] friend bound rsqrt(bound const& a) {
        ++book.n_roots;
        return over_new_factor(std::ceil((a.degree + a.denominator_degree()) / 2), a.degree);
    }
};

inline void compare(bound const& argument) {
    ++book.n_compared;
    book.largest_numerator = std::max(book.largest_numerator, argument.degree);
    book.largest_denominator = std::max(book.largest_denominator, argument.denominator_degree());
}
[[nodiscard]] inline bound silu(bound const& a) {
    compare(a);
    return bound::variable();
}
inline void softmax_in_place(bound* row, std::size_t n) {
    for (std::size_t j = 1; j < n; ++j) compare(row[j] - row[0]);
    for (std::size_t j = 0; j < n; ++j) row[j] = bound::variable();
}
[[nodiscard]] inline bound sqrt_half(bound const&) { return 1; }

using matrix = commutant::matrix<bound>;

/// Adjugate over determinant, entries brought to one denominator first.
[[nodiscard]] inline matrix inverse(matrix const& a) {
    std::size_t const n = a.rows();
    bound common(1);
    for (std::size_t k = 0; k < n * n; ++k) common = common + a.data()[k];
    bound cleared(1);  // the common denominator, as a numerator
    cleared.degree = common.denominator_degree();
    double const order = static_cast<double>(n);
    bound const entry =
        bound::over_new_factor((order - 1) * common.degree + cleared.degree, order * common.degree);
    matrix r(n, n);
    for (std::size_t k = 0; k < n * n; ++k) r.data()[k] = entry;
    return r;
}

}  // namespace degrees

namespace commutant {
template <> class parameter_source<degrees::bound> {
public:
    [[nodiscard]] degrees::bound near(int) { return degrees::bound::variable(); }
    [[nodiscard]] degrees::bound sign() { return 1; }
    [[nodiscard]] random_source& random() { return random_; }

private:
    random_source random_{1};
};
}  // namespace commutant

namespace {

namespace cm = commutant;
using degrees::bound;
using degrees::matrix;

/// Degree of the largest entry: over a common denominator, and of that denominator.
struct size_of {
    double numerator = 0, denominator = 0;
};
size_of largest(matrix const& m) {
    size_of r;
    for (std::size_t k = 0; k < m.size(); ++k) {
        r.numerator = std::max(r.numerator, m.data()[k].degree);
        r.denominator = std::max(r.denominator, m.data()[k].denominator_degree());
    }
    return r;
}
double of_difference(size_of const& a, size_of const& b) {
    return std::max(a.numerator + b.denominator, b.numerator + a.denominator);
}

/// Every cosine and sine is a quotient of degree 2 over one of degree 2 in its own variable.
cm::rotation_table<matrix> angles(std::size_t positions, std::size_t n_pairs) {
    cm::rotation_table<matrix> r{matrix(positions, n_pairs), matrix(positions, n_pairs)};
    for (std::size_t k = 0; k < r.cosine.size(); ++k) {
        bound const t = bound::variable(), share = reciprocal(t * t + 1);
        r.cosine.data()[k] = (bound(1) - t * t) * share;
        r.sine.data()[k] = bound(2) * t * share;
    }
    return r;
}

size_of of_arguments() { return {degrees::book.largest_numerator, degrees::book.largest_denominator}; }

/// The count for all six transforms in one family: what is_unchanged_by does, in degrees.
template <class Family> bool stays_below(double most) {
    using plan = cm::fptquant_plan;
    cm::model_config const c = Family::geometry;
    degrees::book = {};
    cm::parameter_source<bound> source;
    auto const drawn = cm::random_decoder<matrix>(c, source);
    auto const table = angles(3, c.rotary_dim / 2);
    cm::decoder_constants<bound> const constants{bound::variable(), bound::variable()};
    constexpr std::array<int, 3> tokens{0, 2, 1};
    std::span<int const> const window(tokens);
    cm::no_tap tap;

    cm::kv_cache<matrix> cache(c);
    size_of const logits_before = largest(cm::logits(drawn, constants, table, window, cache, tap));
    size_of const arguments_before = of_arguments();
    std::size_t const n_compared = degrees::book.n_compared + tokens.size() * c.vocab_size;

    auto merged = drawn;
    cm::fold_plan(cm::random_transforms<plan, matrix>(c, source, 2), merged);
    cache = cm::kv_cache<matrix>(c);
    degrees::book.largest_numerator = degrees::book.largest_denominator = 0;
    size_of const first = largest(cm::logits(merged, constants, table, window.first(2), cache, tap));
    size_of const last = largest(cm::logits(merged, constants, table, window.last(1), cache, tap));
    size_of const logits_after{std::max(first.numerator, last.numerator),
                               std::max(first.denominator, last.denominator)};

    double const of_one =
        std::max(of_difference(logits_before, logits_after), of_difference(arguments_before, of_arguments()));
    double const total = static_cast<double>(n_compared) * of_one;
    std::printf(
        "%s: logits %.0f / %.0f before, %.0f / %.0f after; %zu comparisons of degree at most %.0f: 2^%.1f, "
        "expected "
        "at most 2^%.1f; %zu square roots\n",
        Family::name, logits_before.numerator, logits_before.denominator, logits_after.numerator,
        logits_after.denominator, n_compared, of_one, std::log2(total), std::log2(most),
        degrees::book.n_roots);
    return total <= most;
}

}  // namespace

int main() {
    double const stated = std::exp2(16);  // docs/explanation/proofs.md
    bool passed = stays_below<cm::families::llama>(stated);
    passed = stays_below<cm::families::llama_interleaved>(stated) && passed;
    passed = stays_below<cm::families::mistral>(stated) && passed;
    passed = stays_below<cm::families::qwen2>(stated) && passed;
    return passed ? 0 : 1;
}
