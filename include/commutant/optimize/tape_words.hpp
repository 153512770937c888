// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <utility>

#include <commutant/optimize/tape_matrix.hpp>

namespace commutant {

// Every word computes its values by the same word of eigen_matrix, then records its adjoint. g is the gradient of the
// result, and the comment beside a word says what each input receives.

/// a: g b^T.  b: a^T g
template <class T> [[nodiscard]] tape_matrix<T> product(tape_matrix<T> const& a, tape_matrix<T> const& b) {
    return recorded(tape_matrix<T>(product(a.value(), b.value())), {&a, &b},
                    [x = saved_values<T>(a, b.carries_gradient()),
                     y = saved_values<T>(b, a.carries_gradient())](auto& g, tape_inputs<T> const& in) {
                        if (in[0]) in[0]->add_product(g, (*y).transpose());
                        if (in[1]) in[1]->add_product((*x).transpose(), g);
                    });
}

/// a: g b.  b: g^T a
template <class T>
[[nodiscard]] tape_matrix<T> product_transposed(tape_matrix<T> const& a, tape_matrix<T> const& b) {
    return recorded(tape_matrix<T>(product_transposed(a.value(), b.value())), {&a, &b},
                    [x = saved_values<T>(a, b.carries_gradient()),
                     y = saved_values<T>(b, a.carries_gradient())](auto& g, tape_inputs<T> const& in) {
                        if (in[0]) in[0]->add_product(g, *y);
                        if (in[1]) in[1]->add_product(g.transpose(), *x);
                    });
}

/// a: g^T
template <class T> [[nodiscard]] tape_matrix<T> transpose(tape_matrix<T> const& a) {
    return recorded(tape_matrix<T>(transpose(a.value())), {&a}, [](auto& g, tape_inputs<T> const& in) {
        eigen_matrix<T> arrived;
        arrived.values = std::move(g);
        in[0]->add(std::move(transpose(arrived).values));
    });
}

/// a, b: g
template <class T> [[nodiscard]] tape_matrix<T> operator+(tape_matrix<T> a, tape_matrix<T> const& b) {
    tape_matrix<T> const node_of_a = tape_matrix<T>().with_node(a.node());
    eigen_matrix<T> sum = std::move(a).take_values() + b.value();
    return recorded(tape_matrix<T>(std::move(sum)), {&node_of_a, &b}, [](auto& g, tape_inputs<T> const& in) {
        if (in[1]) in[1]->add(g);
        if (in[0]) in[0]->add(std::move(g));
    });
}

/// a: g.  b: -g
template <class T> [[nodiscard]] tape_matrix<T> operator-(tape_matrix<T> const& a, tape_matrix<T> const& b) {
    return recorded(tape_matrix<T>(a.value() - b.value()), {&a, &b}, [](auto& g, tape_inputs<T> const& in) {
        if (in[1]) in[1]->add(-g);
        if (in[0]) in[0]->add(std::move(g));
    });
}

/// a: g b.  b: g a
template <class T>
[[nodiscard]] tape_matrix<T> elementwise_product(tape_matrix<T> const& a, tape_matrix<T> const& b) {
    return recorded(tape_matrix<T>(elementwise_product(a.value(), b.value())), {&a, &b},
                    [x = saved_values<T>(a, b.carries_gradient()),
                     y = saved_values<T>(b, a.carries_gradient())](auto& g, tape_inputs<T> const& in) {
                        if (in[0]) in[0]->add(g.cwiseProduct(*y));
                        if (in[1]) in[1]->add(g.cwiseProduct(*x));
                    });
}

/// a: g s
template <class T> [[nodiscard]] tape_matrix<T> scaled(tape_matrix<T> const& a, T s) {
    return recorded(tape_matrix<T>(scaled(a.value(), s)), {&a},
                    [s](auto& g, tape_inputs<T> const& in) { in[0]->add(g * s); });
}

/// a: g
template <class T> [[nodiscard]] tape_matrix<T> shifted(tape_matrix<T> const& a, T s) {
    return recorded(tape_matrix<T>(shifted(a.value(), s)), {&a},
                    [](auto& g, tape_inputs<T> const& in) { in[0]->add(std::move(g)); });
}

/// a: g diag(r).  r: sums of g a over each column
template <class T>
[[nodiscard]] tape_matrix<T> scale_columns(tape_matrix<T> const& a, tape_matrix<T> const& r) {
    return recorded(tape_matrix<T>(scale_columns(a.value(), r.value())), {&a, &r},
                    [x = saved_values<T>(a, r.carries_gradient()),
                     y = saved_values<T>(r, a.carries_gradient())](auto& g, tape_inputs<T> const& in) {
                        if (in[0]) in[0]->add((g.array().rowwise() * (*y).row(0).array()).matrix());
                        if (in[1]) in[1]->add(g.cwiseProduct(*x).colwise().sum());
                    });
}

/// a: diag(c) g.  c: sums of g a over each row
template <class T> [[nodiscard]] tape_matrix<T> scale_rows(tape_matrix<T> const& a, tape_matrix<T> const& c) {
    return recorded(tape_matrix<T>(scale_rows(a.value(), c.value())), {&a, &c},
                    [x = saved_values<T>(a, c.carries_gradient()),
                     y = saved_values<T>(c, a.carries_gradient())](auto& g, tape_inputs<T> const& in) {
                        if (in[0]) in[0]->add((g.array().colwise() * (*y).col(0).array()).matrix());
                        if (in[1]) in[1]->add(g.cwiseProduct(*x).rowwise().sum());
                    });
}

/// a: g.  r: sums of g over each column
template <class T>
[[nodiscard]] tape_matrix<T> add_to_rows(tape_matrix<T> const& a, tape_matrix<T> const& r) {
    return recorded(tape_matrix<T>(add_to_rows(a.value(), r.value())), {&a, &r},
                    [](auto& g, tape_inputs<T> const& in) {
                        if (in[1]) in[1]->add(g.colwise().sum());
                        if (in[0]) in[0]->add(std::move(g));
                    });
}

/// y = 1 / a.  a: -g y^2
template <class T> [[nodiscard]] tape_matrix<T> reciprocal(tape_matrix<T> const& a) {
    tape_matrix<T> const y(reciprocal(a.value()));
    return recorded(y, {&a}, [y = saved_values<T>(y)](auto& g, tape_inputs<T> const& in) {
        in[0]->add((-g.array() * (*y).array().square()).matrix());
    });
}

/// y = a^-1/2.  a: -g y^3 / 2
template <class T> [[nodiscard]] tape_matrix<T> rsqrt(tape_matrix<T> const& a) {
    tape_matrix<T> const y(rsqrt(a.value()));
    return recorded(y, {&a}, [y = saved_values<T>(y)](auto& g, tape_inputs<T> const& in) {
        in[0]->add((T(-0.5) * g.array() * (*y).array().cube()).matrix());
    });
}

/// y = e^a.  a: g y
template <class T> [[nodiscard]] tape_matrix<T> elementwise_exp(tape_matrix<T> const& a) {
    tape_matrix<T> const y(elementwise_exp(a.value()));
    return recorded(y, {&a}, [y = saved_values<T>(y)](auto& g, tape_inputs<T> const& in) {
        in[0]->add(g.cwiseProduct(*y));
    });
}

/// a: g cos(a)
template <class T> [[nodiscard]] tape_matrix<T> elementwise_sin(tape_matrix<T> const& a) {
    return recorded(tape_matrix<T>(elementwise_sin(a.value())), {&a},
                    [x = saved_values<T>(a)](auto& g, tape_inputs<T> const& in) {
                        in[0]->add((g.array() * (*x).array().cos()).matrix());
                    });
}

/// a: -g sin(a)
template <class T> [[nodiscard]] tape_matrix<T> elementwise_cos(tape_matrix<T> const& a) {
    return recorded(tape_matrix<T>(elementwise_cos(a.value())), {&a},
                    [x = saved_values<T>(a)](auto& g, tape_inputs<T> const& in) {
                        in[0]->add((-g.array() * (*x).array().sin()).matrix());
                    });
}

/// s = sigmoid(a).  a: g s (1 + a (1 - s))
template <class T> [[nodiscard]] tape_matrix<T> silu(tape_matrix<T> const& a) {
    return recorded(tape_matrix<T>(silu(a.value())), {&a},
                    [x = saved_values<T>(a)](auto& g, tape_inputs<T> const& in) {
                        auto const a_ = (*x).array();
                        typename eigen_matrix<T>::storage const s = (T(1) + (-a_).exp()).inverse();
                        in[0]->add((g.array() * s.array() * (T(1) + a_ * (T(1) - s.array()))).matrix());
                    });
}

/// a: 2 g a / columns, the row's g
template <class T> [[nodiscard]] tape_matrix<T> mean_square_rows(tape_matrix<T> const& a) {
    return recorded(tape_matrix<T>(mean_square_rows(a.value())), {&a},
                    [x = saved_values<T>(a)](auto& g, tape_inputs<T> const& in) {
                        T const share = T(2) / static_cast<T>((*x).cols());
                        in[0]->add(((*x).array().colwise() * (g.col(0).array() * share)).matrix());
                    });
}

/// p = softmax of what each row may see.  a: p (g - sum over the row of g p)
template <class T> [[nodiscard]] tape_matrix<T> causal_softmax(tape_matrix<T> a, std::size_t first_position) {
    tape_matrix<T> const node_of_a = tape_matrix<T>().with_node(a.node());
    tape_matrix<T> const p(causal_softmax(std::move(a).take_values(), first_position));
    return recorded(p, {&node_of_a},
                    [p = saved_values<T>(p), first_position](auto& g, tape_inputs<T> const& in) {
                        for (Eigen::Index i = 0; i < g.rows(); ++i) {
                            Eigen::Index const seen = static_cast<Eigen::Index>(first_position) + i + 1;
                            auto const p_i = (*p).row(i).head(seen).array();
                            auto g_i = g.row(i).head(seen).array();
                            T const mean = (g_i * p_i).sum();
                            g_i = p_i * (g_i - mean);
                            g.row(i).tail(g.cols() - seen).setZero();
                        }
                        in[0]->add(std::move(g));
                    });
}

/// y = a^-1.  a: -y^T g y^T
template <class T> [[nodiscard]] tape_matrix<T> inverse(tape_matrix<T> const& a) {
    tape_matrix<T> const y(inverse(a.value()));
    return recorded(y, {&a}, [y = saved_values<T>(y)](auto& g, tape_inputs<T> const& in) {
        typename eigen_matrix<T>::storage const right = -g * (*y).transpose();
        in[0]->add_product((*y).transpose(), right);
    });
}

}  // namespace commutant
