// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>

#include <commutant/io/bpe_tokenizer.hpp>
#include <commutant/io/corpus.hpp>
#include <commutant/io/detail/split_rule.hpp>
#include <commutant/io/detail/unicode_nfc.hpp>
#include <commutant/io/llama2c_tokenizer.hpp>

#include "unit/io_support.hpp"

namespace {

/// Splits a text by a rule and checks that the pieces tile it.
void check_tiling(commutant::detail::split_rule const& rule, std::string_view text) {
    for (std::size_t i = 0; i < text.size();) {
        std::size_t const end = commutant::detail::match_end(rule, text, i);
        if (end <= i || end > text.size()) std::abort();
        i = end;
    }
}

}  // namespace

// Any bytes are a text: they are refused as not UTF-8, or encoding loses nothing.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    using namespace commutant;
    static io::bpe_tokenizer const bpe(testing::tiny_bpe_tokenizer().dump(), "tiny");
    static io::llama2c_tokenizer const llama2c(testing::as_bytes(testing::tiny_llama2c_tokenizer()), "tiny");
    std::string const text(reinterpret_cast<char const*>(data), size);
    if (llama2c.decode(llama2c.encode(text)) != text) std::abort();
    std::size_t documents = 0;
    for (auto const& document : io::split_documents(text)) documents += document.size();
    if (documents > size) std::abort();
    for (std::size_t const digits : {0, 1, 3}) check_tiling({true, digits}, text);
    check_tiling({false, 0}, text);
    bool const plain = !detail::find_invalid_utf8(text).has_value();
    try {
        auto const decoded = bpe.decode(bpe.encode(text));
        bool const special = text.find("<s>") != std::string::npos || text.find("</s>") != std::string::npos;
        if (!plain || (!special && decoded != text)) std::abort();
        auto const normal = detail::normalized_nfc(text);
        if (detail::find_invalid_utf8(normal) || detail::normalized_nfc(normal) != normal) std::abort();
    } catch (io::input_error const&) {
        if (plain) std::abort();
    }
    return 0;
}
