// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include <commutant/core/blocks.hpp>
#include <commutant/core/random.hpp>
#include <commutant/readings/eigen_matrix.hpp>

namespace cm = commutant;

// The two readings of the matrix vocabulary, run side by side: matrix<double>, which constant expressions use
// and whose words are checked by hand in tests/static/core, and eigen_matrix<T>, which programs use.

namespace {

using plain = cm::matrix<double>;

/// The same numbers twice.
template <class T> struct both {
    plain by_hand;
    cm::eigen_matrix<T> by_eigen;
};

template <class T> both<T> random_matrix(std::size_t rows, std::size_t cols, cm::random_source& random) {
    both<T> r{plain(rows, cols), cm::eigen_matrix<T>(rows, cols)};
    for (std::size_t i = 0; i < rows; ++i)
        for (std::size_t j = 0; j < cols; ++j)
            r.by_hand(i, j) = r.by_eigen(i, j) = static_cast<T>(4 * random.next_unit() - 2);
    return r;
}

/// Largest difference that rounding may make: each element comes from at most `terms` roundings of numbers
/// below `size`.
template <class T> double rounding(std::size_t terms, double size) {
    return static_cast<double>(terms + 2) * static_cast<double>(std::numeric_limits<T>::epsilon()) * size;
}

template <class T>
void require_equal(plain const& expected, cm::eigen_matrix<T> const& found, double tolerance) {
    REQUIRE(found.rows() == expected.rows());
    REQUIRE(found.cols() == expected.cols());
    for (std::size_t i = 0; i < expected.rows(); ++i)
        for (std::size_t j = 0; j < expected.cols(); ++j) {
            CAPTURE(i, j, expected(i, j), found(i, j));
            REQUIRE(std::abs(expected(i, j) - static_cast<double>(found(i, j))) <= tolerance);
        }
}

/// Runs a word in both readings.
template <class Word, class... X> void require_agreement(double tolerance, Word word, X const&... x) {
    require_equal(word(x.by_hand...), word(x.by_eigen...), tolerance);
}

constexpr auto shapes = [] {
    return Catch::Generators::values<std::pair<std::size_t, std::size_t>>(
        {{0, 1}, {0, 6}, {1, 1}, {1, 6}, {2, 4}, {5, 2}, {7, 8}, {16, 18}});
};

}  // namespace

TEMPLATE_TEST_CASE("eigen_matrix: elementwise words agree with the plain matrix", "[readings]", float,
                   double) {
    using T = TestType;
    auto const [n, m] = GENERATE(shapes());
    CAPTURE(n, m);
    cm::random_source random(20 * n + m);
    auto const a = random_matrix<T>(n, m, random), b = random_matrix<T>(n, m, random);
    auto const row = random_matrix<T>(1, m, random), column = random_matrix<T>(n, 1, random);
    double const once = rounding<T>(1, 4);

    require_agreement(
        once, [](auto const& x, auto const& y) { return x + y; }, a, b);
    require_agreement(
        once, []<class M>(M const& x, M const& y) { return M(x) + y; }, a, b);
    require_agreement(
        once, [](auto const& x, auto const& y) { return x - y; }, a, b);
    require_agreement(
        once, [](auto const& x, auto const& y) { return elementwise_product(x, y); }, a, b);
    require_agreement(
        once, []<class M>(M const& x) { return scaled(x, typename M::scalar(0.75)); }, a);
    require_agreement(
        once, []<class M>(M const& x) { return shifted(x, typename M::scalar(-0.5)); }, a);
    require_agreement(
        once, [](auto const& x, auto const& r) { return scale_columns(x, r); }, a, row);
    require_agreement(
        once, [](auto const& x, auto const& c) { return scale_rows(x, c); }, a, column);
    require_agreement(
        once, [](auto const& x, auto const& r) { return add_to_rows(x, r); }, a, row);
    // exp amplifies a relative error by |x| <= 2; the result is below 2.
    require_agreement(
        rounding<T>(6, 2), [](auto const& x) { return silu(x); }, a);
    require_agreement(
        0, [](auto const& x) { return transpose(x); }, a);
}

TEMPLATE_TEST_CASE("eigen_matrix: reciprocals and roots agree with the plain matrix", "[readings]", float,
                   double) {
    using T = TestType;
    auto const [n, m] = GENERATE(shapes());
    CAPTURE(n, m);
    cm::random_source random(20 * n + m);
    both<T> a = random_matrix<T>(n, m, random);
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = 0; j < m; ++j) a.by_hand(i, j) = a.by_eigen(i, j) += T(3);  // in [1, 5]
    double const twice = rounding<T>(2, 1);
    require_agreement(
        twice, [](auto const& x) { return reciprocal(x); }, a);
    require_agreement(
        twice, [](auto const& x) { return rsqrt(x); }, a);
}

