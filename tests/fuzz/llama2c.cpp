// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include <commutant/io/llama2c.hpp>

// A file is refused with input_error, or every tensor lies within it and none is larger than it.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    try {
        auto const layout = commutant::io::parse_llama2c(std::as_bytes(std::span(data, size)), "fuzz");
        for (auto const& tensor : layout.tensors) {
            bool const quantized = tensor.scales_begin != 0;
            if (tensor.begin >= size || tensor.count > size) std::abort();
            std::size_t const end = quantized ? tensor.scales_begin + tensor.count / layout.group_size * 4
                                              : tensor.begin + tensor.count * 4;
            if (end > size || end < tensor.begin) std::abort();
        }
    } catch (commutant::io::input_error const&) {
    }
    return 0;
}
