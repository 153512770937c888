// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include <commutant/io/config_text.hpp>
#include <commutant/io/decoder_tensors.hpp>
#include <commutant/io/hf_config.hpp>

// A config.json is refused with input_error, or its geometry holds together and rewriting it changes what
// it should.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    using namespace commutant;
    std::string const text(reinterpret_cast<char const*>(data), size);
    try {
        auto const rewritten = io::rewrite_config(text, {false, "float32"}, "fuzz");
        auto const before = io::parse_json(text, "before");
        auto const after = io::parse_json(rewritten, "after");
        if (after.at("tie_word_embeddings") != false) std::abort();
        if (after.at(before.contains("dtype") ? "dtype" : "torch_dtype") != "float32") std::abort();
        for (auto const& [key, value] : before.items())
            if (key != "tie_word_embeddings" && key != "dtype" && key != "torch_dtype" &&
                after.at(key) != value)
                std::abort();
    } catch (io::input_error const&) {
    }
    try {
        auto const config = io::parse_hf_config(text, "fuzz");
        if (config.n_heads % config.n_kv_heads != 0 || config.n_rep() == 0) std::abort();
        if (config.rotary_dim % 2 != 0 || config.rotary_dim > config.head_dim) std::abort();
        if (config.max_positions == 0 || !(config.rms_norm_eps > 0) || !(config.scaling.factor >= 1))
            std::abort();
        if (config.n_layers <= 64 && io::decoder_tensors(config).size() < 9 * config.n_layers) std::abort();
    } catch (io::input_error const&) {
    }
    return 0;
}
