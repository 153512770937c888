// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <cstring>
#include <limits>
#include <string>
#include <unordered_map>
#include <utility>

#include "neighbours/neighbours.hpp"

#if defined(COMMUTANT_BENCH_ONEDNN)
#include <oneapi/dnnl/dnnl.hpp>
#endif

namespace commutant::bench {

#if defined(COMMUTANT_BENCH_ONEDNN)
namespace {

using dnnl::memory;
using data_type = memory::data_type;
using tag = memory::format_tag;

dnnl::engine& engine() {
    static dnnl::engine e(dnnl::engine::kind::cpu, 0);
    return e;
}
dnnl::stream& stream() {
    static dnnl::stream s(engine());
    return s;
}

memory::dim dim(std::size_t n) { return static_cast<memory::dim>(n); }

memory on(memory::desc const& d, void const* data) { return {d, engine(), const_cast<void*>(data)}; }

/// A copy in another type or order.
memory reordered(memory from, memory::desc const& to) {
    memory r(to, engine());
    dnnl::reorder(from, r).execute(stream(), from, r);
    stream().wait();
    return r;
}

enum class primitive { matmul, inner_product };

/// One way in which oneDNN can compute the product.
struct way {
    primitive which;
    data_type activations, weights;
    std::int32_t shift = 0;  ///< of the activations' codes, so that they are unsigned
};

/// Integers: y = scale sum (a - z) w = scale (sum (a + shift) w) - scale (z + shift) (sum w), the last a bias.
std::vector<float> bias_of(gemm_problem const& p, std::int32_t shift) {
    std::vector<float> bias(p.n);
    for (std::size_t n = 0; n < p.n; ++n) {
        std::int64_t sum = 0;
        for (std::size_t k = 0; k < p.k; ++k) sum += p.weights->codes[n * p.k + k];
        bias[n] =
            -p.activation_scale * p.weights->scales[n] * static_cast<float>((p.zero_point + shift) * sum);
    }
    return bias;
}

struct arguments {
    std::vector<std::unordered_map<int, memory>> per_copy;
    std::size_t turn = 0;
};

/// With one copy of the weights, or as many as they are rotated through. Empty when the library has only its reference for it.
prepared_gemm prepared(gemm_problem const& p, way const& w, bool rotated) try {
    bool const integers = w.weights == data_type::s8;
    bool const as_matmul = w.which == primitive::matmul;
    memory::desc const source({dim(p.m), dim(p.k)}, w.activations, tag::ab);
    memory::desc const out({dim(p.m), dim(p.n)}, data_type::f32, tag::ab);
    memory::desc const bias(as_matmul ? memory::dims{1, dim(p.n)} : memory::dims{dim(p.n)}, data_type::f32,
                            as_matmul ? tag::ab : tag::a);
    // Stored [n, k]; matmul names the axes the other way round.
    memory::dims const weight_dims =
        as_matmul ? memory::dims{dim(p.k), dim(p.n)} : memory::dims{dim(p.n), dim(p.k)};
    tag const stored = as_matmul ? tag::ba : tag::ab;
    memory::desc const any(weight_dims, w.weights, tag::any);

    dnnl::primitive_attr options;
    std::vector<float> bias_values;
    if (integers) {
        std::vector<float> scales(p.n);
        for (std::size_t n = 0; n < p.n; ++n) scales[n] = p.activation_scale * p.weights->scales[n];
        options.set_output_scales(1 << 1, scales);
        bias_values = bias_of(p, w.shift);
        // The bias is added before the scale.
        for (std::size_t n = 0; n < p.n; ++n) bias_values[n] /= scales[n];
    }

    dnnl::primitive product;
    memory::desc weights_wanted;
    std::string implementation;
    auto const keep = [&](auto const& descriptor) {
        weights_wanted = descriptor.weights_desc();
        implementation = descriptor.impl_info_str();
    };
    if (as_matmul) {
        dnnl::matmul::desc const d =
            integers ? dnnl::matmul::desc(source, any, bias, out) : dnnl::matmul::desc(source, any, out);
        dnnl::matmul::primitive_desc const pd(d, options, engine());
        keep(pd);
        product = dnnl::matmul(pd);
    } else {
        auto const kind = dnnl::prop_kind::forward_inference;
        dnnl::inner_product_forward::desc const d =
            integers ? dnnl::inner_product_forward::desc(kind, source, any, bias, out)
                     : dnnl::inner_product_forward::desc(kind, source, any, out);
        dnnl::inner_product_forward::primitive_desc const pd(d, options, engine());
        keep(pd);
        product = dnnl::inner_product_forward(pd);
    }
    if (implementation.find("ref") != std::string::npos) return {};

    prepared_gemm r;
    r.out = std::make_shared<buffer<float>>(p.m * p.n);

    memory weights, activations;
    if (integers) {
        weights =
            reordered(on({weight_dims, data_type::s8, stored}, p.weights->codes.data()), weights_wanted);
        activations = memory(source, engine());
        auto* const a = static_cast<std::int8_t*>(activations.get_data_handle());
        for (std::size_t i = 0; i < p.m * p.k; ++i)
            a[i] = static_cast<std::int8_t>(p.activations[i] + w.shift);
    } else {
        buffer<float> floats(p.n * p.k);
        for (std::size_t n = 0; n < p.n; ++n)
            for (std::size_t k = 0; k < p.k; ++k) floats[n * p.k + k] = p.weights->value(n, k);
        weights = reordered(on({weight_dims, data_type::f32, stored}, floats.data()), weights_wanted);
        buffer<float> a(p.m * p.k);
        for (std::size_t i = 0; i < p.m * p.k; ++i) a[i] = p.activation(i);
        activations = reordered(on({{dim(p.m), dim(p.k)}, data_type::f32, tag::ab}, a.data()), source);
    }
    r.weight_bytes = weights_wanted.get_size();

    auto const all = std::make_shared<arguments>();
    memory const result = on(out, r.out->data());
    auto const held_bias = std::make_shared<std::vector<float>>(std::move(bias_values));
    for (std::size_t copy = 0; copy < (rotated ? p.weights->copies(r.weight_bytes) : 1); ++copy) {
        memory mine = weights;
        if (copy > 0) {
            mine = memory(weights_wanted, engine());
            std::memcpy(mine.get_data_handle(), weights.get_data_handle(), r.weight_bytes);
        }
        std::unordered_map<int, memory> args{
            {DNNL_ARG_SRC, activations}, {DNNL_ARG_WEIGHTS, mine}, {DNNL_ARG_DST, result}};
        if (integers) args.emplace(DNNL_ARG_BIAS, on(bias, held_bias->data()));
        all->per_copy.push_back(std::move(args));
    }
    if (!integers)
        r.apply = [product, weights, activations, out, m = p.m, k = p.k,
                   converts = w.activations != data_type::f32](float const* x, float* y) mutable {
            memory floats = on({{dim(m), dim(k)}, data_type::f32, tag::ab}, x);
            if (converts) dnnl::reorder(floats, activations).execute(stream(), floats, activations);
            product.execute(stream(), {{DNNL_ARG_SRC, converts ? activations : floats},
                                       {DNNL_ARG_WEIGHTS, weights},
                                       {DNNL_ARG_DST, on(out, y)}});
            stream().wait();
        };
    r.run = [product, all, held_bias, out_held = r.out] {
        product.execute(stream(), all->per_copy[all->turn++ % all->per_copy.size()]);
        stream().wait();
    };
    return r;
} catch (dnnl::error const&) {
    return {};  // not implemented for this processor or these types
}

/// The best of a few; of one, the first, where that takes long.
double seconds_of_a_call(prepared_gemm const& g) {
    using clock = std::chrono::steady_clock;
    double best = std::numeric_limits<double>::max(), total = 0;
    for (int i = 0; i < 9 && total < 0.2; ++i) {
        auto const start = clock::now();
        g.run();
        double const s = std::chrono::duration<double>(clock::now() - start).count();
        best = std::min(best, s), total += s;
    }
    return best;
}

}  // namespace

prepared_gemm onednn_gemm(number_type type, gemm_problem const& problem) {
    std::vector<way> ways;
    for (primitive which : {primitive::matmul, primitive::inner_product}) {
        if (type == number_type::fp32) ways.push_back({which, data_type::f32, data_type::f32});
        if (type == number_type::bf16) ways.push_back({which, data_type::bf16, data_type::bf16});
        if (type == number_type::int8) {
            if (problem.weights->group_size != 0) return {};
            ways.push_back({which, data_type::u8, data_type::s8, 1 << (problem.activation_bits - 1)});
            ways.push_back({which, data_type::s8, data_type::s8});
        }
    }
    prepared_gemm best;
    way const* best_way = nullptr;
    double best_seconds = std::numeric_limits<double>::max();
    for (way const& w : ways) {
        prepared_gemm candidate = prepared(problem, w, false);
        if (!candidate.run) continue;
        double const s = seconds_of_a_call(candidate);
        if (s < best_seconds) best_seconds = s, best = std::move(candidate), best_way = &w;
    }
    return best_way == nullptr || problem.weights->rotated_bytes == 0 ? std::move(best)
                                                                      : prepared(problem, *best_way, true);
}

#else

prepared_gemm onednn_gemm(number_type, gemm_problem const&) { return {}; }

#endif

}  // namespace commutant::bench
