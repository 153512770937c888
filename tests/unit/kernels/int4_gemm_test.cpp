// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// Every body that runs here is compared with the scalar one bit for bit, the scalar one with loops over
// 64-bit integers. Every buffer lies between pages that nobody may touch and has exactly the documented size.

#include <commutant/kernels/executor.hpp>
#include <commutant/kernels/int4_gemm.hpp>
#include <commutant/kernels/int4_weights.hpp>
#include <commutant/kernels/isa.hpp>

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "support/expected_body.hpp"
#include "support/guarded_buffer.hpp"

using namespace commutant::kernels;
using commutant_test::against;
using commutant_test::guarded_buffer;

namespace {

struct numbers {
    std::uint64_t state;
    std::uint32_t operator()() {
        state = state * 6364136223846793005u + 1442695040888963407u;
        return static_cast<std::uint32_t>(state >> 33);
    }
    int between(int low, int high) {
        return low + static_cast<int>((*this)() % static_cast<std::uint32_t>(high - low + 1));
    }
    float real() { return static_cast<float>(between(-1000, 1000)) / 731.0f; }
};

enum class fill {
    any,
    least,  ///< activations mostly the least, weights at their limits
    most    ///< activations mostly the largest
};
enum class per { nothing, tensor, row };

struct options {
    std::size_t group = 0;
    int num_bits = 8;
    bool packed = false;
    fill values = fill::any;
    per scales = per::row;
    per zero_points = per::row;
    bool bias = true;
    per bias_scales = per::row;
    bool residual = true;
    bool in_place = false;
    std::size_t gap = 0;  ///< elements between rows, of codes, y and residual
    against side = against::end;
};

std::size_t count(per p, std::size_t rows) { return p == per::nothing ? 0 : p == per::tensor ? 1 : rows; }

template <class T> struct filled : guarded_buffer<T> {
    template <class F> filled(std::size_t n, against side, F make) : guarded_buffer<T>(n, side) {
        for (T& x : this->elements()) x = static_cast<T>(make());
    }
};

template <class T> struct copied : guarded_buffer<T> {
    copied(T const* from, std::size_t n) : guarded_buffer<T>(n) { std::copy_n(from, n, this->data()); }
};

constexpr float untouched = -12345.0f;

struct product {
    std::size_t m, n, k;
    options o;
    numbers random;
    std::vector<std::int8_t> weight_codes;
    std::size_t row_stride, y_stride;
    std::vector<std::int8_t> plain_codes;  // [m, row_stride]
    std::shared_ptr<int4_weights const> weights;

    product(std::size_t m_, std::size_t n_, std::size_t k_, options o_)
        : m(m_), n(n_), k(k_), o(o_), random{m_ * 1000003 + n_ * 1009 + k_}, weight_codes(n_ * k_) {
        bool const extreme = o.values != fill::any;
        // Extreme: columns of mostly 7, the largest as unsigned operand, beside columns of mostly -8.
        for (std::size_t i = 0; i < weight_codes.size(); ++i) {
            int const mostly = i / k % 2 == 0 ? 7 : -8;
            weight_codes[i] = static_cast<std::int8_t>(extreme ? (random() % 8 == 0 ? -1 - mostly : mostly)
                                                               : random.between(-8, 7));
        }
        std::vector<float> scales(n * (o.group == 0 ? 1 : k / o.group));
        for (float& s : scales) s = random.real();
        weights = std::make_shared<int4_weights>(weight_codes, n, k, scales, o.group);
        row_stride = k + o.gap;
        if (o.packed) row_stride += row_stride % 2;
        y_stride = n + o.gap;
        plain_codes.resize(m * row_stride);
        int const low = o.num_bits == 4 ? -8 : -128, high = o.packed ? 7 : o.num_bits == 4 ? 15 : 127;
        int const extreme_code = o.values == fill::most ? high : low;
        for (auto& c : plain_codes)
            c = static_cast<std::int8_t>(extreme ? (random() % 64 == 0 ? low : extreme_code)
                                                 : random.between(low, high));
    }

    std::size_t elements(std::size_t stride, std::size_t width) const { return (m - 1) * stride + width; }

