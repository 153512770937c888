// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <type_traits>
#include <utility>

#include <commutant/core/polynomial.hpp>
#include <commutant/laws/residual.hpp>
#include <commutant/operators/attention.hpp>
#include <commutant/operators/gate.hpp>
#include <commutant/operators/rms_norm.hpp>
#include <commutant/operators/rope.hpp>
#include <commutant/transforms/permutation.hpp>
#include <commutant/transforms/value.hpp>

namespace commutant {

/// Matrices of lemmas.
using symbolic_matrix = matrix<rational_function>;

namespace detail {
/// A row of fresh symbols.
[[nodiscard]] constexpr symbolic_matrix symbols(std::size_t first, std::size_t rows, std::size_t cols) {
    return generated<rational_function>(rows, cols,
                                        [&](std::size_t k) { return polynomial::variable(first + k); });
}

/// The numerator of the first entry that differs: zero if none does.
[[nodiscard]] constexpr polynomial first_difference(symbolic_matrix const& a, symbolic_matrix const& b) {
    for (std::size_t k = 0; k < a.size(); ++k) {
        polynomial const n =
            a.data()[k].numerator * b.data()[k].denominator - b.data()[k].numerator * a.data()[k].denominator;
        if (!n.is_zero()) return n;
    }
    return {};
}

/// A transform of kind K whose parameters are the symbols from `first` on. Kinds without parameters that exist in
/// certain sizes only say which they want: smallest_exact_dim.
template <class K>
[[nodiscard]] constexpr auto symbolic_transform(parameter_source<rational_function>& source,
                                                transform_shape shape) {
    if constexpr (requires { K::smallest_exact_dim; }) shape.dim = K::smallest_exact_dim;
    return make_transform<K, symbolic_matrix>(source, shape);
}
}  // namespace detail

/// The operators between a transformer's matmuls, as subjects of laws. Each evaluates its own formula - the function in
/// operators/ that runs - with a symbolic transform in front and behind, and returns the difference.
namespace operators {

/// RoPE.
template <pairing P> struct rope {
    static constexpr std::size_t first_parameter = 8;
    template <std::size_t V>
    using symbol = std::conditional_t<
        (V < 4), feature<V>,
        std::conditional_t<(V < 6), cosine<(V - 4) % 2>,
                           std::conditional_t<(V < 8), sine<V % 2>, parameter<V - first_parameter>>>>;

    /// Kinds that are no formula of a pair are too large for polynomials on two pairs: they are evaluated at a random
    /// point of GF(2^61 - 1), and what is left over is then the bare term<1>.
    template <class K> [[nodiscard]] static constexpr polynomial difference() {
        if constexpr (pair_formula<K> || diagonal_formula<K>) {
            parameter_source<rational_function> source(first_parameter);
            auto const [a, b] =
                both_orders(make_transform<K, symbolic_matrix>(source, {4, 4, P}), detail::symbols(0, 1, 4),
                            {detail::symbols(4, 1, 2), detail::symbols(6, 1, 2)});
            return detail::first_difference(a, b);
        } else {
            using M = matrix<prime_field>;
            random_source random(0x40fe);
            parameter_source<prime_field> source(random);
            rotation_table<M> const angles{parameter_matrix<M>(source, 1, 2, 0),
                                           parameter_matrix<M>(source, 1, 2, 0)};
            auto const [a, b] = both_orders(make_transform<K, M>(source, {4, 4, P}),
                                            parameter_matrix<M>(source, 1, 4, 0), angles);
            return a == b ? 0 : 1;
        }
    }

private:
    template <class T, class M>
    [[nodiscard]] static constexpr std::pair<M, M> both_orders(T const& t, M const& x,
                                                               rotation_table<M> const& angles) {
        return {apply(t, apply_rope(x, angles, 4, P)), apply_rope(apply(t, x), angles, 4, P)};
    }
};

/// The product of queries and keys: T on keys and T^-T on queries leave it unchanged.
struct query_key_product {
    static constexpr std::size_t first_parameter = 8;
    template <std::size_t V>
    using symbol =
        std::conditional_t<(V < 4), feature<V>,
                           std::conditional_t<(V < 8), query<V % 4>, parameter<V - first_parameter>>>;

    template <class K> [[nodiscard]] static constexpr polynomial difference() {
        parameter_source<rational_function> source(first_parameter);
        auto const t = detail::symbolic_transform<K>(source, {2, 2, pairing::half_split});
        auto const k = detail::symbols(0, 1, dim(t)), q = detail::symbols(4, 1, dim(t));
        return detail::first_difference(product_transposed(apply(inverse_transpose(t), q), apply(t, k)),
                                        product_transposed(q, k));
    }
};

/// Mixing of values by any probabilities, with two kv heads repeated over two query heads each.
struct attention_mixing {
    static constexpr std::size_t first_parameter = 16;
    template <std::size_t V>
    using symbol =
        std::conditional_t<(V < 8), feature<V>,
                           std::conditional_t<(V < 16), probability<V - 8>, parameter<V - first_parameter>>>;

