// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>

#include <commutant/kernels/detail/kv_cache_append.hpp>
#include <commutant/kernels/detail/kv_cache_words.hpp>

namespace commutant::kernels {

/// Grid of keys or of values: x ~ scale * (code - zero_point), code in [-2^(num_bits - 1), 2^(num_bits - 1) - 1].
struct kv_grid {
    float scale = 1;  ///< positive, normal
    std::int32_t zero_point = 0;
};

/// What the cache of one layer holds, and how.
///
/// Units     num_bits 2 .. 4: packed nibbles; 5 .. 8: bytes; 16: float32, no grid
struct kv_cache_format {
    std::size_t n_kv_heads = 0;
    std::size_t head_dim = 0;
    std::size_t capacity = 0;  ///< positions
    int num_bits = 4;
    bool dynamic = false;    ///< each token has a grid for its keys (all heads) and one for its values
    bool symmetric = false;  ///< of dynamic grids: zero_point 0

    [[nodiscard]] constexpr kv_storage storage() const noexcept {
        return num_bits <= 4 ? kv_storage::int4 : num_bits <= 8 ? kv_storage::int8 : kv_storage::float32;
    }
    [[nodiscard]] constexpr bool has_token_grids() const noexcept { return dynamic && num_bits <= 8; }
    /// Floats in one row of keys or values.
    [[nodiscard]] constexpr std::size_t row_size() const noexcept { return n_kv_heads * head_dim; }
};

namespace detail {

[[nodiscard]] constexpr std::size_t key_head_words(kv_cache_format const& f) noexcept {
    return round_up(f.capacity, lanes_per_block) * words_for(f.head_dim, f.storage());
}
[[nodiscard]] constexpr std::size_t value_head_words(kv_cache_format const& f) noexcept {
    return words_for(f.capacity, f.storage()) * round_up(f.head_dim, lanes_per_block);
}
[[nodiscard]] constexpr std::size_t token_grid_floats(kv_cache_format const& f) noexcept {
    return f.has_token_grids() ? round_up(f.capacity, lanes_per_block) : 0;
}

}  // namespace detail

/// Memory of a cache.
///
/// Units     bytes
/// Cost      num_bits of storage (4, 8 or 32) for each feature of a key and a value, positions and features rounded up
///           to whole blocks of 16; with grids per token 16 bytes more for each position
[[nodiscard]] constexpr std::size_t kv_cache_bytes(kv_cache_format const& f) noexcept {
    return 4 * (f.n_kv_heads * (detail::key_head_words(f) + detail::value_head_words(f)) +
                4 * detail::token_grid_floats(f));
}

/// Keys and values of one layer in the caller's memory, quantised as they come in.
///
/// Layout    32-bit words, the first code in the lowest bits. A word of keys holds 8 (int8: 4, float32: 1) features of
///           one position, 16 positions stand side by side: [kv head][position / 16][feature / 8][position % 16].
///           A word of values holds 8 positions of one feature: [kv head][position / 8][feature], features
///           rounded up to 16. So what reads 16 scores or 16 outputs at once reads whole vectors, and every
///           sum runs along a word. Codes are stored from 0: code + 8 (int8: code + 128).
/// Note      memory: kv_cache_bytes(format) bytes aligned to 4, better to 64; what it holds at first does not matter.
///           length may be set back to drop the newest positions
struct kv_cache_view {
    kv_cache_format format{};
    kv_grid key_grid{};    ///< of all keys, unless dynamic
    kv_grid value_grid{};  ///< of all values, unless dynamic
    std::byte* memory = nullptr;
    std::size_t length = 0;  ///< positions held

