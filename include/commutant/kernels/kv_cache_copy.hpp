// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstring>

#include <commutant/kernels/int4_kv_cache.hpp>

namespace commutant::kernels {

/// Copies what a cache holds into one of another capacity.
///
/// Note      the formats are equal but for the capacity, and that of `to` is at least from.length; to.length becomes
///           from.length, its grids are left as they are
inline void copy_positions(kv_cache_view const& from, kv_cache_view& to) noexcept {
    kv_cache_format const& f = from.format;
    to.length = from.length;
    if (from.length == 0) return;
    std::size_t const positions = detail::round_up(from.length, detail::lanes_per_block);
    std::size_t const key_bytes = 4 * positions * detail::words_for(f.head_dim, f.storage());
    std::size_t const value_bytes = 4 * detail::words_for(from.length, f.storage()) *
                                    detail::round_up(f.head_dim, detail::lanes_per_block);
    for (std::size_t h = 0; h < f.n_kv_heads; ++h) {
        std::memcpy(detail::key_words(to, h), detail::key_words(from, h), key_bytes);
        std::memcpy(detail::value_words(to, h), detail::value_words(from, h), value_bytes);
    }
    if (!f.has_token_grids()) return;
    detail::token_grids const source = detail::token_grids_of(from), target = detail::token_grids_of(to);
    std::memcpy(target.key_scales, source.key_scales, positions * sizeof(float));
    std::memcpy(target.key_offsets, source.key_offsets, positions * sizeof(float));
    std::memcpy(target.value_scales, source.value_scales, positions * sizeof(float));
    std::memcpy(target.value_offsets, source.value_offsets, positions * sizeof(float));
}

}  // namespace commutant::kernels
