// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

#include <commutant/kernels/hadamard.hpp>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <vector>

#include "support/guarded_buffer.hpp"

namespace {

using namespace commutant::kernels;
using commutant::hadamard_order;
using commutant::hadamard_side;
using commutant_test::against;
using commutant_test::guarded_buffer;

template <class T> void fill_normal(std::span<T> x, std::uint32_t seed) {
    std::mt19937 random(seed);
    std::normal_distribution<T> normal;
    for (T& v : x) v = normal(random);
}

template <class T> void fill_whole(std::span<T> x, std::uint32_t seed) {
    std::mt19937 random(seed);
    for (T& v : x) v = static_cast<T>(static_cast<int>(random() % 19) - 9);
}

/// Whose sums are often zero, of either sign.
template <class T> void fill_near_zero(std::span<T> x, std::uint32_t seed) {
    constexpr T values[4] = {T{-1}, -T{0}, T{0}, T{1}};
    std::mt19937 random(seed);
    for (T& v : x) v = values[random() % 4];
}

template <class T> bool same_bits(std::span<T const> a, std::span<T const> b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

std::vector<hadamard_order> orders() {
    std::vector<hadamard_order> r;
    for (std::size_t n = 1; n <= 32768; n *= 2) r.push_back({1, n});
    for (std::size_t const core : {12, 20, 24, 28, 36, 44, 52, 60, 68, 76, 84, 100, 108, 140, 148, 180, 344})
        for (std::size_t const width : {1, 2, 4, 8, 16, 32, 64, 128, 256})
            if (core * width <= 12000) r.push_back({core, width});
    for (hadamard_order const o :
         {hadamard_order{28, 512}, {344, 32}, {148, 128}, {108, 128}, {20, 512}, {2, 16}, {4, 4}, {64, 8}})
        r.push_back(o);
    return r;
}

/// One row in place, by the library's own slow definition.
template <class T> void apply_definition(hadamard_order order, hadamard_side side, std::span<T> x) {
    std::vector<T> scratch(commutant::hadamard_scratch_size(order));
    commutant::apply_hadamard<T>(x.data(), 1, order, commutant::hadamard_rows(order.core), scratch, side);
}

template <class T>
void run_body(detail::hadamard_function<T>* function, hadamard_plan const& plan, std::span<T> x,
              hadamard_shape shape, hadamard_factors<T> const& factors, std::span<T> scratch) {
    function(plan, detail::job_of<T>(x.data(), x.data(), shape, shape.stride(), factors, scratch.data()));
}

template <class T> void check_bodies_agree() {
    for (auto const& body : detail::hadamard_bodies<T>) {
        if (!is_supported(body.level)) continue;
        INFO(to_string(body.level));
        for (hadamard_order const order : orders()) {
            for (hadamard_side const side : {hadamard_side::plain, hadamard_side::transposed}) {
                if (order.core == 1 && side == hadamard_side::transposed) continue;
                hadamard_plan const plan(order, side);
                std::size_t const n = plan.size();
                std::size_t const n_rows = n > 4096 ? 1 : 3;
                std::size_t const n_blocks = n > 4096 ? 1 : 2;
                std::size_t const row_size = n * n_blocks;
                std::size_t const stride = row_size + 3;
                guarded_buffer<T> scratch(plan.scratch_size());
                guarded_buffer<std::uint32_t> flips((row_size + 31) / 32);
                std::mt19937 random(7);
                for (std::uint32_t& word : flips.elements()) word = random();
                guarded_buffer<T> row_scale(n_rows);
                fill_normal<T>(row_scale.elements(), 3);
                for (int const variant : {0, 1, 2, 3, 4, 6}) {
                    // A page that must not be touched in front of the rows, behind them, or one element behind, so that
                    // long rows begin at no cache line.
                    std::size_t const size = (n_rows - 1) * stride + row_size;
                    std::size_t const left_over = variant == 2 || variant == 4 ? 1 : 0;
                    guarded_buffer<T> buffer(size + left_over,
                                             variant == 1 || variant == 6 ? against::begin : against::end);
                    std::span<T> const x = buffer.elements().first(size);
                    hadamard_factors<T> factors;
                    if (variant & 1) {
                        factors.scale = T(0.3);
                        factors.row_scale = row_scale.elements();
                    }
                    if (variant & 2) factors.flips = flips.elements();
                    if (variant & 4)
                        fill_near_zero<T>(x, static_cast<std::uint32_t>(n));
                    else
                        fill_normal<T>(x, static_cast<std::uint32_t>(n));
                    std::vector<T> expected(x.begin(), x.end());
                    std::vector<T> other_scratch(plan.scratch_size());
                    hadamard_shape const shape{n_rows, row_size, stride};
                    run_body<T>(body.function, plan, x, shape, factors, scratch.elements());
                    run_body<T>(detail::hadamard_scalar<T>, plan, expected, shape, factors, other_scratch);
                    INFO(order.core << " * " << order.power_of_two << ", variant " << variant);
                    REQUIRE(same_bits<T>(x, expected));
                }
            }
        }
    }
}

}  // namespace

TEMPLATE_TEST_CASE("hadamard: whole numbers give the matrix product exactly", "[kernels][hadamard]", float,
                   double) {
    using T = TestType;
    for (hadamard_order const order : orders()) {
        for (hadamard_side const side : {hadamard_side::plain, hadamard_side::transposed}) {
            hadamard_plan const plan(order, side);
            std::vector<T> x(plan.size()), scratch(plan.scratch_size());
            fill_whole<T>(x, 5);
            std::vector<T> expected = x;
            apply_definition<T>(order, side, expected);
            hadamard_in_place(plan, std::span<T>(x), {1, plan.size()}, {}, std::span<T>(scratch));
            INFO(order.core << " * " << order.power_of_two);
            REQUIRE(x == expected);
        }
    }
}

TEMPLATE_TEST_CASE("hadamard: powers of two round as plain butterflies do", "[kernels][hadamard]", float,
                   double) {
    using T = TestType;
    for (std::size_t n = 1; n <= 32768; n *= 2) {
        hadamard_plan const plan(hadamard_order{1, n});
        std::vector<T> x(n);
        fill_normal<T>(x, 9);
        std::vector<T> expected = x;
        commutant::detail::apply_sylvester(expected.data(), 1, n);
        hadamard_in_place(plan, std::span<T>(x), {1, n}, {}, {});
        REQUIRE(same_bits<T>(x, expected));
    }
}

TEST_CASE("hadamard: the entries are those of the matrix", "[kernels][hadamard]") {
    for (hadamard_order const order : {hadamard_order{1, 64}, {12, 4}, {28, 2}, {20, 16}, {68, 2}, {76, 1}}) {
        commutant::dynamic_sign_rows const core = commutant::hadamard_rows(order.core);
        for (hadamard_side const side : {hadamard_side::plain, hadamard_side::transposed}) {
            hadamard_plan const plan(order, side);
            std::size_t const n = plan.size();
            std::vector<float> scratch(plan.scratch_size());
            for (std::size_t r = 0; r < n; ++r) {
                std::vector<float> x(n, 0.0F);
                x[r] = 1.0F;
                hadamard_in_place(plan, x, {1, n}, {}, scratch);
                for (std::size_t c = 0; c < n; ++c) {
                    bool const minus = side == hadamard_side::plain
                                           ? commutant::hadamard_entry_is_minus(core, order, r, c)
                                           : commutant::hadamard_entry_is_minus(core, order, c, r);
                    REQUIRE(x[c] == (minus ? -1.0F : 1.0F));
                }
            }
        }
    }
}

TEST_CASE("hadamard: every body rounds as the scalar body does", "[kernels][hadamard]") {
    check_bodies_agree<float>();
    check_bodies_agree<double>();
}

TEST_CASE("hadamard: H and then H^T over n is the identity", "[kernels][hadamard]") {
    for (hadamard_order const order : orders()) {
        hadamard_plan const plan(order, hadamard_side::plain);
        hadamard_plan const back(order, hadamard_side::transposed);
        std::vector<float> x(plan.size()), scratch(plan.scratch_size());
        fill_normal<float>(x, 21);
        std::vector<float> const before = x;
        hadamard_factors<float> over_root;
        over_root.scale = 1.0F / std::sqrt(static_cast<float>(plan.size()));
        hadamard_in_place(plan, x, {1, plan.size()}, over_root, scratch);
        hadamard_in_place(back, x, {1, plan.size()}, over_root, scratch);
        // Rounding errors of 2 log2(n) + core / 2 additions grow like the root of their number; 8 sigma.
        float const additions = 2.0F * std::log2(static_cast<float>(order.power_of_two)) +
                                static_cast<float>(order.core) / 2.0F + 8.0F;
        float const tolerance = 8.0F * 6e-8F * std::sqrt(additions) * 4.0F;
        for (std::size_t i = 0; i < x.size(); ++i) REQUIRE(std::abs(x[i] - before[i]) < tolerance);
    }
}

TEST_CASE("hadamard: neighbouring rows are transformed one by one", "[kernels][hadamard]") {
    for (std::size_t const n : {4, 64, 512, 48}) {
        hadamard_plan const plan(n);
        constexpr std::size_t n_rows = 5;
        std::vector<float> x(n_rows * n), scratch(plan.scratch_size());
        fill_normal<float>(x, 6);
        std::vector<float> expected = x;
        hadamard_factors<float> factors;
        factors.scale = 0.25F;
        hadamard_in_place(plan, x, {n_rows, n}, factors, scratch);
        for (std::size_t r = 0; r < n_rows; ++r)
            hadamard_in_place(plan, std::span<float>(expected).subspan(r * n, n), {1, n}, factors, scratch);
        REQUIRE(same_bits<float>(x, expected));
    }
}

TEST_CASE("hadamard: rows beyond the near caches are transformed as others are", "[kernels][hadamard]") {
    for (std::size_t const n : {256, 1024, 2048, 16384}) {
        hadamard_plan const plan(n);
        std::size_t const n_rows = detail::near_cache_size / (n * sizeof(float)) + 2;
        guarded_buffer<float> x(n_rows * n);
        fill_normal<float>(x.elements(), 8);
        std::vector<float> expected(x.elements().begin(), x.elements().end());
        hadamard_factors<float> factors;
        factors.scale = 0.25F;
        hadamard_in_place(plan, x.elements(), {n_rows, n}, factors, {});
        for (std::size_t r = 0; r < n_rows; ++r)
            hadamard_in_place(plan, std::span<float>(expected).subspan(r * n, n), {1, n}, factors, {});
        REQUIRE(same_bits<float>(x.elements(), expected));
    }
}

TEST_CASE("hadamard_quantize: codes of the transformed rows", "[kernels][hadamard]") {
    std::vector<hadamard_order> some{{1, 2},    {1, 8},     {1, 16},  {1, 64},   {1, 128}, {1, 256},
                                     {1, 1024}, {1, 8192},  {12, 4},  {12, 32},  {28, 16}, {28, 512},
                                     {20, 64},  {148, 128}, {148, 8}, {344, 32}, {52, 16}};
    for (auto const& body : detail::hadamard_bodies<float>) {
        if (!is_supported(body.level)) continue;
        INFO(to_string(body.level));
        for (hadamard_order const order : some) {
            hadamard_plan const plan(order);
            std::size_t const n = plan.size();
            constexpr std::size_t n_rows = 2;
            std::size_t const row_size = 2 * n;
            guarded_buffer<float> x(n_rows * row_size);
            fill_normal<float>(x.elements(), 4);
            guarded_buffer<float> scratch(hadamard_quantize_scratch_size(plan, row_size));
            std::vector<float> const row_scale{0.7F, -1.3F};
            std::vector<std::uint32_t> flips((row_size + 31) / 32, 0x9d2c5680U);
            hadamard_factors<float> const factors{1.0F / std::sqrt(static_cast<float>(n)), row_scale, flips};
            hadamard_shape const shape{n_rows, row_size};

            std::vector<float> y(x.elements().begin(), x.elements().end());
            std::vector<float> y_scratch(plan.scratch_size());
            hadamard_factors<float> no_scale;
            no_scale.flips = flips;
            run_body<float>(detail::hadamard_scalar<float>, plan, y, shape, no_scale, y_scratch);

            code_grid const g{0.21F, 2, 4};
            guarded_buffer<std::int8_t> codes(n_rows * row_size);
            guarded_buffer<std::uint8_t> packed(n_rows * packed_int4_size(row_size));
            guarded_buffer<float> scale(n_rows);
            guarded_buffer<std::int32_t> zero_point(n_rows);
            auto const run = [&](auto const& out) {
                detail::hadamard_job<float> job = detail::job_of<float>(x.data(), scratch.data(), shape, 0,
                                                                        factors, scratch.data() + row_size);
                job.sink = detail::sink_of(out);
                body.function(plan, job);
            };
            run(static_codes{g, codes.elements()});
            for (std::size_t r = 0; r < n_rows; ++r) {
                detail::quantize_constants const c = detail::constants_of(g, factors.scale * row_scale[r]);
                for (std::size_t i = 0; i < row_size; ++i)
                    REQUIRE(codes[r * row_size + i] == detail::code_of(y[r * row_size + i], c));
            }
            run(static_nibbles{g, packed.elements()});
            for (std::size_t i = 0; i < n_rows * row_size; ++i)
                REQUIRE(detail::signed_nibble(detail::nibble_at(
                            packed.data(), {n_rows * row_size, nibble_order::interleaved, 32}, i)) ==
                        codes[i]);
            run(dynamic_codes{8, false, codes.elements(), scale.elements(), zero_point.elements()});
            for (std::size_t r = 0; r < n_rows; ++r) {
                float const factor = factors.scale * row_scale[r];
                std::vector<float> scaled(row_size);
                for (std::size_t i = 0; i < row_size; ++i) scaled[i] = y[r * row_size + i] * factor;
                code_grid const expected =
                    min_max_code_grid(detail::range_scalar(scaled.data(), row_size), 8, false);
                REQUIRE(scale[r] == expected.scale);
                REQUIRE(zero_point[r] == expected.zero_point);
                detail::quantize_constants const c = detail::constants_of(expected, factor);
                for (std::size_t i = 0; i < row_size; ++i)
                    REQUIRE(codes[r * row_size + i] == detail::code_of(y[r * row_size + i], c));
            }
        }
    }
}

TEST_CASE("hadamard_quantize: nibbles in every order are the codes, on known and on made grids",
          "[kernels][hadamard]") {
    for (hadamard_order const order : {hadamard_order{1, 64}, hadamard_order{1, 2048}, hadamard_order{12, 32},
                                       hadamard_order{28, 32}, hadamard_order{36, 16}}) {
        hadamard_plan const plan(order);
        std::size_t const n = plan.size();
        constexpr std::size_t n_rows = 3;
        guarded_buffer<float> x(n_rows * n);
        fill_normal<float>(x.elements(), 5);
        std::vector<float> scratch(hadamard_quantize_scratch_size(plan, n));
        hadamard_shape const shape{n_rows, n};
        hadamard_factors<float> const factors{1.0F / std::sqrt(static_cast<float>(n)), {}, {}};
        std::span<float const> const rows(x.elements());
        code_grid const g{0.3F, -1, 4};
        for (bool const is_dynamic : {false, true}) {
            guarded_buffer<std::int8_t> codes(n_rows * n);
            std::vector<float> scale(n_rows), scale_again(n_rows);
            std::vector<std::int32_t> zero_point(n_rows), zero_point_again(n_rows);
            if (is_dynamic)
                hadamard_quantize(plan, rows, shape, factors,
                                  dynamic_codes{4, false, codes.elements(), scale, zero_point}, scratch);
            else
                hadamard_quantize(plan, rows, shape, factors, static_codes{g, codes.elements()}, scratch);
            for (detail::nibble_run const run :
                 {detail::nibble_run{n, nibble_order::interleaved, 32},
                  detail::nibble_run{n, nibble_order::interleaved_high_first, 32},
                  detail::nibble_run{n, nibble_order::half_split, 32},
                  detail::nibble_run{n, nibble_order::half_split, 64}}) {
                guarded_buffer<std::uint8_t> packed(n_rows * packed_int4_size(n));
                if (is_dynamic)
                    hadamard_quantize(plan, rows, shape, factors,
                                      dynamic_nibbles{4, false, packed.elements(), scale_again,
                                                      zero_point_again, run.order, run.block},
                                      scratch);
                else
                    hadamard_quantize(plan, rows, shape, factors,
                                      static_nibbles{g, packed.elements(), run.order, run.block}, scratch);
                if (is_dynamic) {
                    REQUIRE(scale == scale_again);
                    REQUIRE(zero_point == zero_point_again);
                }
                bool equal = true;
                for (std::size_t r = 0; r < n_rows; ++r)
                    for (std::size_t i = 0; i < n; ++i)
                        equal = equal &&
                                detail::signed_nibble(detail::nibble_at(
                                    packed.data() + r * packed_int4_size(n), run, i)) == codes[r * n + i];
                INFO("n " << n << ", dynamic " << is_dynamic << ", block " << run.block);
                REQUIRE(equal);
            }
        }
    }
}

TEST_CASE("hadamard_plan: what has no matrix is refused by name", "[kernels][hadamard]") {
    REQUIRE_THROWS_WITH(hadamard_plan(hadamard_order{1, 3}), Catch::Contains("power_of_two is 3"));
    REQUIRE_THROWS_AS(hadamard_plan(hadamard_order{172, 64}), std::domain_error);
    REQUIRE(hadamard_plan(14336).order() == hadamard_order{28, 512});
}
