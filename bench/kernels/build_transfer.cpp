// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <memory>
#include <span>

#include <commutant/kernels/dequantize.hpp>
#include <commutant/kernels/hadamard.hpp>
#include <commutant/kernels/int4_pack.hpp>
#include <commutant/kernels/quantize.hpp>
#include <commutant/kernels/residual_scale.hpp>

#include "kernels/build_parts.hpp"

namespace commutant::bench {
namespace {

template <class T> std::span<T> values(void* p, std::size_t n) { return {static_cast<T*>(p), n}; }

/// A plan and what it works with.
struct hadamard_state {
    kernels::hadamard_plan plan;
    buffer<float> scratch;
    buffer<float> row_scale;
    kernels::hadamard_shape shape;
    kernels::hadamard_factors<float> factors;

    hadamard_state(std::size_t n_rows, std::size_t row_size)
        : plan(row_size),
          scratch(kernels::hadamard_quantize_scratch_size(plan, row_size)),
          row_scale(n_rows),
          shape{n_rows, row_size, 0} {
        for (float& s : row_scale) s = 0.5F;
        factors.scale = 1.0F / std::sqrt(static_cast<float>(row_size));
    }
};

kernels::static_nibbles nibbles(void* target, std::size_t n_rows, std::size_t row_size) {
    return {kernels::code_grid{transfer_scale, transfer_zero_point, 4},
            values<std::uint8_t>(target, n_rows * kernels::packed_int4_size(row_size))};
}

}  // namespace

transfer build_transfer(transfer_kind kind, std::size_t n_rows, std::size_t row_size) {
    std::size_t const n = n_rows * row_size;
    switch (kind) {
        case transfer_kind::hadamard: {
            auto const s = std::make_shared<hadamard_state>(n_rows, row_size);
            return [s, n](void* source, void*) {
                kernels::hadamard_in_place(s->plan, values<float>(source, n), s->shape, s->factors,
                                           std::span<float>(s->scratch));
            };
        }
        case transfer_kind::hadamard_rescale_pack: {
            auto const s = std::make_shared<hadamard_state>(n_rows, row_size);
            s->factors.row_scale = s->row_scale;
            return [s, n, n_rows, row_size](void* source, void* target) {
                kernels::hadamard_quantize(s->plan, values<float>(source, n), s->shape, s->factors,
                                           nibbles(target, n_rows, row_size), s->scratch);
            };
        }
        case transfer_kind::quantize_pack:
            return [n, n_rows, row_size](void* source, void* target) {
                kernels::quantize_rows(values<float>(source, n), n_rows, nibbles(target, n_rows, row_size));
            };
        case transfer_kind::pack:
            return [n](void* source, void* target) {
                kernels::pack_int4(std::span<std::int8_t const>(values<std::int8_t>(source, n)),
                                   values<std::uint8_t>(target, n / 2));
            };
        case transfer_kind::unpack:
            return [n](void* source, void* target) {
                kernels::unpack_int4(values<std::uint8_t>(source, n / 2), values<std::int8_t>(target, n));
            };
        case transfer_kind::residual_scale: {
            auto const s = std::make_shared<buffer<float>>(n_rows);
            return [s, n, n_rows, row_size](void* source, void* target) {
                for (float& x : *s) x = 1.0F;
                kernels::scale_residual(values<float>(source, n), values<float>(source, n), *s,
                                        kernels::residual_step{n_rows}, nibbles(target, n_rows, row_size));
            };
        }
        case transfer_kind::dequantize:
            return [n_rows, row_size](void* source, void* target) {
                std::size_t const row_bytes = kernels::packed_int4_size(row_size);
                for (std::size_t r = 0; r < n_rows; ++r)
                    kernels::dequantize_int4(
                        std::span<std::uint8_t const>(static_cast<std::uint8_t*>(source) + r * row_bytes,
                                                      row_bytes),
                        {}, 0.5F, 0, values<float>(static_cast<float*>(target) + r * row_size, row_size));
            };
    }
    return {};
}

}  // namespace commutant::bench