TEMPLATE_TEST_CASE("eigen_matrix: products agree with the plain matrix, over no columns too", "[readings]",
                   float, double) {
    using T = TestType;
    auto const [n, m] = GENERATE(shapes());
    std::size_t const inner =
        GENERATE(std::size_t{0}, std::size_t{1}, std::size_t{2}, std::size_t{9}, std::size_t{40});
    CAPTURE(n, m, inner);
    cm::random_source random(n + 100 * m + inner);
    auto const a = random_matrix<T>(n, inner, random), b = random_matrix<T>(inner, m, random),
               c = random_matrix<T>(m, inner, random);
    double const tolerance = rounding<T>(inner, 4 * static_cast<double>(inner));
    require_agreement(
        tolerance, [](auto const& x, auto const& y) { return product(x, y); }, a, b);
    require_agreement(
        tolerance, [](auto const& x, auto const& y) { return product_transposed(x, y); }, a, c);
    if (inner != 0)
        require_agreement(
            rounding<T>(inner, 4), [](auto const& x) { return mean_square_rows(x); }, a);
}

TEMPLATE_TEST_CASE("eigen_matrix: causal softmax sees each row's past only, from any position", "[readings]",
                   float, double) {
    using T = TestType;
    std::size_t const tokens = GENERATE(std::size_t{0}, std::size_t{1}, std::size_t{2}, std::size_t{7});
    std::size_t const first = GENERATE(std::size_t{0}, std::size_t{1}, std::size_t{5});
    CAPTURE(tokens, first);
    cm::random_source random(first + 10 * tokens);
    auto const a = random_matrix<T>(tokens, first + tokens, random);
    require_agreement(
        rounding<T>(first + tokens + 4, 1), [&](auto const& x) { return causal_softmax(x, first); }, a);
    auto const p = causal_softmax(a.by_eigen, first);
    for (std::size_t i = 0; i < tokens; ++i) {
        T sum = 0;
        for (std::size_t j = 0; j < p.cols(); ++j) {
            CHECK((p(i, j) > 0) == (j <= first + i));
            sum += p(i, j);
        }
        CHECK(std::abs(static_cast<double>(sum) - 1) <= rounding<T>(p.cols(), 1));
    }
}

TEST_CASE("eigen_matrix: causal softmax of logits that would overflow exp", "[readings]") {
    auto const p = causal_softmax(cm::eigen_matrix<float>(Eigen::Matrix2f{{1e4F, 2e4F}, {1e4F, 1e4F}}), 0);
    CHECK(p(0, 0) == 1.0F);
    CHECK(p(0, 1) == 0.0F);
    CHECK(p(1, 0) == 0.5F);
    CHECK(p(1, 1) == 0.5F);
}

TEMPLATE_TEST_CASE("eigen_matrix: slices, strided or not, are read and written alike", "[readings]", float,
                   double) {
    using T = TestType;
    std::size_t const n = GENERATE(std::size_t{0}, std::size_t{1}, std::size_t{3});
    auto const s = GENERATE(cm::slice{0, 0, 1}, cm::slice{0, 9, 1}, cm::slice{2, 3, 1}, cm::slice{8, 1, 1},
                            cm::slice{0, 5, 2}, cm::slice{1, 4, 2}, cm::slice{1, 3, 3}, cm::slice{4, 1, 7});
    CAPTURE(n, s.begin, s.count, s.stride);
    cm::random_source random(n);
    auto const a = random_matrix<T>(n, 9, random), v = random_matrix<T>(n, s.count, random);
    require_agreement(
        0, [&](auto const& x) { return columns(x, s); }, a);
    auto const overwritten = [&](auto x, auto const& y) {
        set_columns(x, s, y);
        return x;
    };
    require_agreement(0, overwritten, a, v);
}

TEMPLATE_TEST_CASE("eigen_matrix: blocks of rows and gathered rows and columns agree", "[readings]", float,
                   double) {
    using T = TestType;
    cm::random_source random(5);
    auto const a = random_matrix<T>(6, 4, random), none = random_matrix<T>(0, 4, random);
    for (auto const& [begin, count] : {std::pair<std::size_t, std::size_t>{0, 6}, {2, 3}, {5, 1}, {6, 0}}) {
        CAPTURE(begin, count);
        auto const v = random_matrix<T>(count, 4, random);
        require_agreement(
            0, [&, b = begin, c = count](auto const& x) { return row_block(x, b, c); }, a);
        auto const overwritten = [b = begin](auto x, auto const& y) {
            set_row_block(x, b, y);
            return x;
        };
        require_agreement(0, overwritten, a, v);
        require_agreement(
            0, [](auto const& x, auto const& y) { return append_rows(x, y); }, a, v);
        require_agreement(
            0, [](auto const& x, auto const& y) { return append_rows(y, x); }, a, v);
    }
    require_agreement(
        0, []<class M>(M const& x) { return append_rows(M{}, x); }, a);
    for (auto const& ids : {std::vector<int>{}, {3}, {5, 0, 0, 2}})
        require_agreement(
            0, [&](auto const& x) { return gather_rows(x, std::span<int const>(ids)); }, a);
    for (auto const& order : {std::vector<std::size_t>{}, {1}, {3, 0, 2, 1, 1}}) {
        auto const gathered = [&](auto const& x) {
            return gather_columns(x, std::span<std::size_t const>(order));
        };
        require_agreement(0, gathered, a);
        require_agreement(0, gathered, none);
    }
}

