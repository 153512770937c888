// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <Eigen/Core>
#include <cstdlib>
#include <utility>

#include <commutant/kernels/isa.hpp>

#include "neighbours/neighbours.hpp"

#if defined(COMMUTANT_BENCH_OPENBLAS)
#include <cblas.h>
#endif

namespace commutant::bench {
namespace {

/// Both factors in fp32, the weights as often as they are rotated through.
struct factors {
    std::vector<buffer<float>> weights;  // [n, k] each
    buffer<float> activations;           // [m, k]
    std::size_t turn = 0;

    explicit factors(gemm_problem const& p) : activations(p.m * p.k) {
        std::size_t const n_copies = p.weights->copies(p.n * p.k * sizeof(float));
        for (std::size_t copy = 0; copy < n_copies; ++copy) {
            buffer<float>& w = weights.emplace_back(p.n * p.k);
            for (std::size_t n = 0; n < p.n; ++n)
                for (std::size_t k = 0; k < p.k; ++k) w[n * p.k + k] = p.weights->value(n, k);
        }
        for (std::size_t i = 0; i < activations.size(); ++i) activations[i] = p.activation(i);
    }
    [[nodiscard]] float const* next() { return weights[turn++ % weights.size()].data(); }
};

}  // namespace

prepared_gemm openblas_gemm(gemm_problem const& p) {
    prepared_gemm r;
#if defined(COMMUTANT_BENCH_OPENBLAS)
    auto const f = std::make_shared<factors>(p);
    r.out = std::make_shared<buffer<float>>(p.m * p.n);
    r.weight_bytes = p.n * p.k * sizeof(float);
    auto const m = static_cast<blasint>(p.m), n = static_cast<blasint>(p.n), k = static_cast<blasint>(p.k);
    r.run = [f, out = r.out, m, n, k] {
        if (m == 1)
            cblas_sgemv(CblasRowMajor, CblasNoTrans, n, k, 1.0F, f->next(), k, f->activations.data(), 1, 0.0F,
                        out->data(), 1);
        else
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, n, k, 1.0F, f->activations.data(), k,
                        f->next(), k, 0.0F, out->data(), n);
    };
#else
    static_cast<void>(p);
#endif
    return r;
}

prepared_gemm eigen_gemm(gemm_problem const& p) {
#if defined(__AVX512F__)
    // It was compiled for more than tiers below may use.
    if (kernels::max_isa() < kernels::isa::avx512bw) return {};
#endif
    using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    auto const f = std::make_shared<factors>(p);
    prepared_gemm r;
    r.out = std::make_shared<buffer<float>>(p.m * p.n);
    r.weight_bytes = p.n * p.k * sizeof(float);
    auto const m = static_cast<Eigen::Index>(p.m), n = static_cast<Eigen::Index>(p.n),
               k = static_cast<Eigen::Index>(p.k);
    r.run = [f, out = r.out, m, n, k] {
        Eigen::Map<matrix const> const a(f->activations.data(), m, k);
        Eigen::Map<matrix const> const w(f->next(), n, k);
        Eigen::Map<matrix>(out->data(), m, n).noalias() = a * w.transpose();
    };
    return r;
}

std::vector<std::string> neighbours_here() {
    std::vector<std::string> r;
    auto const limit = [](char const* name) {
        char const* const value = std::getenv(name);
        return value == nullptr ? std::string() : std::string(", ") + name + "=" + value;
    };
    r.push_back("Eigen fp32 (" + std::string(Eigen::SimdInstructionSetsInUse()) + ")");
#if defined(COMMUTANT_BENCH_OPENBLAS)
    r.push_back(std::string(openblas_get_config()) + ", core " + openblas_get_corename() +
                limit("OPENBLAS_CORETYPE"));
#endif
#if defined(COMMUTANT_BENCH_ONEDNN)
    r.push_back("oneDNN" + limit("ONEDNN_MAX_CPU_ISA"));
#endif
    return r;
}

}  // namespace commutant::bench
