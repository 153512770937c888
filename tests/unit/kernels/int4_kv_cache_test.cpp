// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

#include "commutant/kernels/int4_kv_cache.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <limits>
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

std::vector<float> gaussian(std::size_t n, unsigned seed) {
    std::mt19937 engine(seed);
    std::normal_distribution<float> normal;
    std::vector<float> x(n);
    for (float& v : x) v = normal(engine);
    return x;
}

std::uint32_t word(std::byte const* memory, std::size_t i) {
    std::uint32_t w = 0;
    std::memcpy(&w, memory + 4 * i, 4);
    return w;
}

std::size_t up(std::size_t n, std::size_t unit) { return (n + unit - 1) / unit * unit; }

// What the cache holds, read by the documented layout alone.
struct reader {
    k::kv_cache_view const& c;
    std::size_t per_word = c.format.num_bits <= 4 ? 8 : c.format.num_bits <= 8 ? 4 : 1;
    std::size_t groups = (c.format.head_dim + per_word - 1) / per_word;
    std::size_t key_words = up(c.format.capacity, 16) * groups;
    std::size_t value_words = (c.format.capacity + per_word - 1) / per_word * up(c.format.head_dim, 16);

    float key(std::size_t t, std::size_t h, std::size_t d) const {
        std::size_t const i = h * key_words + (t / 16 * groups + d / per_word) * 16 + t % 16;
        return value_of(word(c.memory, i), d % per_word, c.key_grid, 0, t);
    }
    float value(std::size_t t, std::size_t h, std::size_t d) const {
        std::size_t const i =
            c.format.n_kv_heads * key_words + h * value_words + t / per_word * up(c.format.head_dim, 16) + d;
        return value_of(word(c.memory, i), t % per_word, c.value_grid, 2, t);
    }

private:
    float value_of(std::uint32_t w, std::size_t part, k::kv_grid g, std::size_t table, std::size_t t) const {
        float x = 0;
        if (per_word == 1) {
            std::memcpy(&x, &w, 4);
            return x;
        }
        unsigned const bits = per_word == 8 ? 4 : 8;
        auto const stored = static_cast<int>(w >> (bits * part) & ((1U << bits) - 1));
        int zero = (1 << (bits - 1)) + g.zero_point;
        float scale = g.scale;
        if (c.format.dynamic) {
            std::byte const* const tables = c.memory + 4 * c.format.n_kv_heads * (key_words + value_words);
            std::size_t const n = up(c.format.capacity, 16);
            float offset = 0;
            std::memcpy(&scale, tables + 4 * (table * n + t), 4);
            std::memcpy(&offset, tables + 4 * ((table + 1) * n + t), 4);
            zero = static_cast<int>(offset - 8388608.0F);
        }
        return scale * static_cast<float>(stored - zero);
    }
};

}  // namespace

TEST_CASE("kv_cache: keys and values come back as the nearest values of their grids", "[kernels][kv_cache]") {
    for (int const bits : {2, 3, 4, 5, 8, 16})
        for (std::size_t const head_dim : {1U, 8U, 36U, 80U, 130U})
            for (against const side : {against::end, against::begin}) {
                k::kv_cache_format const f{2, head_dim, 37, bits, false, false};
                int const zero = bits == 2 ? 1 : -2;
                k::kv_grid const keys{0.37F, zero}, values{0.11F, -zero};
                guarded_buffer<std::byte> memory(k::kv_cache_bytes(f), side);
                for (std::byte& b : memory.elements()) b = std::byte{0xFF};
                k::kv_cache_view cache(f, memory.elements(), keys, values);
                std::vector<float> x = gaussian(37 * f.row_size(), 1), y = gaussian(37 * f.row_size(), 2);
                // in three pieces
                std::size_t const row = f.row_size();
                std::size_t first = 0;
                for (std::size_t const tokens : {5U, 20U, 12U}) {
                    guarded_buffer<float> some_keys(tokens * row, side), some_values(tokens * row, side);
                    std::copy_n(x.data() + first * row, tokens * row, some_keys.data());
                    std::copy_n(y.data() + first * row, tokens * row, some_values.data());
                    append(cache, some_keys.elements(), some_values.elements());
                    first += tokens;
                }
                REQUIRE(cache.length == 37);
                cm::fake_quantize_in_place(std::span(x), cm::grid{keys.scale, keys.zero_point, bits, false});
                cm::fake_quantize_in_place(std::span(y),
                                           cm::grid{values.scale, values.zero_point, bits, false});
                reader const r{cache};
                int wrong = 0;
                for (std::size_t t = 0; t < 37; ++t)
                    for (std::size_t h = 0; h < 2; ++h)
                        for (std::size_t d = 0; d < head_dim; ++d) {
                            std::size_t const i = t * row + h * head_dim + d;
                            wrong += r.key(t, h, d) != x[i] || r.value(t, h, d) != y[i] ? 1 : 0;
                        }
                CAPTURE(bits, head_dim);
                CHECK(wrong == 0);
            }
}

