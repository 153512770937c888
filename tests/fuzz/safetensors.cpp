// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include <commutant/io/safetensors_header.hpp>

// A header is refused with input_error, or its tensors tile the data exactly.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    try {
        auto const header = commutant::io::parse_safetensors(std::as_bytes(std::span(data, size)), "fuzz");
        std::size_t at = 0;
        for (auto const& [name, info] : header.tensors) {
            if (info.begin != at || info.end < info.begin) std::abort();
            if ((info.end - info.begin) * 8 != info.count * commutant::io::dtype_bits(info.type))
                std::abort();
            at = info.end;
        }
        if (header.data_begin + at != size) std::abort();
    } catch (commutant::io::input_error const&) {
    }
    return 0;
}
