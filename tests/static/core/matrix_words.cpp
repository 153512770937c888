// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstddef>
#include <initializer_list>
#include <span>
#include <utility>

#include <commutant/core/blocks.hpp>
#include <commutant/core/matrix.hpp>
#include <commutant/core/prime_field.hpp>
#include <commutant/core/random.hpp>

#include "constant.hpp"

namespace cm = commutant;

// Each word of the matrix vocabulary on numbers worked out by hand, and what it refuses.

namespace {

using field = cm::prime_field;

/// Rows given one after the other.
template <class T = int>
constexpr cm::matrix<T> rows_of(std::initializer_list<std::initializer_list<T>> rows) {
    cm::matrix<T> r(rows.size(), rows.begin()->size());
    T* out = r.data();
    for (auto const& row : rows)
        for (T const& x : row) *out++ = x;
    return r;
}
constexpr auto of(std::initializer_list<std::initializer_list<int>> rows) { return rows_of<int>(rows); }

constexpr auto a() { return of({{1, 2, 3}, {4, 5, 6}}); }
constexpr auto b() { return of({{7, 8, 9}, {10, 11, 12}}); }

// Copies are copies, a moved-from matrix is empty.
static_assert([] {
    auto x = a();
    auto y = x;
    y(0, 0) = 0;
    auto z = std::move(x);
    x = y;
    return z == a() && x == y && y != a() && y(0, 0) == 0;
}());
static_assert(cm::matrix<int>(2, 3) == of({{0, 0, 0}, {0, 0, 0}}) && cm::matrix<int>{}.size() == 0);
static_assert(cm::matrix<int>(2, 0) != cm::matrix<int>(0, 2) &&
              cm::matrix<int>(2, 0) == cm::matrix<int>(2, 0));

static_assert(product(a(), of({{1, 0}, {0, 1}, {2, -1}})) == of({{7, -1}, {16, -1}}));
static_assert(product_transposed(a(), b()) == of({{50, 68}, {122, 167}}));
static_assert(product(a(), transpose(b())) == product_transposed(a(), b()));
static_assert(product(cm::matrix<int>(2, 0), cm::matrix<int>(0, 3)) == cm::matrix<int>(2, 3));
static_assert(transpose(a()) == of({{1, 4}, {2, 5}, {3, 6}}));
static_assert(a() + b() == of({{8, 10, 12}, {14, 16, 18}}) && b() - a() == of({{6, 6, 6}, {6, 6, 6}}));
static_assert(elementwise_product(a(), b()) == of({{7, 16, 27}, {40, 55, 72}}));
static_assert(scaled(a(), -2) == of({{-2, -4, -6}, {-8, -10, -12}}));
static_assert(shifted(a(), 10) == of({{11, 12, 13}, {14, 15, 16}}));
static_assert(scale_columns(a(), of({{1, 0, -1}})) == of({{1, 0, -3}, {4, 0, -6}}));
static_assert(scale_rows(a(), of({{2}, {3}})) == of({{2, 4, 6}, {12, 15, 18}}));
static_assert(add_to_rows(a(), of({{10, 20, 30}})) == of({{11, 22, 33}, {14, 25, 36}}));
static_assert(cm::identity_matrix<cm::matrix<int>>(2) == of({{1, 0}, {0, 1}}));

static_assert(reciprocal(rows_of<double>({{2, -4}})) == rows_of<double>({{0.5, -0.25}}));
static_assert(mean_square_rows(rows_of<double>({{1, 2, 3, 4}, {0, 0, 0, 2}})) ==
              rows_of<double>({{7.5}, {1}}));

static_assert(columns(a(), {1, 2}) == of({{2, 3}, {5, 6}}) &&
              columns(a(), {0, 2, 2}) == of({{1, 3}, {4, 6}}));
static_assert(columns(a(), {3, 0}) == cm::matrix<int>(2, 0));
static_assert([] {
    auto x = a();
    set_columns(x, {0, 2, 2}, of({{-1, -3}, {-4, -6}}));
    set_row_block(x, 1, of({{7, 8, 9}}));
    return x == of({{-1, 2, -3}, {7, 8, 9}});
}());
static_assert(row_block(a(), 1, 1) == of({{4, 5, 6}}) && row_block(a(), 2, 0) == cm::matrix<int>(0, 3));
static_assert(append_rows(a(), b()) == of({{1, 2, 3}, {4, 5, 6}, {7, 8, 9}, {10, 11, 12}}));
static_assert(append_rows(cm::matrix<int>{}, b()) == b());
static_assert(gather_rows(a(), std::span<int const>(std::array{1, 1, 0})) ==
              of({{4, 5, 6}, {4, 5, 6}, {1, 2, 3}}));
static_assert(gather_columns(a(), std::span<std::size_t const>(std::array<std::size_t, 2>{2, 0})) ==
              of({{3, 1}, {6, 4}}));

// Softmax over what each row may see, counted from the position of the first row.
static_assert([] {
    cm::matrix<field> const x = rows_of<field>({{3, 1, 4, 1}, {5, 9, 2, 6}}), y = causal_softmax(x, 1);
    std::array<field, 2> first{3, 1};
    std::array<field, 3> second{5, 9, 2};
    softmax_in_place(first.data(), 2), softmax_in_place(second.data(), 3);
    return y == rows_of<field>({{first[0], first[1], 0, 0}, {second[0], second[1], second[2], 0}});
}());

// Inverses: one that has to look further down for a pivot, random ones, none.
static_assert(inverse(rows_of<double>({{0, 2, 0}, {0, 0, 4}, {1, 0, 0}})) ==
              rows_of<double>({{0, 0, 1}, {0.5, 0, 0}, {0, 0.25, 0}}));
static_assert([] {
    cm::random_source random(3);
    cm::parameter_source<field> source(random);
    for (std::size_t n = 0; n < 6; ++n) {
        auto const x = cm::parameter_matrix<cm::matrix<field>>(source, n, n, 0);
        auto const one = cm::identity_matrix<cm::matrix<field>>(n);
        if (product(x, inverse(x)) != one || product(inverse(x), x) != one) return false;
    }
    return true;
}());
static_assert(constant<[] { return inverse(rows_of<double>({{1, 2}, {2, 5}})); }>);
static_assert(!constant<[] { return inverse(rows_of<double>({{1, 2}, {2, 4}})); }>);
static_assert(!constant<[] { return inverse(rows_of<double>({{1, 2}})); }>);

// Shapes that do not fit, after one that does.
static_assert(constant<[] { return product(a(), transpose(b())); }>);
static_assert(!constant<[] { return product(a(), b()); }>);
static_assert(!constant<[] { return product_transposed(a(), of({{1, 2}})); }>);
static_assert(!constant<[] { return a() + transpose(b()); }>);
static_assert(!constant<[] { return a() - of({{1, 2, 3}}); }>);
static_assert(!constant<[] { return elementwise_product(a(), of({{1}, {2}})); }>);
static_assert(!constant<[] { return scale_columns(a(), of({{1, 2}})); }>);
static_assert(!constant<[] { return scale_columns(a(), of({{1}, {2}, {3}})); }>);
static_assert(!constant<[] { return scale_rows(a(), of({{1, 2}})); }>);
static_assert(!constant<[] { return add_to_rows(a(), of({{1, 2}})); }>);
static_assert(!constant<[] { return columns(a(), {2, 2}); }>);
static_assert(!constant<[] { return columns(a(), {0, 3, 2}); }>);
static_assert(!constant<[] { return row_block(a(), 1, 2); }>);
static_assert(!constant<[] {
    auto x = a();
    set_columns(x, {0, 2}, of({{1, 2, 3}, {4, 5, 6}}));
    return x;
}>);
static_assert(!constant<[] {
    auto x = a();
    set_row_block(x, 1, b());
    return x;
}>);
static_assert(!constant<[] { return append_rows(a(), of({{1, 2}})); }>);

// Blocks and pairs.
static_assert([] {
    auto const negated_first = [](std::size_t i, auto block) {
        if (i == 0) block = scaled(block, -1);
        return block;
    };
    auto x = a(), y = transpose(a());
    cm::update_column_blocks(x, 1, negated_first);
    cm::update_row_blocks(y, 1, negated_first);
    return x == of({{-1, 2, 3}, {-4, 5, 6}}) && y == transpose(x) &&
           x == cm::mapped_column_blocks(a(), 1, negated_first);
}());
static_assert([] {
    auto const x = of({{1, 2, 3, 4, 5}});
    auto const swapped = [](auto const& x1, auto const& x2) { return std::pair(x2, scaled(x1, -1)); };
    return cm::mapped_pairs(x, cm::pairing::half_split, 4, swapped) == of({{3, 4, -1, -2, 5}}) &&
           cm::mapped_pairs(x, cm::pairing::interleaved, 4, swapped) == of({{2, -1, 4, -3, 5}});
}());

}  // namespace