TEST_CASE("kv_cache: grids per token are those of dynamic fake quantisation", "[kernels][kv_cache]") {
    for (int const bits : {2, 4, 8})
        for (bool const symmetric : {false, true}) {
            k::kv_cache_format const f{3, 20, 33, bits, true, symmetric};
            guarded_buffer<std::byte> memory(k::kv_cache_bytes(f));
            k::kv_cache_view cache(f, memory.elements());
            std::vector<float> x = gaussian(33 * 60, 3), y = gaussian(33 * 60, 4);
            for (std::size_t i = 0; i < 60; ++i) {
                x[4 * 60 + i] = 0;                         // a row of zeros
                y[5 * 60 + i] = std::fabs(y[5 * 60 + i]);  // a row without negative numbers
                x[6 * 60 + i] *= 1e-40F;                   // below the smallest scale
            }
            append(cache, x, y);
            cm::fake_quantize_per_token_in_place(std::span(x), 60, bits, symmetric);
            cm::fake_quantize_per_token_in_place(std::span(y), 60, bits, symmetric);
            reader const r{cache};
            int wrong = 0;
            for (std::size_t t = 0; t < 33; ++t)
                for (std::size_t i = 0; i < 60; ++i)
                    wrong += r.key(t, i / 20, i % 20) != x[t * 60 + i] ||
                             r.value(t, i / 20, i % 20) != y[t * 60 + i];
            CAPTURE(bits, symmetric);
            CHECK(wrong == 0);
        }
}

TEST_CASE("kv_cache: a row that is not finite has NaN for a scale and leaves other rows alone",
          "[kernels][kv_cache]") {
    for (float const bad :
         {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::quiet_NaN(),
          std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
        k::kv_cache_format const f{1, 16, 3, 4, true, false};
        std::vector<std::byte> memory(k::kv_cache_bytes(f));
        k::kv_cache_view cache(f, memory);
        std::vector<float> x = gaussian(48, 5), y = gaussian(48, 6);
        x[16 + 7] = bad;
        append(cache, x, y);
        reader const r{cache};
        CHECK(std::isnan(r.key(1, 0, 0)));
        CHECK(std::isfinite(r.value(1, 0, 0)));
        CHECK(std::isfinite(r.key(0, 0, 0)));
        CHECK(std::isfinite(r.key(2, 0, 0)));
    }
}

TEST_CASE("kv_cache: every code of every position comes back, also over positions that were dropped",
          "[kernels][kv_cache]") {
    for (int const bits : {4, 8}) {
        int const n_codes = 1 << bits;
        k::kv_cache_format const f{1, static_cast<std::size_t>(n_codes), 40, bits, false, false};
        std::vector<std::byte> memory(k::kv_cache_bytes(f));
        k::kv_cache_view cache(f, memory, {1, 0}, {1, 0});
        std::vector<float> x(f.head_dim), y(f.head_dim);
        auto const fill = [&](std::size_t t) {
            for (int i = 0; i < n_codes; ++i) {
                x[static_cast<std::size_t>(i)] =
                    static_cast<float>((i + static_cast<int>(t)) % n_codes - n_codes / 2);
                y[static_cast<std::size_t>(i)] =
                    static_cast<float>((3 * i + static_cast<int>(t)) % n_codes - n_codes / 2);
            }
        };
        for (std::size_t t = 0; t < 40; ++t) {
            fill(39 - t);
            append(cache, x, y);
        }
        cache.length = 5;
        for (std::size_t t = 5; t < 40; ++t) {
            fill(t);
            append(cache, x, y);
        }
        reader const r{cache};
        int wrong = 0;
        for (std::size_t t = 0; t < 40; ++t) {
            fill(t < 5 ? 39 - t : t);
            for (std::size_t d = 0; d < f.head_dim; ++d)
                wrong += r.key(t, 0, d) != x[d] || r.value(t, 0, d) != y[d];
        }
        CHECK(wrong == 0);
    }
}

TEST_CASE("kv_cache: every body stores the codes that the scalar one stores", "[kernels][kv_cache]") {
    float const nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
    for (auto const& b : k::detail::store_codes_bodies) {
        if (!k::is_supported(b.level)) continue;
        CAPTURE(to_string(b.level));
        for (int const bits : {2, 4, 8})
            for (int const zero : {-(1 << (bits - 1)), 0, (1 << (bits - 1)) - 1}) {
                k::kv_cache_format const f{1, 1, 1, bits, false, false};
                k::detail::code_rule const rule = k::detail::code_rule_of({0.25F, zero}, f);
                for (std::size_t n = 0; n <= 130; ++n)
                    for (against const side : {against::end, against::begin}) {
                        guarded_buffer<float> x(n, side);
                        for (std::size_t i = 0; i < n; ++i)
                            x[i] = (static_cast<float>(i * 37 % 101) - 50) *
                                   static_cast<float>(1 << (bits - 2)) / 64;
                        if (n > 3) x[0] = nan, x[1] = inf, x[2] = -inf, x[3] = -0.0F;
                        guarded_buffer<std::uint8_t> one(n, side), other(n, side);
                        b.function(x.data(), n, &rule, one.data());
                        k::detail::store_codes_scalar(x.data(), n, &rule, other.data());
                        REQUIRE((n == 0 || std::memcmp(one.data(), other.data(), n) == 0));
                    }
            }
    }
}
