// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include <commutant/io/decoder_tensors.hpp>
#include <commutant/io/hf_config.hpp>
#include <commutant/io/sharded_writer.hpp>
#include <commutant/io/tokens.hpp>
#include <commutant/model/inference.hpp>
#include <commutant/model/named_tensors.hpp>
#include <commutant/model/random_decoder.hpp>
#include <commutant/readings/eigen_matrix.hpp>

#include "program_run.hpp"

// Models small enough to be made for each test, of random weights.

namespace program_test {

namespace cm = commutant;

inline constexpr std::size_t small_vocabulary = 300;

/// config.json of the small model.
inline std::string small_config(std::string const& model_type = "llama") {
    return "{\n  \"model_type\": \"" + model_type +
           "\",\n  \"hidden_act\": \"silu\",\n  \"hidden_size\": 16,\n  \"intermediate_size\": 24,\n"
           "  \"num_hidden_layers\": 2,\n  \"num_attention_heads\": 4,\n  \"num_key_value_heads\": 2,\n"
           "  \"head_dim\": 4,\n  \"vocab_size\": 300,\n  \"max_position_embeddings\": 32,\n"
           "  \"rms_norm_eps\": 1e-05,\n  \"tie_word_embeddings\": true,\n  \"torch_dtype\": "
           "\"float32\"\n}\n";
}

inline cm::decoder<cm::eigen_matrix<float>> small_decoder(cm::model_config const& c) {
    cm::random_source random(11);
    cm::parameter_source<float> source(random);
    auto m = cm::random_decoder<cm::eigen_matrix<float>>(c, source);
    m.lm_head = {};
    return m;
}

/// The tokeniser of llama2.c with its byte tokens, letters, and names for the rest of the vocabulary.
inline std::string small_tokenizer(std::size_t n_tokens = small_vocabulary) {
    std::string bytes;
    auto const append = [&](auto value) {
        char raw[sizeof value];
        std::memcpy(raw, &value, sizeof value);
        bytes.append(raw, sizeof value);
    };
    append(std::uint32_t{16});
    for (std::size_t i = 0; i < n_tokens; ++i) {
        std::string piece;
        if (i == 0)
            piece = "<unk>";
        else if (i == 1)
            piece = "\n<s>\n";
        else if (i == 2)
            piece = "\n</s>\n";
        else if (i < 259) {
            char text[8];
            std::snprintf(text, sizeof text, "<0x%02X>", static_cast<unsigned>(i - 3));
            piece = text;
        } else if (i == 259)
            piece = " ";
        else if (i < 286)
            piece = std::string(1, static_cast<char>('a' + (i - 260)));
        else
            piece = "#" + std::to_string(i);
        append(static_cast<float>(0));
        append(static_cast<std::uint32_t>(piece.size()));
        bytes += piece;
    }
    return bytes;
}

/// Writes a Hugging Face folder with its tokeniser; weights in files of at most shard_limit bytes.
inline fs::path make_folder_model(fs::path const& folder, std::string const& model_type = "llama",
                                  std::size_t shard_limit = cm::io::sharded_writer::default_shard_limit) {
    fs::create_directory(folder);
    write_file(folder / "config.json", small_config(model_type));
    write_file(folder / "tok300.bin", small_tokenizer());
    cm::model_config const c = cm::io::parse_hf_config(small_config(model_type), "config");
    auto const m = small_decoder(c);
    std::vector<cm::io::tensor_declaration> declared;
    for (auto const& t : cm::io::decoder_tensors(c))
        declared.push_back({t.name, cm::io::dtype::f32, t.shape});
    cm::io::sharded_writer writer(folder, declared, shard_limit);
    cm::visit_tensors(m, [&](std::string const& name, auto const& w) {
        if (w.size() != 0) writer.write(name, std::span<float const>(w.data(), w.size()));
    });
    writer.commit();
    return folder;
}

/// Writes a llama2.c checkpoint of version 0, and its tokeniser beside it.
inline fs::path make_llama2c_model(fs::path const& folder) {
    fs::create_directory(folder);
    write_file(folder / "tok300.bin", small_tokenizer());
    cm::model_config const c = cm::io::parse_hf_config(small_config(), "config");
    auto const m = small_decoder(c);
    std::string bytes;
    auto const append = [&](cm::eigen_matrix<float> const& w) {
        bytes.append(reinterpret_cast<char const*>(w.data()), w.size() * sizeof(float));
    };
    for (std::int32_t const x : {16, 24, 2, 4, 2, 300, 32}) {
        char raw[4];
        std::memcpy(raw, &x, 4);
        bytes.append(raw, 4);
    }
    append(m.embedding);
    for (auto const& l : m.layers) append(l.attention_norm);
    for (auto const& l : m.layers) append(l.q_proj.weight);
    for (auto const& l : m.layers) append(l.k_proj.weight);
    for (auto const& l : m.layers) append(l.v_proj.weight);
    for (auto const& l : m.layers) append(l.o_proj.weight);
    for (auto const& l : m.layers) append(l.ffn_norm);
    for (auto const& l : m.layers) append(l.gate_proj.weight);
    for (auto const& l : m.layers) append(l.down_proj.weight);
    for (auto const& l : m.layers) append(l.up_proj.weight);
    append(m.final_norm);
    append(cm::eigen_matrix<float>(32, 4));  // RoPE tables, which readers skip
    write_file(folder / "model.bin", bytes);
    return folder / "model.bin";
}

/// Texts of a few windows.
inline fs::path make_text(fs::path const& path, int n_documents = 6) {
    std::string text;
    for (int i = 0; i < n_documents; ++i)
        text += "the fox saw " + std::string(static_cast<std::size_t>(i + 1), 'o') +
                " dog and it ran into the wood\n<|endoftext|>\n";
    write_file(path, text);
    return path;
}

/// Text enough to train on, of windows that differ from those of make_text.
inline fs::path make_training_text(fs::path const& path) {
    std::string documents;
    for (int i = 1; i < 12; ++i)
        documents += "a " + std::string(static_cast<std::size_t>(i), 'm') + " cat sat on no mat at " +
                     std::string(static_cast<std::size_t>(12 - i), 'x') + "\n<|endoftext|>\n";
    write_file(path, documents);
    return path;
}

}  // namespace program_test
