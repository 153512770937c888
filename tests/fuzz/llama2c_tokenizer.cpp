// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>

#include <commutant/io/llama2c_tokenizer.hpp>

// A tokeniser is refused with input_error, or it encodes any text and its ids stay in its vocabulary.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    try {
        commutant::io::llama2c_tokenizer const tokens(std::as_bytes(std::span(data, size)), "fuzz");
        std::string const text(reinterpret_cast<char const*>(data), size < 2000 ? size : 2000);
        for (auto const id : tokens.encode(text))
            if (id < 0 || static_cast<std::size_t>(id) >= tokens.vocab_size()) std::abort();
    } catch (commutant::io::input_error const&) {
    }
    return 0;
}