    template <class K> [[nodiscard]] static constexpr polynomial difference() {
        parameter_source<rational_function> source(first_parameter);
        for (std::size_t g = 0; g < 2; ++g) {
            auto const t = detail::symbolic_transform<K>(source, {2, 2, pairing::half_split});
            auto const v = detail::symbols(4 * g, 2, dim(t));
            for (std::size_t r = 0; r < 2; ++r) {
                auto const p = detail::symbols(8 + 2 * (2 * g + r), 1, 2);
                polynomial const d =
                    detail::first_difference(apply(t, attention_mix(p, v)), attention_mix(p, apply(t, v)));
                if (!d.is_zero() || kv_head_of(2 * g + r, 2) != g) return d;
            }
        }
        return {};
    }
};

/// The gate product: T on up alone, or, for a permutation, on gate and up.
struct gate_product {
    static constexpr std::size_t first_parameter = 8;
    template <std::size_t V>
    using symbol =
        std::conditional_t<(V < 4), feature<V>,
                           std::conditional_t<(V < 8), gate<V % 4>, parameter<V - first_parameter>>>;

    template <class K> [[nodiscard]] static constexpr polynomial difference() {
        parameter_source<rational_function> source(first_parameter);
        auto const t = detail::symbolic_transform<K>(source, {2, 2, pairing::half_split});
        auto const up = detail::symbols(0, 1, dim(t)), activated = detail::symbols(4, 1, dim(t));
        auto moved = activated;
        if constexpr (std::same_as<K, permutation>) moved = apply(t, activated);
        return detail::first_difference(apply(t, commutant::gate_product(activated, up)),
                                        commutant::gate_product(moved, apply(t, up)));
    }
};

/// RMSNorm with its gain folded: the mean square that it divides by must not change.
struct rms_norm {
    static constexpr std::size_t first_parameter = 4;
    template <std::size_t V>
    using symbol = std::conditional_t<(V < 4), feature<V>, parameter<V - first_parameter>>;

    template <class K> [[nodiscard]] static constexpr polynomial difference() {
        parameter_source<rational_function> source(first_parameter);
        auto const t = detail::symbolic_transform<K>(source, {2, 2, pairing::half_split});
        auto const x = detail::symbols(0, 1, dim(t));
        return detail::first_difference(mean_square_rows(apply(t, x)), mean_square_rows(x));
    }
};

/// Nothing between: the inverse must undo the transform.
struct nothing {
    static constexpr std::size_t first_parameter = 4;
    template <std::size_t V>
    using symbol = std::conditional_t<(V < 4), feature<V>, parameter<V - first_parameter>>;

    template <class K> [[nodiscard]] static constexpr polynomial difference() {
        parameter_source<rational_function> source(first_parameter);
        auto const t = detail::symbolic_transform<K>(source, {2, 2, pairing::half_split});
        auto const x = detail::symbols(0, 1, dim(t));
        return detail::first_difference(apply(inverse(t), apply(t, x)), x);
    }
};

}  // namespace operators

namespace detail {
template <class T> struct kind_of_transform { using type = T; };
template <class T>
    requires requires { typename T::kind; }
struct kind_of_transform<T> {
    using type = typename T::kind;
};

template <class K, class Op> struct difference_of {
    static constexpr polynomial value = Op::template difference<K>();
};
}  // namespace detail

/// The kind of a transform with parameters; of a kind, itself.
template <class T> using kind_of = typename detail::kind_of_transform<T>::type;

/// T(op(x)) - op(T(x)) for symbolic x and a transform of T's kind with symbolic parameters; residual<> if it vanishes.
template <class T, class Op> using residual_of = residual_type<Op, detail::difference_of<kind_of<T>, Op>>;

/// The residual is zero. Where it is not, the compiler's message shows its terms.
template <class Residual> concept vanishes = std::same_as<Residual, residual<>>;

/// Every transform of T's kind, whatever its parameters, commutes with Op: the outcome of evaluating Op's own formula
/// with polynomials while compiling.
///
/// Model      commutes_with<scaled_rotation, operators::rope<pairing::half_split>>
/// Non-model  commutes_with<dense, operators::gate_product>
template <class T, class Op>
concept commutes_with = transform_kind<kind_of<T>> && vanishes<residual_of<T, Op>>;

}  // namespace commutant
