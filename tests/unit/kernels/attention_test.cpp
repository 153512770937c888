// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

#include "commutant/kernels/attention.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <random>
#include <span>
#include <vector>

#include "commutant/quant/fake_quantize.hpp"
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

std::vector<float> gaussian(std::size_t n, unsigned seed) {
    std::vector<float> x(n);
    fill_gaussian(x, seed);
    return x;
}

bool same_bits(std::span<float const> a, std::span<float const> b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

// Keys and values in a cache and, rounded in the same way, in the open.
struct filled_cache {
    k::kv_cache_format format;
    std::vector<float> keys, values;
    guarded_buffer<std::byte> memory;
    k::kv_cache_view view;

    filled_cache(k::kv_cache_format const& f, std::size_t n, unsigned seed)
        : format(f),
          keys(gaussian(n * f.row_size(), seed)),
          values(gaussian(n * f.row_size(), seed + 1)),
          memory(k::kv_cache_bytes(f)) {
        int const zero = f.num_bits == 16 ? 0 : 1;
        float const steps = f.num_bits == 16 ? 1.0F : static_cast<float>(1 << (f.num_bits - 1));
        view = k::kv_cache_view(f, memory.elements(), {3 / steps, zero}, {2.5F / steps, -zero});
        for (std::byte& b : memory.elements()) b = std::byte{0xFF};  // NaN, where floats are read
        append(view, keys, values);
        if (f.dynamic) {
            cm::fake_quantize_per_token_in_place(std::span(keys), f.row_size(), f.num_bits, f.symmetric);
            cm::fake_quantize_per_token_in_place(std::span(values), f.row_size(), f.num_bits, f.symmetric);
        } else {
            cm::fake_quantize_in_place(std::span(keys),
                                       cm::grid{view.key_grid.scale, zero, f.num_bits, false});
            cm::fake_quantize_in_place(std::span(values),
                                       cm::grid{view.value_grid.scale, -zero, f.num_bits, false});
        }
    }
};

// Attention written down, in double.
std::vector<double> plain_attention(filled_cache const& c, std::span<float const> queries,
                                    std::size_t n_heads, std::size_t first_position, double scale) {
    std::size_t const dim = c.format.head_dim, n_rep = n_heads / c.format.n_kv_heads,
                      row = c.format.row_size();
    std::vector<double> out(queries.size()), p;
    for (std::size_t i = 0; i < queries.size() / (n_heads * dim); ++i)
        for (std::size_t h = 0; h < n_heads; ++h) {
            float const* const q = queries.data() + (i * n_heads + h) * dim;
            std::size_t const g = h / n_rep, seen = first_position + i + 1;
            p.assign(seen, 0);
            double max = -1e300, sum = 0;
            for (std::size_t t = 0; t < seen; ++t) {
                for (std::size_t d = 0; d < dim; ++d)
                    p[t] += static_cast<double>(q[d]) * static_cast<double>(c.keys[t * row + g * dim + d]);
                p[t] *= scale;
                max = std::max(max, p[t]);
            }
            for (double& v : p) sum += v = std::exp(v - max);
            for (std::size_t t = 0; t < seen; ++t)
                for (std::size_t d = 0; d < dim; ++d)
                    out[(i * n_heads + h) * dim + d] +=
                        p[t] / sum * static_cast<double>(c.values[t * row + g * dim + d]);
        }
    return out;
}

double largest(std::span<float const> x) {
    double size = 0;
    for (float const v : x) size = std::max(size, std::fabs(static_cast<double>(v)));
    return size;
}

double largest_difference(std::span<float const> a, std::span<double const> b) {
    double worst = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
        worst = std::max(worst, std::fabs(static_cast<double>(a[i]) - b[i]));
    return worst;
}

// The same bits whichever side of the queries' memory is against a page that nobody may touch.
std::vector<float> attended(k::kv_cache_view const& c, std::span<float const> queries, std::size_t n_heads,
                            std::size_t first_position, float scale, k::executor run = {}) {
    std::size_t const tokens = queries.size() / (n_heads * c.format.head_dim);
    std::vector<float> results[2];
    for (against const side : {against::begin, against::end}) {
        guarded_buffer<float> q(queries.size(), side), out(queries.size(), side);
        std::copy(queries.begin(), queries.end(), q.data());
        guarded_buffer<float> workspace(
            run.n_workers() * k::attention_workspace(c.format, n_heads, tokens, first_position + tokens),
            side);
        fill_gaussian(workspace.elements(), 77);
        k::attention(q.elements(), n_heads, c, first_position, scale, out.elements(), workspace.elements(),
                     run);
        results[side == against::end].assign(out.elements().begin(), out.elements().end());
    }
    REQUIRE(same_bits(results[0], results[1]));
    return results[1];
}

// Float rounding of sums of up to 128 and 300 terms, in units of the largest value that is mixed.
constexpr double attention_tolerance = 1e-6;

}  // namespace

