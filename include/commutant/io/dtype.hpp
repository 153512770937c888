// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace commutant::io {

/// Element types of safetensors, in the order of rank by which the reference writer sorts.
///
/// There is no INT4 among them: packed weights travel as I32 or U8.
enum class dtype : std::uint8_t {
    boolean,
    f4,
    f6_e2m3,
    f6_e3m2,
    u8,
    i8,
    f8_e5m2,
    f8_e4m3,
    f8_e8m0,
    f8_e4m3fnuz,
    f8_e5m2fnuz,
    i16,
    u16,
    f16,
    bf16,
    i32,
    u32,
    f32,
    c64,
    f64,
    i64,
    u64
};

}  // namespace commutant::io

namespace commutant::detail {

struct dtype_facts {
    std::string_view name;
    unsigned bits;
};
inline constexpr std::array<dtype_facts, 22> dtype_table{{
    {"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},          {"I8", 8},
    {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
    {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
    {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64},
}};

}  // namespace commutant::detail

namespace commutant::io {

/// Name as it stands in a safetensors header, such as "BF16".
[[nodiscard]] constexpr std::string_view dtype_name(dtype type) {
    return detail::dtype_table[static_cast<std::size_t>(type)].name;
}

/// Width of one element in bits; 4 and 6 occur.
[[nodiscard]] constexpr unsigned dtype_bits(dtype type) {
    return detail::dtype_table[static_cast<std::size_t>(type)].bits;
}

/// The type of that name, or nothing when safetensors has none.
[[nodiscard]] constexpr std::optional<dtype> find_dtype(std::string_view name) {
    for (std::size_t i = 0; i < detail::dtype_table.size(); ++i)
        if (detail::dtype_table[i].name == name) return static_cast<dtype>(i);
    return std::nullopt;
}

/// True for the types that weights are stored in: F16, BF16, F32, F64.
[[nodiscard]] constexpr bool is_weight_dtype(dtype type) {
    return type == dtype::f16 || type == dtype::bf16 || type == dtype::f32 || type == dtype::f64;
}

}  // namespace commutant::io
