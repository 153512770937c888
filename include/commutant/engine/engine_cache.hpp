// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include <commutant/engine/words.hpp>
#include <commutant/kernels/attention.hpp>
#include <commutant/kernels/int4_kv_cache.hpp>
#include <commutant/kernels/kv_cache_copy.hpp>
#include <commutant/model/forward.hpp>
#include <commutant/model/inference.hpp>

namespace commutant {

/// Keys and values of one layer of the deploy reading: packed codes that attention reads as they are.
///
/// Note      the grids are those that the first rows bring (engine_rows::cache_as); memory grows with the positions
template <> struct kv_cache_layer<engine_rows> {
    static constexpr std::size_t first_capacity = 64;

    explicit kv_cache_layer(model_config const& c) {
        view_.format.n_kv_heads = c.n_kv_heads;
        view_.format.head_dim = c.head_dim;
        view_.format.capacity = 0;
    }
    kv_cache_layer(kv_cache_layer const& o) : memory_(o.memory_), view_(o.view_) {
        view_.memory = memory_.data();
    }
    kv_cache_layer(kv_cache_layer&& o) noexcept = default;
    kv_cache_layer& operator=(kv_cache_layer o) noexcept {
        memory_.swap(o.memory_);
        view_ = o.view_;
        return *this;
    }
    ~kv_cache_layer() = default;

    [[nodiscard]] kernels::kv_cache_view const& view() const noexcept { return view_; }
    [[nodiscard]] std::size_t length() const noexcept { return view_.length; }
    /// Bytes held.
    [[nodiscard]] std::size_t bytes() const noexcept { return memory_.size(); }

    void append(engine_rows const& key, engine_rows const& value) {
        if (view_.length == 0) take_grids(key, value);
        reserve(view_.length + key.rows());
        kernels::append(view_, {key.data(), key.size()}, {value.data(), value.size()});
    }

    /// Room for this many positions.
    void reserve(std::size_t positions) {
        if (positions <= view_.format.capacity) return;
        kernels::kv_cache_view larger = view_;
        larger.format.capacity = std::max({positions, 2 * view_.format.capacity, first_capacity});
        std::vector<std::byte> memory(kernels::kv_cache_bytes(larger.format));
        larger.memory = memory.data();
        kernels::copy_positions(view_, larger);
        memory_ = std::move(memory);
        view_ = larger;
    }

private:
    void take_grids(engine_rows const& key, engine_rows const& value) {
        cache_rounding const k = key.cached_as(), v = value.cached_as();
        detail::require(k.num_bits == v.num_bits && k.dynamic == v.dynamic && k.symmetric == v.symmetric,
                        "kv_cache_layer: keys and values must be rounded to one width in one way");
        view_.format.num_bits = k.num_bits;
        view_.format.dynamic = k.dynamic;
        view_.format.symmetric = k.symmetric;
        view_.key_grid = {k.on.scale, k.on.zero_point};
        view_.value_grid = {v.on.scale, v.on.zero_point};
    }

    std::vector<std::byte> memory_{};
    kernels::kv_cache_view view_{};
};

/// What lies between two products of so many rows stays in cache, and the weights are read seldom enough.
template <> inline constexpr std::size_t tokens_at_a_time<engine_rows> = 512;

/// See the function template of model/forward.hpp.
inline void append(kv_cache_layer<engine_rows>& cache, model_config const&, engine_rows const& key,
                   engine_rows const& value) {
    cache.append(key, value);
}

/// See the function template of model/forward.hpp; attention probabilities stay inside the kernel, no tap sees them.
template <class Tap>
[[nodiscard]] engine_rows attend(engine_rows const& query, kv_cache_layer<engine_rows> const& cache,
                                 model_config const& c, float const& scale, std::size_t first_position,
                                 std::size_t, Tap&) {
    engine_rows mixed = detail::like(query, query.rows(), query.cols());
    std::size_t const each = kernels::attention_workspace(cache.view().format, c.n_heads, query.rows(),
                                                          first_position + query.rows());
    detail::row_buffer<float> const workspace(each * query.threads().n_workers());
    kernels::attention({query.data(), query.size()}, c.n_heads, cache.view(), first_position, scale,
                       {mixed.data(), mixed.size()}, {workspace.data(), workspace.size()}, query.threads());
    return mixed;
}

}  // namespace commutant