TEST_CASE("attention: agrees with plain attention in double over the rounded keys and values",
          "[kernels][attention]") {
    struct shape {
        std::size_t n_kv_heads, head_dim, n_rep, first_position, tokens;
    };
    std::vector<shape> const shapes{
        {2, 8, 1, 0, 1},     {1, 8, 4, 16, 1},   {2, 48, 4, 15, 2},  {1, 64, 8, 130, 1}, {2, 80, 1, 299, 1},
        {1, 128, 4, 300, 1}, {1, 36, 4, 0, 40},  {2, 64, 1, 63, 66}, {1, 96, 8, 0, 20},  {1, 128, 4, 100, 30},
        {1, 40, 3, 7, 25},   {1, 128, 1, 0, 17}, {1, 1, 2, 5, 30},   {1, 16, 20, 3, 2},  {1, 32, 5, 120, 12}};
    for (auto const& s : shapes)
        for (int const bits : {3, 4, 8, 16})
            for (bool const dynamic : {false, true}) {
                if (dynamic && bits == 16) continue;
                std::size_t const positions = s.first_position + s.tokens, n_heads = s.n_kv_heads * s.n_rep;
                filled_cache const c({s.n_kv_heads, s.head_dim, positions, bits, dynamic, false}, positions,
                                     1);
                std::vector<float> const q = gaussian(s.tokens * n_heads * s.head_dim, 3);
                float const scale = 1 / std::sqrt(static_cast<float>(s.head_dim));
                std::vector<float> const y = attended(c.view, q, n_heads, s.first_position, scale);
                CAPTURE(s.n_kv_heads, s.head_dim, s.n_rep, s.first_position, s.tokens, bits, dynamic);
                CHECK(largest_difference(y, plain_attention(c, q, n_heads, s.first_position, scale)) <
                      attention_tolerance * largest(c.values));
            }
}

TEST_CASE("attention: every context up to 300 agrees with plain attention", "[kernels][attention]") {
    filled_cache const c({1, 16, 301, 4, false, false}, 301, 5);
    std::vector<float> const q = gaussian(301 * 2 * 16, 6);
    std::vector<double> const expected = plain_attention(c, q, 2, 0, 0.25);
    std::vector<float> one_by_one;
    for (std::size_t t = 0; t < 301; ++t) {
        std::vector<float> const y = attended(c.view, std::span(q).subspan(t * 32, 32), 2, t, 0.25F);
        one_by_one.insert(one_by_one.end(), y.begin(), y.end());
    }
    CHECK(largest_difference(one_by_one, expected) < attention_tolerance * largest(c.values));
}

