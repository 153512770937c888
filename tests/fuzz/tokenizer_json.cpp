// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include <commutant/io/bpe_tokenizer.hpp>

// A tokenizer.json is refused with input_error, or it encodes any text and its ids stay in its vocabulary.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    std::string const file(reinterpret_cast<char const*>(data), size);
    try {
        commutant::io::bpe_tokenizer const tokens(file, "fuzz");
        auto const ids = tokens.encode(file.substr(0, 2000));
        for (auto const id : ids)
            if (id < 0 || static_cast<std::size_t>(id) >= tokens.vocab_size()) std::abort();
        static_cast<void>(tokens.decode(ids));
    } catch (commutant::io::input_error const&) {
    }
    return 0;
}