    // y of a body, all elements including the gaps.
    template <class Body> std::vector<float> operator()(Body body, executor const& run = {}) const {
        numbers r{random.state + 1};
        int4_weights_view w = weights->view();
        copied const lines(w.lines, w.n_column_tiles() * w.n_steps() * 64);
        copied const weight_scales(w.scales, w.n_columns_padded() * w.n_groups());
        copied const sums(w.column_sums, 2 * w.n_columns_padded());
        copied const scaled_sums(w.scaled_column_sums, w.n_columns_padded());
        w.lines = lines.data(), w.scales = weight_scales.data(), w.column_sums = sums.data(),
        w.scaled_column_sums = scaled_sums.data();

        guarded_buffer<std::int8_t> codes(o.packed ? 0 : elements(row_stride, k), o.side);
        std::copy_n(plain_codes.begin(), codes.size(), codes.data());
        guarded_buffer<std::uint8_t> packed(o.packed ? (elements(row_stride, k) + 1) / 2 : 0, o.side);
        for (std::size_t i = 0; i < packed.size(); ++i)
            packed[i] =
                static_cast<std::uint8_t>((plain_codes[2 * i] & 15) |
                                          (2 * i + 1 < plain_codes.size() ? plain_codes[2 * i + 1] * 16 : 0));
        filled<float> const scales(count(o.scales, m), o.side, [&] { return r.real(); });
        filled<std::int32_t> const zero_points(count(o.zero_points, m), o.side,
                                               [&] { return r.between(-128, 127); });
        filled<float> const bias(o.bias ? n : 0, o.side, [&] { return r.real(); });
        filled<float> const bias_scales(count(o.bias_scales, m), o.side, [&] { return r.real(); });
        filled<float> const residual(o.residual ? elements(y_stride, n) : 0, o.side,
                                     [&] { return r.real(); });
        filled<float> y(elements(y_stride, n), o.side, [&] { return untouched; });
        if (o.in_place) std::copy_n(residual.data(), residual.size(), y.data());
        guarded_buffer<std::byte> workspace(int4_gemm_workspace_bytes(m, w, run.n_workers()));
        std::memset(workspace.data(), 0x5a, workspace.size());

        int4_activations x;
        x.codes = codes.elements(), x.packed = packed.elements();
        x.n_rows = m, x.row_stride = row_stride, x.num_bits = o.num_bits;
        x.scales = scales.elements(), x.zero_points = zero_points.elements();
        int4_gemm_epilogue e;
        e.bias = bias.elements(), e.bias_scales = bias_scales.elements();
        e.residual = o.in_place ? std::span<float const>(y.elements()) : residual.elements();
        e.residual_stride = y_stride;
        detail::int4_gemm_on(body, x, w, e, y.elements(), y_stride, workspace.elements(), run);
        return {y.elements().begin(), y.elements().end()};
    }
};

bool same_bits(std::vector<float> const& a, std::vector<float> const& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

std::string shape(product const& p) {
    return "m " + std::to_string(p.m) + ", n " + std::to_string(p.n) + ", k " + std::to_string(p.k) +
           ", group " + std::to_string(p.o.group);
}

// The body that calls go to here.
void chosen_body(detail::int4_gemm_job const& job, detail::int4_gemm_part const& part) noexcept {
    dispatched<detail::int4_gemm_bodies>::chosen().function(job, part);
}

// Every body against the scalar one.
void compare(product const& p) {
    std::vector<float> const expected = p(detail::int4_gemm_scalar);
    for (auto const& b : detail::int4_gemm_bodies) {
        if (!is_supported(b.level)) continue;
        INFO(to_string(b.level) << ": " << shape(p));
        CHECK(same_bits(p(*b.function), expected));
    }
}

std::vector<std::size_t> const row_counts{1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                          16, 17, 23, 24, 25, 29, 31, 32, 33, 36, 40, 47, 48, 63, 70};
std::vector<std::size_t> const column_counts{1,  15, 16, 17, 31, 32, 33,  47,  48,
                                             49, 63, 64, 65, 80, 96, 127, 129, 288};

}  // namespace

TEST_CASE("int4_gemm: calls go to the body this build is meant to test", "[kernels][int4_gemm]") {
    commutant_test::check_chosen_body<detail::int4_gemm_bodies>({"scalar", "avx2", "neon_dotprod"});
}

TEST_CASE("int4_gemm: with scales of 1 the result is the integer sum", "[kernels][int4_gemm]") {
    struct size {
        std::size_t m, n, k, group;
    };
    for (auto const& b : detail::int4_gemm_bodies) {
        if (!is_supported(b.level)) continue;
        for (auto const [m, n, k, group] :
             {size{5, 19, 1, 0}, size{5, 19, 7, 0}, size{5, 19, 8, 0}, size{5, 19, 9, 0}, size{5, 19, 64, 0},
              size{5, 19, 129, 0}, size{1, 65, 640, 0}, size{33, 130, 513, 0}, size{70, 48, 256, 0},
              size{1, 65, 640, 32}, size{6, 70, 384, 64}, size{17, 97, 512, 128}, size{33, 130, 256, 32}}) {
            numbers r{k};
            std::vector<std::int8_t> codes(m * k), weight_codes(n * k);
            for (auto& c : codes) c = static_cast<std::int8_t>(r.between(-128, 127));
            for (auto& w : weight_codes) w = static_cast<std::int8_t>(r.between(-8, 7));
            int4_weights const weights(weight_codes, n, k,
                                       std::vector<float>(n * (group == 0 ? 1 : k / group), 1.0f), group);
            std::vector<std::int32_t> zero_points(m);
            for (std::size_t i = 0; i < m; ++i) zero_points[i] = std::array{-128, 127, 3, 0, -1}[i % 5];
            std::vector<float> const one{1.0f};
            std::vector<float> y(m * n);
            std::vector<std::byte> workspace(int4_gemm_workspace_bytes(m, weights));
            int4_activations x;
            x.codes = codes, x.n_rows = m, x.scales = one, x.zero_points = zero_points;
            detail::int4_gemm_on(*b.function, x, weights, {}, y, 0, workspace, {});
            for (std::size_t i = 0; i < m; ++i)
                for (std::size_t j = 0; j < n; ++j) {
                    // Below 2^24, so that a float holds it and every part of it.
                    std::int64_t sum = 0;
                    for (std::size_t l = 0; l < k; ++l)
                        sum += (std::int64_t{codes[i * k + l]} - zero_points[i]) * weight_codes[j * k + l];
                    if (y[i * n + j] == static_cast<float>(sum)) continue;
                    INFO(to_string(b.level)
                         << ", k " << k << ", group " << group << ", row " << i << ", column " << j);
                    CHECK(y[i * n + j] == static_cast<float>(sum));
                }
        }
    }
}

TEST_CASE("int4_gemm: the scalar body computes the documented expression", "[kernels][int4_gemm]") {
    for (std::size_t const group : {0, 8, 32}) {
        constexpr std::size_t m = 3, n = 5, k = 64;
        numbers r{group + 1};
        std::vector<std::int8_t> codes(m * k), weight_codes(n * k);
        for (auto& c : codes) c = static_cast<std::int8_t>(r.between(-128, 127));
        for (auto& w : weight_codes) w = static_cast<std::int8_t>(r.between(-8, 7));
        std::size_t const size = group == 0 ? k : group;
        std::vector<float> weight_scales(n * k / size), scales(m), bias(n), bias_scales(m), residual(m * n),
            y(m * n);
        for (auto* const v : {&weight_scales, &scales, &bias, &bias_scales, &residual})
            for (float& f : *v) f = r.real();
        std::vector<std::int32_t> const zero_points{5, -100, 0};
        int4_weights const weights(weight_codes, n, k, weight_scales, group);
        std::vector<std::byte> workspace(int4_gemm_workspace_bytes(m, weights));
        int4_activations x;
        x.codes = codes, x.n_rows = m, x.scales = scales, x.zero_points = zero_points;
        detail::int4_gemm_on(detail::int4_gemm_scalar, x, weights, {bias, bias_scales, residual, 0}, y, 0,
                             workspace, {});
        for (std::size_t i = 0; i < m; ++i)
            for (std::size_t j = 0; j < n; ++j) {
                double sum = 0.0, magnitude = 0.0;
                for (std::size_t l = 0; l < k; ++l) {
                    double const a = scales[i] * static_cast<double>(codes[i * k + l] - zero_points[i]);
                    double const term = a * weight_scales[(j * k + l) / size] * weight_codes[j * k + l];
                    sum += term;
                    magnitude += std::abs(term);
                }
                sum += static_cast<double>(bias_scales[i]) * bias[j] + residual[i * n + j];
                // One rounding per group and four at the end, of terms that the zero point may double.
                constexpr double roundings = (64 / 8 + 4) * 2 * 6e-8;
                CHECK(std::abs(y[i * n + j] - sum) <= roundings * (magnitude + 4.0));
            }
    }
}

TEST_CASE("int4_gemm: all bodies agree bit for bit, rows and columns around every tile",
          "[kernels][int4_gemm]") {
    for (std::size_t const m : row_counts) compare({m, 81, 40, {}});
    for (std::size_t const n : column_counts) {
        compare({1, n, 24, {}});
        compare({7, n, 24, {}});
        compare({26, n, 24, {}});
    }
}

TEST_CASE("int4_gemm: all bodies agree bit for bit, inputs around every step", "[kernels][int4_gemm]") {
    for (std::size_t const k :
         {1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 72, 100, 127, 128, 136, 264, 344, 1000})
        for (std::size_t const m : {1, 4, 16, 49}) compare({m, 70, k, {}});
}

TEST_CASE("int4_gemm: all bodies agree bit for bit, more inputs than a block, more rows than a block",
          "[kernels][int4_gemm]") {
    compare({33, 20, 8200, {}});
    compare({2, 20, 8200, {}});
    compare({33, 20, 4100, {.num_bits = 4}});
    compare({33, 20, 8192, {.group = 128}});
    compare({27, 17, 10240, {.group = 5120}});
    // Rows read where they are, the last of them at the end of its memory.
    compare({96, 20, 67, {}});
    compare({96, 20, 64, {}});
    compare({485, 70, 24, {}});
    compare({997, 17, 64, {}});
    compare({997, 17, 64, {.group = 32}});
    compare({500, 17, 4160, {}});
}

TEST_CASE("int4_gemm: all bodies agree bit for bit with groups", "[kernels][int4_gemm]") {
    for (std::size_t const group : {8, 24, 32, 64, 128, 192})
        for (std::size_t const m : {1, 2, 3, 4, 5, 6, 7, 16, 37})
            for (int const num_bits : {4, 8}) compare({m, 83, 384, {.group = group, .num_bits = num_bits}});
    for (std::size_t const n : column_counts) compare({13, n, 64, {.group = 32}});
}

TEST_CASE("int4_gemm: extreme codes do not overflow", "[kernels][int4_gemm]") {
    for (fill const values : {fill::least, fill::most})
        for (int const num_bits : {4, 8})
            for (std::size_t const m : {1, 4, 12, 31}) {
                compare({m, 40, 2600, {.num_bits = num_bits, .values = values}});
                compare({m, 40, 2048, {.group = 1024, .num_bits = num_bits, .values = values}});
            }
}

TEST_CASE("int4_gemm: whole tiles to which nothing is added", "[kernels][int4_gemm]") {
    for (per const p : {per::nothing, per::tensor, per::row})
        for (std::size_t const m : {1, 5, 16, 29})
            for (std::size_t const k : {72, 4160}) {
                per const scales = p == per::nothing ? per::tensor : p;
                compare({m, 130, k, {.scales = scales, .zero_points = p, .bias = false, .residual = false}});
                compare({m, 64, k, {.zero_points = p, .bias = false, .residual = false, .gap = 5}});
            }
}

TEST_CASE("int4_gemm: the largest sums still fit", "[kernels][int4_gemm]") {
    constexpr std::size_t k = int4_max_in_features;
    product p(1, 1, k, {.values = fill::least});
    std::fill(p.plain_codes.begin(), p.plain_codes.end(), std::int8_t{-128});
    std::fill(p.weight_codes.begin(), p.weight_codes.end(), std::int8_t{-8});
    int4_weights const weights(p.weight_codes, 1, k, std::vector<float>{1.0f});
    std::vector<std::int32_t> const zero_points{127};
    std::vector<float> const one{1.0f};
    std::vector<std::byte> workspace(int4_gemm_workspace_bytes(1, weights));
    for (auto const& b : detail::int4_gemm_bodies) {
        if (!is_supported(b.level)) continue;
        std::vector<float> y(1);
        int4_activations x;
        x.codes = p.plain_codes, x.n_rows = 1, x.scales = one, x.zero_points = zero_points;
        detail::int4_gemm_on(*b.function, x, weights, {}, y, 0, workspace, {});
        INFO(to_string(b.level));
        CHECK(y[0] == 255.0f * 8.0f * k);
    }
}

TEST_CASE("int4_gemm: every choice of scales, zero points, bias and residual", "[kernels][int4_gemm]") {
    for (std::size_t const group : {0, 32})
        for (std::size_t const m : {2, 29})
            for (per const p : {per::nothing, per::tensor, per::row}) {
                per const scales = p == per::nothing ? per::tensor : p;
                compare(
                    {m,
                     37,
                     96,
                     {.group = group, .scales = scales, .zero_points = p, .bias = false, .residual = false}});
                compare({m, 37, 96, {.group = group, .scales = scales, .zero_points = p, .residual = false}});
                compare({m, 37, 96, {.group = group, .scales = scales, .bias = false}});
                compare({m, 37, 96, {.group = group, .scales = scales, .bias_scales = per::nothing}});
                compare({m, 37, 96, {.group = group, .zero_points = p, .in_place = true}});
            }
}

TEST_CASE("int4_gemm: rows apart, at any address; nothing between them is touched", "[kernels][int4_gemm]") {
    for (against const side : {against::begin, against::end})
        for (std::size_t const gap : {0, 1, 3, 61, 64})
            for (std::size_t const m : {1, 5, 27, 130}) {
                product const p(m, 51, 64, {.gap = gap, .side = side});
                compare(p);
                product const in_place(m, 51, 72, {.in_place = true, .gap = gap, .side = side});
                compare(in_place);
                std::vector<float> const y = p(chosen_body);
                for (std::size_t i = 0; i < y.size(); ++i)
                    if (i % p.y_stride >= p.n) CHECK(y[i] == untouched);
            }
}

TEST_CASE("int4_gemm: packed activations are the same codes", "[kernels][int4_gemm]") {
    for (std::size_t const k : {1, 2, 9, 63, 64, 130})
        for (std::size_t const m : {1, 4, 31})
            for (std::size_t const gap : {0, 2}) {
                options o{.num_bits = 4, .packed = true, .gap = gap};
                product packed(m, 33, k, o);
                compare(packed);
                std::vector<float> const expected = packed(detail::int4_gemm_scalar);
                packed.o.packed = false;
                CHECK(same_bits(packed(detail::int4_gemm_scalar), expected));
            }
}

TEST_CASE("int4_gemm: the same bits for any number of workers", "[kernels][int4_gemm]") {
    for (std::size_t const group : {0, 32}) {
        std::vector<product> products;
        products.push_back({1, 300, 512, {.group = group}});
        products.push_back({16, 65, 64, {.group = group}});
        products.push_back({200, 48, 96, {.group = group}});
        products.push_back({300, 520, 512, {.group = group}});
        for (product const& p : products)
            for (auto const& b : detail::int4_gemm_bodies) {
                if (!is_supported(b.level) || (b.level == isa::scalar && p.m == 300)) continue;
                std::vector<float> const expected = p(*b.function);
                for (std::size_t n_workers = 1; n_workers <= 5; ++n_workers) {
                    thread_pool pool(n_workers);
                    INFO(to_string(b.level) << ": " << shape(p) << ", workers " << n_workers);
                    CHECK(same_bits(p(*b.function, pool), expected));
                }
            }
    }
}

TEST_CASE("int4_gemm: a row has the same bits alone and among others", "[kernels][int4_gemm]") {
    for (std::size_t const group : {0, 64}) {
        options const o{.group = group,
                        .scales = per::tensor,
                        .zero_points = per::tensor,
                        .bias_scales = per::tensor,
                        .residual = false};
        product const all(67, 50, 192, o);
        std::vector<float> const expected = all(chosen_body);
        for (std::size_t const m : {1, 2, 4, 6, 13, 24, 25, 66}) {
            product some = all;
            some.m = m;
            std::vector<float> const y = some(chosen_body);
            CHECK(std::equal(y.begin(), y.end(), expected.begin()));
        }
    }
}

TEST_CASE("int4_gemm: the public call chooses a body", "[kernels][int4_gemm]") {
    product const p(9, 33, 72, {});
    CHECK(same_bits(p(chosen_body), p(detail::int4_gemm_scalar)));

    std::vector<float> const one{1.0f};
    std::vector<std::int8_t> const codes{1, 2, 3}, weight_codes{4, -5, 6};
    int4_weights const weights(weight_codes, 1, 3, one);
    std::vector<float> y{0.0f};
    std::vector<std::byte> workspace(int4_gemm_workspace_bytes(1, weights));
    int4_activations x;
    x.codes = codes, x.n_rows = 1, x.scales = one;
    int4_gemm(x, weights, {}, y, 0, workspace);
    CHECK(y[0] == 12.0f);
    x.n_rows = 0;
    y[0] = 1.0f;
    int4_gemm(x, weights, {}, y, 0, workspace);
    CHECK(y[0] == 1.0f);
}
