// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

#include <catch2/catch.hpp>

#include "support/sanitizer.hpp"

#ifdef COMMUTANT_ADDRESS_SANITIZER

TEST_CASE("kernels: no call allocates or may throw", "[kernels]") {
    WARN("skipped: a sanitiser has allocation functions of its own");
}

#else

#include <commutant/kernels/attention.hpp>
#include <commutant/kernels/dequantize.hpp>
#include <commutant/kernels/hadamard.hpp>
#include <commutant/kernels/int4_gemm.hpp>
#include <commutant/kernels/int4_kv_cache.hpp>
#include <commutant/kernels/int4_pack.hpp>
#include <commutant/kernels/quantize.hpp>
#include <commutant/kernels/residual_scale.hpp>
#include <commutant/kernels/rope.hpp>
#include <commutant/kernels/softmax.hpp>
#include <commutant/kernels/swiglu.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <span>
#include <vector>

namespace {

std::atomic<std::size_t> n_allocations{0};

void* allocated(std::size_t size, std::size_t alignment) {
    ++n_allocations;
    std::size_t const rounded = (size + alignment - 1) / alignment * alignment;
    if (void* const p = std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded)) return p;
    throw std::bad_alloc();
}

}  // namespace

// The array and nothrow forms come here too.
void* operator new(std::size_t size) { return allocated(size, __STDCPP_DEFAULT_NEW_ALIGNMENT__); }
void* operator new(std::size_t size, std::align_val_t alignment) {
    return allocated(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }

using namespace commutant::kernels;
using commutant::hadamard_order;

/// A call that must not throw, by its type, nor allocate, by counting. A message is made only if it does.
#define CHECK_CALL(...)                                     \
    do {                                                    \
        static_assert(noexcept(__VA_ARGS__), #__VA_ARGS__); \
        std::size_t const before_call = n_allocations;      \
        __VA_ARGS__;                                        \
        std::size_t const after_call = n_allocations;       \
        if (after_call != before_call) FAIL(#__VA_ARGS__);  \
    } while (false)

TEST_CASE("kernels: allocations are counted", "[kernels]") {
    std::size_t const before = n_allocations;
    std::vector<float> const v(1000);
    REQUIRE(n_allocations > before);
    REQUIRE(v.size() == 1000);
}

TEST_CASE("kernels: no call allocates or may throw", "[kernels]") {
    constexpr std::size_t n_rows = 3, n = 512;
    std::vector<float> x(n_rows * n, 0.5F), y(n_rows * n, 0.25F), scale(n_rows, 1.0F);
    std::vector<std::int8_t> codes(n_rows * n);
    std::vector<std::uint8_t> packed(n_rows * n / 2);
    std::vector<std::uint16_t> bf16(n_rows * n);
    std::vector<std::int32_t> zero_point(n_rows);
    std::span<float const> const read(x);
    code_grid const grid{0.25F, 1, 4};
    static_codes const to_codes{grid, codes};
    static_nibbles const to_nibbles{grid, packed};
    dynamic_codes const to_dynamic_codes{8, false, codes, scale, zero_point};
    dynamic_nibbles const to_dynamic_nibbles{4, true, packed, scale, zero_point};

    CHECK_CALL(quantize(read, to_codes));
    CHECK_CALL(quantize(read, to_nibbles));
    CHECK_CALL(quantize_rows(read, n_rows, to_dynamic_codes));
    CHECK_CALL(quantize_rows(read, n_rows, to_dynamic_nibbles));
    CHECK_CALL(static_cast<void>(range_of(read)));
    CHECK_CALL(pack_int4(std::span<std::int8_t const>(codes), packed));
    CHECK_CALL(unpack_int4(packed, std::span<std::int8_t>(codes)));
    CHECK_CALL(dequantize_int4(packed, {}, 0.5F, 1, std::span<float>(y)));
    CHECK_CALL(dequantize_int4(packed, {}, 0.5F, 1, std::span<std::uint16_t>(bf16)));
    CHECK_CALL(dequantize_int4_groups(packed, {}, n, scale, zero_point, std::span<float>(y)));

    for (hadamard_order const order : {hadamard_order{1, n}, hadamard_order{28, 16}, hadamard_order{36, 8}}) {
        hadamard_plan const plan(order);
        std::size_t const size = plan.size();
        std::vector<float> rows(2 * size, 0.5F);
        std::vector<float> scratch(hadamard_quantize_scratch_size(plan, size));
        std::span<float const> const rows_read(rows);
        hadamard_shape const shape{2, size};
        hadamard_factors<float> const factors{0.1F, {}, {}};
        CHECK_CALL(
            hadamard_in_place(plan, std::span<float>(rows), shape, factors, std::span<float>(scratch)));
        CHECK_CALL(hadamard_quantize(plan, rows_read, shape, factors, to_codes, scratch));
        CHECK_CALL(hadamard_quantize(plan, rows_read, shape, factors, to_nibbles, scratch));
        CHECK_CALL(hadamard_quantize(plan, rows_read, shape, factors, to_dynamic_codes, scratch));
        CHECK_CALL(hadamard_quantize(plan, rows_read, shape, factors, to_dynamic_nibbles, scratch));
    }

    std::vector<float> s(n_rows, 1.0F), normalised(n_rows * n);
    residual_step const step{n_rows};
    CHECK_CALL(scale_residual(x, y, s, step));
    CHECK_CALL(scale_residual(x, y, s, step, to_nibbles));
    CHECK_CALL(start_scaled_residual(x, s, step, to_dynamic_codes));
    CHECK_CALL(add_rms_norm(x, y, {}, step, normalised));
    CHECK_CALL(add_rms_norm(x, y, {}, step, to_codes, normalised));
    CHECK_CALL(swiglu(x, x, y));
    CHECK_CALL(softmax_in_place(y, n));
    CHECK_CALL(apply_rope(x, n, 64, 64, commutant::pairing::half_split, y, y));

    constexpr std::size_t n_out = 40;
    std::vector<std::int8_t> const weight_codes(n_out * n, 3);
    for (std::size_t const group : {std::size_t{0}, std::size_t{32}}) {
        int4_weights const weights(weight_codes, n_out, n,
                                   std::vector<float>(n_out * (group == 0 ? 1 : n / group), 0.5F), group);
        int4_weights_view const view = weights.view();
        std::vector<std::byte> workspace(int4_gemm_workspace_bytes(n_rows, view));
        std::vector<float> products(n_rows * n_out);
        int4_activations a;
        a.codes = codes, a.n_rows = n_rows, a.scales = scale, a.zero_points = zero_point;
        CHECK_CALL(int4_gemm(a, view, {}, products, 0, workspace));
    }

    for (int const bits : {4, 8, 16}) {
        kv_cache_format const format{2, 64, 20, bits, true};
        std::vector<std::byte> memory(kv_cache_bytes(format));
        kv_cache_view cache(format, memory);
        std::span<float const> const tokens = read.first(4 * format.row_size());
        CHECK_CALL(append(cache, tokens, tokens));
        std::span<float const> const queries = read.first(4 * 4 * 64);  // 4 tokens, 4 heads
        std::vector<float> workspace(attention_workspace(format, 4, 4, 4)), out(queries.size());
        CHECK_CALL(attention(queries, 4, cache, 0, 0.125F, out, workspace));
        CHECK_CALL(attention_scores(queries.first(64), cache, 0, 0.125F, 4, std::span<float>(out).first(4)));
        CHECK_CALL(attention_mix(read.first(4), cache, 0, 4, std::span<float>(out).first(64)));
    }
}

#endif
