// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>

#include <commutant/kernels/detail/kv_cache_words.hpp>

namespace commutant::kernels::detail {

/// Numbers of a cache that a product runs over: lanes side by side, terms along the sum.
///
/// Layout    word of lane block b, term group g, lane l: words + 4 (b lane_stride + g group_stride + l); strides
///           in words. A number of quantised storage is the float code_as_float | code, minus its offset.
struct operand {
    kv_storage storage = kv_storage::float32;
    bool offset_per_term =
        false;  ///< offsets of positions stand along the terms (values), or along the lanes (keys)
    std::byte const* words = nullptr;
    std::size_t lane_stride = 0;
    std::size_t group_stride = 0;
    float const* offsets = nullptr;  ///< per lane: 16 for each lane block; per term: one for each term
    std::size_t offset_step = 0;     ///< floats from one lane block, or term, to the next; 0 for one grid
};

/// Sums of a few rows of coefficients with every lane of an operand.
///
/// Equation  out[row][lane] = (accumulate ? out[row][lane] : 0) + sum over terms of
///           coefficients[row][term] * number(term, lane)
/// Shape     coefficients: [rows, terms], out: [rows, 16 lane_blocks], with the given strides in floats
/// Note      one fused multiply-add for each term, in order: the same bits whatever the blocking.
struct product {
    float const* coefficients = nullptr;
    std::size_t coefficient_stride = 0;
    std::size_t rows = 0;
    std::size_t terms = 0;
    std::size_t lane_blocks = 0;
    float* out = nullptr;
    std::size_t out_stride = 0;
    bool accumulate = false;
};

using multiply_function = void(product const*, operand const*) noexcept;

/// The operand's numbers as floats.
///
/// Layout    tile: [lane block][term][lane]
using expand_function = void(operand const*, std::size_t terms, std::size_t lane_blocks,
                             float* tile) noexcept;

/// Which grid a number of quantised storage lies on.
enum class offset_kind : unsigned char { one, per_lane, per_term };

[[nodiscard]] inline offset_kind kind_of(operand const& o) noexcept {
    return o.offset_step == 0  ? offset_kind::one
           : o.offset_per_term ? offset_kind::per_term
                               : offset_kind::per_lane;
}

/// f(Bodies<storage, kind>{}) for those of an operand: compiled bodies for each pair.
template <template <kv_storage, offset_kind> class Bodies, class F>
inline void with_kinds(operand const* o, F const& f) noexcept {
    using enum kv_storage;
    using enum offset_kind;
    offset_kind const kind = kind_of(*o);
    if (o->storage == float32) return f(Bodies<float32, one>{});
    if (o->storage == int4)
        return kind == one        ? f(Bodies<int4, one>{})
               : kind == per_lane ? f(Bodies<int4, per_lane>{})
                                  : f(Bodies<int4, per_term>{});
    return kind == one        ? f(Bodies<int8, one>{})
           : kind == per_lane ? f(Bodies<int8, per_lane>{})
                              : f(Bodies<int8, per_term>{});
}

[[nodiscard]] inline float number_at(operand const& o, std::size_t term, std::size_t block,
                                     std::size_t lane) noexcept {
    std::size_t const per_word = codes_per_word(o.storage);
    float const offset = o.storage == kv_storage::float32 ? 0.0F
                         : o.offset_per_term              ? o.offsets[term * o.offset_step]
                                                          : o.offsets[block * o.offset_step + lane];
    return steps_of(load_word(o.words, block * o.lane_stride + term / per_word * o.group_stride + lane),
                    term % per_word, o.storage, offset);
}

inline void multiply_scalar(product const* p, operand const* o) noexcept {
    for (std::size_t row = 0; row < p->rows; ++row)
        for (std::size_t i = 0; i < p->lane_blocks * lanes_per_block; ++i) {
            float* const y = p->out + row * p->out_stride + i;
            float sum = p->accumulate ? *y : 0.0F;
            for (std::size_t t = 0; t < p->terms; ++t)
                sum = std::fma(p->coefficients[row * p->coefficient_stride + t],
                               number_at(*o, t, i / lanes_per_block, i % lanes_per_block), sum);
            *y = sum;
        }
}

inline void expand_scalar(operand const* o, std::size_t terms, std::size_t lane_blocks,
                          float* tile) noexcept {
    for (std::size_t b = 0; b < lane_blocks; ++b)
        for (std::size_t t = 0; t < terms; ++t)
            for (std::size_t l = 0; l < lanes_per_block; ++l)
                tile[(b * terms + t) * lanes_per_block + l] = number_at(*o, t, b, l);
}

}  // namespace commutant::kernels::detail
