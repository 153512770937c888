// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

#include "commutant/kernels/rope.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <random>
#include <span>

#include "commutant/core/matrix.hpp"
#include "commutant/operators/rope.hpp"
#include "support/guarded_buffer.hpp"

namespace cm = commutant;
namespace k = commutant::kernels;
using commutant_test::against;
using commutant_test::guarded_buffer;

namespace {

void fill_gaussian(std::span<float> x, unsigned seed) {
    std::mt19937 engine(seed);
    std::normal_distribution<float> normal;
    for (float& v : x) v = normal(engine);
}

template <class Bodies> void check_bodies(Bodies const& bodies) {
    for (auto const& b : bodies) {
        if (!k::is_supported(b.level)) continue;
        CAPTURE(to_string(b.level));
        for (std::size_t n = 0; n <= 70; ++n)
            for (against const side : {against::end, against::begin}) {
                guarded_buffer<float> x(2 * n, side), y(2 * n, side), cosine(n, side), sine(n, side);
                fill_gaussian(x.elements(), 1);
                std::copy(x.elements().begin(), x.elements().end(), y.elements().begin());
                fill_gaussian(cosine.elements(), 2);
                fill_gaussian(sine.elements(), 3);
                b.function(x.data(), n, cosine.data(), sine.data());
                bodies.back().function(y.data(), n, cosine.data(), sine.data());
                CAPTURE(n);
                REQUIRE((n == 0 || std::memcmp(x.data(), y.data(), 2 * n * sizeof(float)) == 0));
            }
    }
}

}  // namespace

TEST_CASE("apply_rope: every body gives the bits of the scalar one", "[kernels][rope]") {
    check_bodies(k::detail::rope_half_split_bodies);
    check_bodies(k::detail::rope_interleaved_bodies);
}

TEST_CASE("apply_rope: agrees with the operator, for both pairings and partial rotation", "[kernels][rope]") {
    for (cm::pairing const p : {cm::pairing::half_split, cm::pairing::interleaved})
        for (std::size_t const head_dim : {2U, 8U, 36U, 64U, 80U, 128U})
            for (std::size_t const rotary_dim : {std::size_t{0}, head_dim / 4 * 2, head_dim}) {
                std::size_t const tokens = 5, heads = 3, row = heads * head_dim, n = rotary_dim / 2;
                using matrix = cm::matrix<double>;
                guarded_buffer<float> x(tokens * row), cosine(tokens * n), sine(tokens * n);
                fill_gaussian(x.elements(), 4);
                matrix expected(tokens, row);
                cm::rotation_table<matrix> table{matrix(tokens, n), matrix(tokens, n)};
                for (std::size_t t = 0; t < tokens; ++t) {
                    for (std::size_t i = 0; i < n; ++i) {
                        double const angle = static_cast<double>(t + 1) / static_cast<double>(i + 1);
                        cosine[t * n + i] = static_cast<float>(std::cos(angle));
                        sine[t * n + i] = static_cast<float>(std::sin(angle));
                        table.cosine(t, i) = static_cast<double>(cosine[t * n + i]);
                        table.sine(t, i) = static_cast<double>(sine[t * n + i]);
                    }
                    for (std::size_t i = 0; i < row; ++i)
                        expected(t, i) = static_cast<double>(x[t * row + i]);
                }
                expected = cm::apply_rope(expected, table, head_dim, p);
                k::apply_rope(x.elements(), row, head_dim, rotary_dim, p, cosine.elements(), sine.elements());
                double worst = 0;
                for (std::size_t t = 0; t < tokens; ++t)
                    for (std::size_t i = 0; i < row; ++i)
                        worst =
                            std::max(worst, std::fabs(expected(t, i) - static_cast<double>(x[t * row + i])));
                CAPTURE(head_dim, rotary_dim);
                CHECK(worst < 5e-7);  // an ulp of numbers up to 4
            }
}