TEMPLATE_TEST_CASE("eigen_matrix: both pairings split a head alike and leave the rest", "[readings]", float,
                   double) {
    using T = TestType;
    std::size_t const n = GENERATE(std::size_t{0}, std::size_t{1}, std::size_t{4});
    std::size_t const rotary_dim = GENERATE(std::size_t{0}, std::size_t{2}, std::size_t{6}, std::size_t{8});
    auto const pairs = GENERATE(cm::pairing::half_split, cm::pairing::interleaved);
    CAPTURE(n, rotary_dim, pairs == cm::pairing::interleaved);
    cm::random_source random(rotary_dim);
    auto const a = random_matrix<T>(n, 8, random);
    auto const mixed = [&](auto const& x) {
        return cm::mapped_pairs(x, pairs, rotary_dim, []<class M>(M const& x1, M const& x2) {
            return std::pair(x1 - x2, scaled(x1, typename M::scalar(2)));
        });
    };
    require_agreement(rounding<T>(1, 4), mixed, a);
    auto const y = mixed(a.by_hand);
    std::size_t const second = pairs == cm::pairing::interleaved ? 1 : rotary_dim / 2;
    if (n != 0 && rotary_dim != 0) CHECK(y(0, second) == 2 * a.by_hand(0, 0));
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = rotary_dim; j < 8; ++j) CHECK(y(i, j) == a.by_hand(i, j));
}

TEMPLATE_TEST_CASE("eigen_matrix: blocks of columns and of rows are mapped alike", "[readings]", float,
                   double) {
    using T = TestType;
    cm::random_source random(9);
    auto const a = random_matrix<T>(6, 6, random);
    std::size_t const width = GENERATE(std::size_t{1}, std::size_t{2}, std::size_t{6});
    CAPTURE(width);
    auto const times_index = []<class M>(std::size_t i, M const& block) {
        return scaled(block, typename M::scalar(static_cast<int>(i) + 1));
    };
    double const tolerance = rounding<T>(1, 12);
    require_agreement(
        tolerance, [&](auto const& x) { return cm::mapped_column_blocks(x, width, times_index); }, a);
    auto const updated_columns = [&](auto x) {
        cm::update_column_blocks(x, width, times_index);
        return x;
    };
    auto const updated_rows = [&](auto x) {
        cm::update_row_blocks(x, width, times_index);
        return x;
    };
    require_agreement(tolerance, updated_columns, a);
    require_agreement(tolerance, updated_rows, a);
}

TEMPLATE_TEST_CASE("eigen_matrix: inverses agree up to the condition number", "[readings]", float, double) {
    using T = TestType;
    std::size_t const n =
        GENERATE(std::size_t{0}, std::size_t{1}, std::size_t{2}, std::size_t{5}, std::size_t{16});
    CAPTURE(n);
    cm::random_source random(n);
    both<T> a = random_matrix<T>(n, n, random);
    for (std::size_t i = 0; i < n; ++i) a.by_hand(i, i) = a.by_eigen(i, i) += static_cast<T>(2 * n);
    // Rows are diagonally dominant: |A^-1| <= 1, condition number below 4 n.
    require_agreement(
        rounding<T>(4 * n * n, 1), [](auto const& x) { return inverse(x); }, a);
}

TEMPLATE_TEST_CASE("eigen_matrix: a singular matrix has no inverse, and the refusal says so", "[readings]",
                   float, double) {
    cm::eigen_matrix<TestType> a(2, 2);
    CHECK_THROWS_AS(inverse(a), std::domain_error);
    a(0, 0) = 1, a(0, 1) = 2, a(1, 0) = 2, a(1, 1) = 4;
    CHECK_THROWS_WITH(inverse(a), Catch::Contains("inverse: the 2 x 2 matrix is singular") &&
                                      Catch::Contains("expected an invertible one"));
    a(1, 1) = std::numeric_limits<TestType>::quiet_NaN();
    CHECK_THROWS_AS(inverse(a), std::domain_error);
    a(1, 1) = 5;
    CHECK_NOTHROW(inverse(a));
}

TEST_CASE("eigen_matrix: large products are those of single elements", "[readings]") {
    // Beyond every blocking size of the GEMM.
    std::size_t const n = 150, inner = 300;
    cm::random_source random(1);
    auto const a = random_matrix<double>(n, inner, random), b = random_matrix<double>(n, inner, random);
    require_agreement(
        rounding<double>(inner, 4.0 * inner),
        [](auto const& x, auto const& y) { return product_transposed(x, y); }, a, b);
}