TEST_CASE("attention: the bits depend neither on how many tokens come at a time nor on the workers",
          "[kernels][attention]") {
    for (int const bits : {4, 8, 16})
        for (bool const dynamic : {false, true}) {
            if (dynamic && bits == 16) continue;
            std::size_t const tokens = 150, n_heads = 6, row = n_heads * 24;
            filled_cache const c({2, 24, tokens, bits, dynamic, false}, tokens, 8);
            std::vector<float> const q = gaussian(tokens * row, 9);
            std::vector<float> const at_once = attended(c.view, q, n_heads, 0, 0.2F);
            CAPTURE(bits, dynamic);
            for (std::size_t const step : {1U, 2U, 5U, 64U, 149U}) {
                std::vector<float> pieces;
                for (std::size_t t = 0; t < tokens; t += step) {
                    std::size_t const n = std::min(step, tokens - t);
                    std::vector<float> const y =
                        attended(c.view, std::span(q).subspan(t * row, n * row), n_heads, t, 0.2F);
                    pieces.insert(pieces.end(), y.begin(), y.end());
                }
                CAPTURE(step);
                CHECK(same_bits(pieces, at_once));
            }
            k::thread_pool pool(3);
            CHECK(same_bits(attended(c.view, q, n_heads, 0, 0.2F, pool), at_once));
        }
}

TEST_CASE("attention: output may be the queries; positions behind the last token do not count",
          "[kernels][attention]") {
    filled_cache const c({2, 24, 90, 4, false, false}, 90, 10);
    std::vector<float> q = gaussian(50 * 8 * 24, 11);
    std::vector<float> const expected = attended(c.view, q, 8, 3, 0.2F);
    filled_cache const shorter({2, 24, 90, 4, false, false}, 53, 10);
    std::vector<float> workspace(k::attention_workspace(c.format, 8, 50, 53));
    k::attention(q, 8, c.view, 3, 0.2F, q, workspace);
    CHECK(same_bits(q, expected));
}

TEST_CASE("attention_workspace: enough for any call with fewer tokens and positions",
          "[kernels][attention]") {
    for (int const bits : {4, 16}) {
        k::kv_cache_format const f{8, 128, 8192, bits, false, false};
        for (std::size_t const positions : {100U, 1024U, 1025U, 2049U, 8192U}) {
            std::size_t const enough = k::attention_workspace(f, 32, 2048, positions);
            for (std::size_t const p : {1U, 50U, 1000U, 1024U, 2048U, 8000U})
                for (std::size_t const t : {1U, 4U, 5U, 100U, 2048U})
                    if (p <= positions && t <= p)
                        CHECK(k::detail::attention_plan(f, 32, t, p).total <= enough);
        }
    }
}

TEST_CASE("attention_scores, attention_mix: agree with the same in double", "[kernels][attention]") {
    for (int const bits : {4, 8, 16})
        for (bool const dynamic : {false, true}) {
            if (dynamic && bits == 16) continue;
            std::size_t const dim = 36, positions = 131, rows = 19;
            filled_cache const c({2, dim, 140, bits, dynamic, false}, 140, 12);
            guarded_buffer<float> q(rows * dim), scores(rows * positions), mixed(rows * dim),
                p(rows * positions);
            fill_gaussian(q.elements(), 13);
            k::attention_scores(q.elements(), c.view, 1, 0.125F, positions, scores.elements());
            std::vector<double> expected(scores.size()), expected_mix(mixed.size());
            for (std::size_t i = 0; i < rows; ++i)
                for (std::size_t t = 0; t < positions; ++t)
                    for (std::size_t d = 0; d < dim; ++d)
                        expected[i * positions + t] += 0.125 * static_cast<double>(q[i * dim + d]) *
                                                       static_cast<double>(c.keys[t * 2 * dim + dim + d]);
            CAPTURE(bits, dynamic);
            CHECK(largest_difference(scores.elements(), expected) <
                  attention_tolerance * largest(scores.elements()));
            fill_gaussian(p.elements(), 14);
            for (float& v : p.elements()) v *= 0.1F;
            k::attention_mix(p.elements(), c.view, 1, positions, mixed.elements());
            for (std::size_t i = 0; i < rows; ++i)
                for (std::size_t t = 0; t < positions; ++t)
                    for (std::size_t d = 0; d < dim; ++d)
                        expected_mix[i * dim + d] += static_cast<double>(p[i * positions + t]) *
                                                     static_cast<double>(c.values[t * 2 * dim + dim + d]);
            CHECK(largest_difference(mixed.elements(), expected_mix) <
                  attention_tolerance * largest(c.values));
        }
}

