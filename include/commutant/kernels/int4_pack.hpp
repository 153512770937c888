// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <commutant/kernels/detail/int4_pack_avx2.hpp>
#include <commutant/kernels/detail/int4_pack_avx512.hpp>
#include <commutant/kernels/detail/int4_pack_avx512_vbmi.hpp>
#include <commutant/kernels/detail/int4_pack_scalar.hpp>
#include <commutant/kernels/isa.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace commutant::kernels {

/// Bytes that n packed 4-bit values take.
[[nodiscard]] constexpr std::size_t packed_int4_size(std::size_t n) noexcept { return (n + 1) / 2; }

/// Values that share a block of nibble_order::half_split unless the caller says otherwise.
inline constexpr std::size_t default_nibble_block = 32;

namespace detail {

using pack_int4_function = void(std::uint8_t const*, nibble_run, std::uint8_t*) noexcept;
using unpack_int4_function = void(std::uint8_t const*, nibble_run, std::uint8_t*) noexcept;

inline constexpr std::array pack_int4_bodies {
#if defined(COMMUTANT_KERNELS_X86)
    body<pack_int4_function>{isa::avx512bw, pack_int4_avx512},
        body<pack_int4_function>{isa::avx2, pack_int4_avx2},
#endif
        body<pack_int4_function>{isa::scalar, pack_int4_scalar},
};
inline constexpr std::array unpack_signed_int4_bodies {
#if defined(COMMUTANT_KERNELS_X86)
    body<unpack_int4_function>{isa::avx512_vbmi, unpack_int4_avx512_vbmi<true>},
        body<unpack_int4_function>{isa::avx512bw, unpack_int4_avx512<true>},
        body<unpack_int4_function>{isa::avx2, unpack_int4_avx2<true>},
#endif
        body<unpack_int4_function>{isa::scalar, unpack_int4_scalar<true>},
};
inline constexpr std::array unpack_unsigned_int4_bodies {
#if defined(COMMUTANT_KERNELS_X86)
    body<unpack_int4_function>{isa::avx512_vbmi, unpack_int4_avx512_vbmi<false>},
        body<unpack_int4_function>{isa::avx512bw, unpack_int4_avx512<false>},
        body<unpack_int4_function>{isa::avx2, unpack_int4_avx2<false>},
#endif
        body<unpack_int4_function>{isa::scalar, unpack_int4_scalar<false>},
};

}  // namespace detail

/// Packs 4-bit values, one per byte, two into a byte.
///
/// Shape     values: [n]; packed: [packed_int4_size(n)]
/// Layout    nibble_order; the upper half of every value is ignored, so int8 codes become two's complement nibbles
/// Alias     packed may begin where values begins, or lie apart
/// Tail      n odd: the nibble without a value is zero. half_split: block is even and n a multiple of it
inline void pack_int4(std::span<std::uint8_t const> values, std::span<std::uint8_t> packed,
                      nibble_order order = nibble_order::interleaved,
                      std::size_t block = default_nibble_block) noexcept {
    dispatched<detail::pack_int4_bodies>{}(values.data(), detail::nibble_run{values.size(), order, block},
                                           packed.data());
}

/// The same for signed values in [-8, 7].
inline void pack_int4(std::span<std::int8_t const> values, std::span<std::uint8_t> packed,
                      nibble_order order = nibble_order::interleaved,
                      std::size_t block = default_nibble_block) noexcept {
    pack_int4({reinterpret_cast<std::uint8_t const*>(values.data()), values.size()}, packed, order, block);
}

/// Unpacks unsigned 4-bit values, [0, 15].
///
/// Shape     packed: [packed_int4_size(n)]; values: [n]
/// Layout    nibble_order
/// Alias     packed and values lie apart
/// Tail      any n; half_split: block is even and n a multiple of it
inline void unpack_int4(std::span<std::uint8_t const> packed, std::span<std::uint8_t> values,
                        nibble_order order = nibble_order::interleaved,
                        std::size_t block = default_nibble_block) noexcept {
    dispatched<detail::unpack_unsigned_int4_bodies>{}(
        packed.data(), detail::nibble_run{values.size(), order, block}, values.data());
}

/// Unpacks signed 4-bit values, two's complement, [-8, 7].
inline void unpack_int4(std::span<std::uint8_t const> packed, std::span<std::int8_t> values,
                        nibble_order order = nibble_order::interleaved,
                        std::size_t block = default_nibble_block) noexcept {
    dispatched<detail::unpack_signed_int4_bodies>{}(packed.data(),
                                                    detail::nibble_run{values.size(), order, block},
                                                    reinterpret_cast<std::uint8_t*>(values.data()));
}

}  // namespace commutant::kernels
