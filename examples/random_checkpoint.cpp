// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

// Writes a checkpoint of random weights in the shapes of Llama 3 8B, bfloat16, a few rows in memory at a time: something
// large to try programs on. Some input channels are far larger than others, as in models that were trained.
//
//   random_checkpoint FOLDER [BLOCKS [VOCABULARY]]     2 blocks and 128256 tokens: 3 GB
//
// Without a folder a small one is written, read and removed.

#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <span>
#include <string>
#include <vector>

#include <commutant/core/random.hpp>
#include <commutant/io/atomic_directory.hpp>
#include <commutant/io/checkpoint.hpp>
#include <commutant/io/sharded_writer.hpp>

namespace cm = commutant;
namespace io = commutant::io;
namespace fs = std::filesystem;

namespace {

std::string config_of(std::size_t shrunk_by, std::size_t n_layers, std::size_t vocab_size) {
    auto const size = [&](std::size_t n) { return std::to_string(n / shrunk_by); };
    return "{\"model_type\": \"llama\", \"hidden_act\": \"silu\", \"hidden_size\": " + size(4096) +
           ", \"intermediate_size\": " + size(14336) +
           ", \"num_hidden_layers\": " + std::to_string(n_layers) +
           ", \"num_attention_heads\": 32, \"num_key_value_heads\": 8, \"head_dim\": " + size(128) +
           ", \"vocab_size\": " + std::to_string(vocab_size) +
           ", \"max_position_embeddings\": 8192, \"rms_norm_eps\": 1e-05, \"rope_theta\": 500000.0,"
           " \"tie_word_embeddings\": false, \"torch_dtype\": \"bfloat16\"}\n";
}

/// About a normal number of standard deviation 1: four uniform ones of 16 bits each.
float normal(cm::random_source& random) {
    auto const word = random.next_word();
    auto sum = static_cast<std::int64_t>(word & 0xffff) + static_cast<std::int64_t>(word >> 16 & 0xffff) +
               static_cast<std::int64_t>(word >> 32 & 0xffff) + static_cast<std::int64_t>(word >> 48);
    return static_cast<float>(sum - 131070) * 2.643e-5f;
}

void write_checkpoint(fs::path const& folder, std::string const& config) {
    auto const c = io::parse_hf_config(config, "config.json");
    std::vector<io::tensor_declaration> declared;
    for (auto const& t : io::decoder_tensors(c)) declared.push_back({t.name, io::dtype::bf16, t.shape});
    io::atomic_directory out(folder);
    io::sharded_writer writer(out.path(), declared);
    cm::random_source random(1);
    for (auto const& t : declared) {
        std::size_t const n_columns = t.shape.back();
        bool const is_gain = t.shape.size() == 1;
        std::vector<float> scale(n_columns), row(n_columns);
        for (float& s : scale) {
            float const size = std::exp(0.3f * normal(random));
            s = size * (random.next_below(256) == 0 ? 8.0f : 1.0f) * (is_gain ? 1.0f : 0.02f);
        }
        for (std::size_t i = 0; i < (is_gain ? 1 : t.shape[0]); ++i) {
            for (std::size_t j = 0; j < n_columns; ++j)
                row[j] = is_gain ? scale[j] : scale[j] * normal(random);
            writer.write(t.name, std::span<float const>(row));
        }
    }
    writer.commit();
    io::write_text(out.path() / "config.json", config);
    out.commit();
}

}  // namespace

int main(int argc, char** argv) {
    auto const number = [&](int i, std::size_t otherwise) {
        return argc > i ? static_cast<std::size_t>(std::strtoull(argv[i], nullptr, 10)) : otherwise;
    };
    bool const is_trial = argc < 2;
    fs::path const folder =
        is_trial ? fs::temp_directory_path() / ("random_checkpoint_" + std::to_string(::getpid()))
                 : fs::path(argv[1]);
    try {
        write_checkpoint(folder,
                         config_of(is_trial ? 64 : 1, number(2, 2), number(3, is_trial ? 100 : 128256)));
        auto const source = io::checkpoint::open(folder);
        std::size_t n = 0;
        for (auto const& name : source.names()) n += source.size(name);
        std::cout << source.names().size() << " tensors, " << n << " weights in bfloat16\n";
    } catch (std::exception const& error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
    if (is_trial) fs::remove_all(folder);
}