namespace {

// An operand with everything around it, in guarded memory.
struct test_operand {
    guarded_buffer<std::byte> words;
    guarded_buffer<float> offsets;
    k::detail::operand o;

    test_operand(k::kv_storage s, int kind, bool lanes_apart, std::size_t terms, std::size_t blocks,
                 against side)
        : words(4 * blocks * k::detail::words_for(terms, s) * 16, side),
          offsets(kind == 2   ? terms
                  : kind == 1 ? 16 * blocks
                              : 16,
                  side) {
        std::mt19937 engine(static_cast<unsigned>(terms * 31 + blocks));
        if (s == k::kv_storage::float32) {
            for (std::size_t i = 0; i < words.size(); i += 4) {
                float const v = std::normal_distribution<float>()(engine);
                std::memcpy(words.data() + i, &v, 4);
            }
        } else {
            for (std::byte& b : words.elements()) b = static_cast<std::byte>(engine());
        }
        for (float& v : offsets.elements())
            v = 8388608.0F +
                static_cast<float>(kind == 0 ? 7 : engine() % (s == k::kv_storage::int4 ? 16 : 256));
        std::size_t const groups = k::detail::words_for(terms, s);
        o = {s,
             kind == 2,
             words.data(),
             lanes_apart ? groups * 16 : 16,
             lanes_apart ? 16 : blocks * 16,
             offsets.data(),
             kind == 0   ? std::size_t{0}
             : kind == 1 ? std::size_t{16}
                         : std::size_t{1}};
    }
};

}  // namespace

TEST_CASE("multiply, expand: every body gives the bits of the scalar one", "[kernels][attention]") {
    for (auto const s : {k::kv_storage::int4, k::kv_storage::int8, k::kv_storage::float32})
        for (int kind = 0; kind < 3; ++kind)
            for (std::size_t const terms : {0U, 1U, 3U, 4U, 7U, 8U, 9U, 17U, 128U})
                for (std::size_t const blocks : {0U, 1U, 2U, 3U, 4U, 5U, 8U, 9U}) {
                    against const side = terms % 2 == 0 ? against::end : against::begin;
                    test_operand const t(s, kind, blocks % 2 == 0, terms, blocks, side);
                    guarded_buffer<float> tile(terms * blocks * 16, side),
                        expected(terms * blocks * 16, side);
                    k::detail::expand_scalar(&t.o, terms, blocks, expected.data());
                    CAPTURE(static_cast<int>(s), kind, terms, blocks);
                    for (auto const& b : k::detail::expand_bodies) {
                        if (!k::is_supported(b.level)) continue;
                        CAPTURE(to_string(b.level));
                        b.function(&t.o, terms, blocks, tile.data());
                        REQUIRE(same_bits(tile.elements(), expected.elements()));
                    }
                    for (std::size_t const rows : {0U, 1U, 2U, 3U, 4U, 5U, 6U, 7U, 8U, 11U, 12U, 13U, 16U}) {
                        if (terms == 128 && rows > 8) continue;
                        std::size_t const stride = blocks * 16;
                        guarded_buffer<float> coefficients(rows * terms, side), y(rows * stride, side),
                            z(rows * stride, side);
                        fill_gaussian(coefficients.elements(), 20);
                        fill_gaussian(z.elements(), 21);
                        std::vector<float> const start(z.elements().begin(), z.elements().end());
                        bool const accumulate = rows % 2 == 0;
                        k::detail::product p{
                            coefficients.data(), terms, rows, terms, blocks, z.data(), stride, accumulate};
                        k::detail::multiply_scalar(&p, &t.o);
                        for (auto const& b : k::detail::multiply_bodies) {
                            if (!k::is_supported(b.level)) continue;
                            std::copy(start.begin(), start.end(), y.elements().begin());
                            p.out = y.data();
                            b.function(&p, &t.o);
                            CAPTURE(rows, to_string(b.level));
                            REQUIRE(same_bits(y.elements(), z.elements()));
                        }
                    }
                }
}
