// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include <commutant/io/atomic_directory.hpp>
#include <commutant/io/atomic_file.hpp>
#include <commutant/io/bpe_tokenizer.hpp>
#include <commutant/io/checkpoint.hpp>
#include <commutant/io/corpus.hpp>
#include <commutant/io/safetensors_writer.hpp>
#include <commutant/io/windows.hpp>
#include <commutant/model/inference.hpp>
#include <commutant/model/named_tensors.hpp>
#include <commutant/readings/eigen_matrix.hpp>

namespace bundled {

namespace cm = commutant;
namespace io = commutant::io;

inline constexpr int bos = 1, eos = 2;

/// Writes a decoder of the Llama family as Hugging Face clients load it, every weight rounded to float16 once.
///
/// folder    must not exist; tokenizer: the tokenizer.json to copy into it
/// Errors    io::output_error if it cannot be written, or a weight is beyond float16
template <class M>
void write_model(std::filesystem::path const& folder_path, cm::decoder<M> const& m,
                 std::filesystem::path const& tokenizer_path) {
    cm::model_config const& c = m.config;
    io::atomic_directory folder(folder_path);
    std::vector<io::tensor_declaration> declared;
    for (auto const& tensor : io::decoder_tensors(c))
        declared.push_back({tensor.name, io::dtype::f16, tensor.shape});
    io::safetensors_writer writer(folder.path() / "model.safetensors", declared);
    cm::visit_tensors(m, [&](std::string const& name, M const& w) {
        if (w.size() != 0) writer.write(name, w.elements());
    });
    writer.commit();
    nlohmann::ordered_json const config{{"architectures", {"LlamaForCausalLM"}},
                                        {"attention_bias", false},
                                        {"bos_token_id", bos},
                                        {"eos_token_id", eos},
                                        {"head_dim", c.head_dim},
                                        {"hidden_act", "silu"},
                                        {"hidden_size", c.model_dim},
                                        {"intermediate_size", c.ffn_dim},
                                        {"max_position_embeddings", c.max_positions},
                                        {"mlp_bias", false},
                                        {"model_type", "llama"},
                                        {"num_attention_heads", c.n_heads},
                                        {"num_hidden_layers", c.n_layers},
                                        {"num_key_value_heads", c.n_kv_heads},
                                        {"pad_token_id", 0},
                                        {"rms_norm_eps", c.rms_norm_eps},
                                        {"rope_theta", c.rope_theta},
                                        {"tie_word_embeddings", c.tied_head},
                                        {"torch_dtype", "float16"},
                                        {"vocab_size", c.vocab_size}};
    io::write_text(folder.path() / "config.json", config.dump(2) + "\n");
    nlohmann::ordered_json const generation{
        {"bos_token_id", bos}, {"eos_token_id", eos}, {"pad_token_id", 0}};
    io::write_text(folder.path() / "generation_config.json", generation.dump(2) + "\n");
    nlohmann::ordered_json const tokenizer{{"bos_token", "<s>"},
                                           {"eos_token", "</s>"},
                                           {"pad_token", "<pad>"},
                                           {"clean_up_tokenization_spaces", false},
                                           {"model_max_length", c.max_positions},
                                           {"tokenizer_class", "PreTrainedTokenizerFast"}};
    io::write_text(folder.path() / "tokenizer_config.json", tokenizer.dump(2) + "\n");
    folder.copy_in(tokenizer_path);
    folder.commit();
}

/// Likelihood of all of a text, story by story, BOS first, in double precision.
inline cm::likelihood evaluate(std::filesystem::path const& model, std::filesystem::path const& text) {
    using exact = cm::eigen_matrix<double>;
    auto const m = cm::load_decoder<exact>(io::checkpoint::open(model));
    auto const tokenizer = io::bpe_tokenizer::open(model / "tokenizer.json");
    auto const documents = io::read_corpus(text);
    constexpr std::size_t all = std::numeric_limits<std::size_t>::max();
    auto const windows =
        io::reference_windows(documents, m.config.max_positions, bos,
                              [&](std::string_view s) { return tokenizer.encode(s); }, {all, all});
    cm::runner<exact> const run(m);
    cm::no_tap tap;
    cm::likelihood total;
    for (auto const& window : windows) total += window_likelihood(run, window, tap);
    return total;
}

}  // namespace bundled