    kv_cache_view() = default;
    kv_cache_view(kv_cache_format const& f, std::span<std::byte> bytes, kv_grid keys = {},
                  kv_grid values = {}) noexcept
        : format(f), key_grid(keys), value_grid(values), memory(bytes.data()) {}
};

namespace detail {

[[nodiscard]] inline std::byte* key_words(kv_cache_view const& c, std::size_t kv_head) noexcept {
    return c.memory + 4 * kv_head * key_head_words(c.format);
}
[[nodiscard]] inline std::byte* value_words(kv_cache_view const& c, std::size_t kv_head) noexcept {
    return c.memory +
           4 * (c.format.n_kv_heads * key_head_words(c.format) + kv_head * value_head_words(c.format));
}

/// Scales and offsets of every token, float32; an offset is what operand::offsets says.
struct token_grids {
    float* key_scales;
    float* key_offsets;
    float* value_scales;
    float* value_offsets;
};
[[nodiscard]] inline token_grids token_grids_of(kv_cache_view const& c) noexcept {
    kv_cache_format const& f = c.format;
    std::size_t const n = token_grid_floats(f);
    auto* const p =
        reinterpret_cast<float*>(c.memory + 4 * f.n_kv_heads * (key_head_words(f) + value_head_words(f)));
    return {p, p + n, p + 2 * n, p + 3 * n};
}

/// Grid of one token's keys or values: that of dynamic fake quantisation, from the smallest and largest value.
///
/// Note      a row with NaN or infinity in it, or beyond float32's range, gets the scale NaN
[[nodiscard]] inline kv_grid token_grid(std::span<float const> row, int num_bits, bool symmetric) noexcept {
    row_extent const r = row_extent_of(row);
    double const min = r.min < 0 ? static_cast<double>(r.min) : 0.0;
    double const max = r.max > 0 ? static_cast<double>(r.max) : 0.0;
    if (!r.finite) return {std::numeric_limits<float>::quiet_NaN(), 0};
    if (min == max) return {};
    int const lo = -(1 << (num_bits - 1)), hi = (1 << (num_bits - 1)) - 1;
    double const wanted = symmetric ? std::fmax(min / lo, max / hi) : (max - min) / (hi - lo);
    double const smallest = std::numeric_limits<float>::min();
    auto const scale = static_cast<float>(wanted > smallest ? wanted : smallest);
    if (scale > std::numeric_limits<float>::max()) return {std::numeric_limits<float>::quiet_NaN(), 0};
    if (symmetric) return {scale, 0};
    return {scale, lo - static_cast<std::int32_t>(std::nearbyint(min / static_cast<double>(scale)))};
}

[[nodiscard]] inline code_rule code_rule_of(kv_grid const& g, kv_cache_format const& f) noexcept {
    int const lo = -(1 << (f.num_bits - 1)), hi = (1 << (f.num_bits - 1)) - 1;
    return {g.scale, static_cast<float>(lo - g.zero_point), static_cast<float>(hi - g.zero_point),
            stored_bias(f.storage()) + g.zero_point};
}

/// The row of keys and the row of values of one position.
inline void append_row(kv_cache_view const& c, std::size_t position, float const* keys,
                       float const* values) noexcept {
    kv_cache_format const& f = c.format;
    kv_storage const s = f.storage();
    kv_grid kg = c.key_grid, vg = c.value_grid;
    if (f.has_token_grids()) {
        token_grids const t = token_grids_of(c);
        if (position % lanes_per_block == 0)
            for (float* const p : {t.key_scales, t.key_offsets, t.value_scales, t.value_offsets})
                for (std::size_t i = 0; i < lanes_per_block; ++i) p[position + i] = 0;
        kg = token_grid({keys, f.row_size()}, f.num_bits, f.symmetric);
        vg = token_grid({values, f.row_size()}, f.num_bits, f.symmetric);
        t.key_scales[position] = kg.scale;
        t.key_offsets[position] = operand_offset(s, kg.zero_point);
        t.value_scales[position] = vg.scale;
        t.value_offsets[position] = operand_offset(s, vg.zero_point);
    }
    std::size_t const groups = words_for(f.head_dim, s), width = round_up(f.head_dim, lanes_per_block);
    std::size_t const per_word = codes_per_word(s);
    for (std::size_t h = 0; h < f.n_kv_heads; ++h) {
        std::byte* const key_block =
            key_words(c, h) + 4 * (position / lanes_per_block) * groups * lanes_per_block;
        std::byte* const value_row = value_words(c, h) + 4 * (position / per_word) * width;
        if (position % lanes_per_block == 0) std::memset(key_block, 0, 4 * groups * lanes_per_block);
        if (position % per_word == 0) std::memset(value_row, 0, 4 * width);
        if (s == kv_storage::float32) {
            for (std::size_t d = 0; d < f.head_dim; ++d)
                std::memcpy(key_block + 4 * (d * lanes_per_block + position % lanes_per_block),
                            keys + h * f.head_dim + d, 4);
            std::memcpy(value_row, values + h * f.head_dim, 4 * f.head_dim);
        } else {
            append_codes(keys + h * f.head_dim, values + h * f.head_dim, f.head_dim, s, code_rule_of(kg, f),
                         code_rule_of(vg, f), key_block, position % lanes_per_block, value_row,
                         position % per_word);
        }
    }
}

}  // namespace detail

/// Quantises new positions into the cache.
///
/// Equation  code = clamp(round(x / scale) + zero_point), round half to even: the codes of fake_quantize_in_place, per
///           token those of fake_quantize_per_token_in_place
/// Shape     keys (after RoPE), values: [n, n_kv_heads * head_dim]
/// Note      length + n must not exceed the capacity. NaN takes the lowest code; a token whose row is not finite, or too
///           wide for float32, gets NaN for a scale, so everything that reads it is NaN
inline void append(kv_cache_view& cache, std::span<float const> keys,
                   std::span<float const> values) noexcept {
    std::size_t const row = cache.format.row_size();
    if (row == 0) return;
    for (std::size_t i = 0; (i + 1) * row <= keys.size() && (i + 1) * row <= values.size(); ++i)
        detail::append_row(cache, cache.length++, keys.data() + i * row, values.data() + i * row);
}

}  // namespace commutant::kernels
