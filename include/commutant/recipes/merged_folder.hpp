// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <commutant/io/checkpoint.hpp>
#include <commutant/io/config_text.hpp>
#include <commutant/io/sharded_writer.hpp>
#include <commutant/model/named_tensors.hpp>

namespace commutant {

namespace detail {
/// Refuses what a plain checkpoint cannot say: other programs would run it and compute something else.
template <class M> void require_plain(decoder<M> const& m, char const* who) {
    if (m.online.down_input || m.online.token_scale)
        throw std::invalid_argument(std::string(who) +
                                    ": the decoder has online transforms, which a plain checkpoint cannot "
                                    "carry; expected merged ones only");
    if (m.config.rope_pairing != pairing::half_split)
        throw std::invalid_argument(std::string(who) +
                                    ": RoPE pairs neighbours, expected half_split as Hugging Face has it "
                                    "(change_pairing_in_place)");
}

/// The name that config.json has for a storage type.
[[nodiscard]] inline std::string config_dtype(io::dtype type) {
    switch (type) {
        case io::dtype::f16:
            return "float16";
        case io::dtype::bf16:
            return "bfloat16";
        case io::dtype::f64:
            return "float64";
        default:
            return "float32";
    }
}

/// config.json of a model that came without one: a llama2.c checkpoint.
[[nodiscard]] inline std::string new_llama_config(model_config const& c, io::dtype type) {
    nlohmann::ordered_json const config{{"architectures", {"LlamaForCausalLM"}},
                                        {"model_type", "llama"},
                                        {"hidden_act", "silu"},
                                        {"hidden_size", c.model_dim},
                                        {"intermediate_size", c.ffn_dim},
                                        {"num_hidden_layers", c.n_layers},
                                        {"num_attention_heads", c.n_heads},
                                        {"num_key_value_heads", c.n_kv_heads},
                                        {"head_dim", c.head_dim},
                                        {"vocab_size", c.vocab_size},
                                        {"max_position_embeddings", c.max_positions},
                                        {"rms_norm_eps", c.rms_norm_eps},
                                        {"rope_theta", c.rope_theta},
                                        {"attention_bias", false},
                                        {"mlp_bias", false},
                                        {"tie_word_embeddings", c.tied_head},
                                        {"bos_token_id", 1},
                                        {"eos_token_id", 2},
                                        {"torch_dtype", config_dtype(type)}};
    return config.dump(2) + "\n";
}

/// Type in which a tensor of a merged model is stored: asked for, or the original's, or float32 for packed integers.
[[nodiscard]] inline io::dtype storage_type(io::checkpoint const& original, std::string const& name,
                                            std::optional<io::dtype> store_as) {
    if (store_as) return *store_as;
    io::dtype const type =
        original.storage_type(original.contains(name) ? name : "model.embed_tokens.weight");
    return io::is_weight_dtype(type) ? type : io::dtype::f32;
}
}  // namespace detail

/// Files that belong to a model without being its weights, such as its tokeniser: what a copy of it should hold too.
[[nodiscard]] inline std::vector<std::filesystem::path> side_files(io::checkpoint const& original) {
    std::vector<std::filesystem::path> found;
    if (!original.is_folder()) return found;
    std::error_code error;
    for (char const* name :
         {"tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "merges.txt",
          "special_tokens_map.json", "added_tokens.json", "chat_template.jinja", "generation_config.json"})
        if (auto const path = original.directory() / name; std::filesystem::is_regular_file(path, error))
            found.push_back(path);
    return found;
}

/// The config.json under which Hugging Face clients load a merged decoder: the original's, with only those keys changed
/// that merging changes.
[[nodiscard]] inline std::string merged_config_text(model_config const& merged,
                                                    io::checkpoint const& original,
                                                    std::optional<io::dtype> store_as = {}) {
    if (!original.is_folder())
        return detail::new_llama_config(
            merged, detail::storage_type(original, "model.embed_tokens.weight", store_as));
    io::config_changes changes;
    if (merged.tied_head != original.config().tied_head) changes.tie_word_embeddings = merged.tied_head;
    if (store_as) changes.dtype = detail::config_dtype(*store_as);
    return io::rewrite_config(original.config_text(), changes,
                              (original.directory() / "config.json").string());
}

/// Writes a merged decoder as a plain Hugging Face folder, tensor by tensor: any client loads it, and computes the original's
/// function.
///
/// Gains that were folded become ones; a head that was tied and no longer is gets its own tensor. Each weight is rounded
/// once, to the type that the original stores it in (float32 where that is packed integers) or to store_as.
///
/// directory exists and is empty, that of an io::atomic_directory
/// Errors    io::output_error for a value that the type cannot hold or a failed write
class merged_writer {
public:
    merged_writer(std::filesystem::path directory, model_config const& merged, io::checkpoint const& original,
                  std::optional<io::dtype> store_as = {})
        : directory_(std::move(directory)),
          config_text_(merged_config_text(merged, original, store_as)),
          writer_(directory_, declared(merged, original, store_as)) {
        for (auto const& t : io::decoder_tensors(merged)) {
            std::size_t n = 1;
            for (std::size_t const extent : t.shape) n *= extent;
            n_elements_.emplace(t.name, n);
        }
    }

    /// A tensor, or its next rows; an empty one is a gain that has been folded, or one that the model does not have.
    template <class M> void write(std::string const& name, M const& w) {
        using scalar = typename M::scalar;
        auto const wanted = n_elements_.find(name);
        if (wanted == n_elements_.end()) return;
        if (w.size() == 0) {
            std::vector<scalar> const ones(wanted->second, scalar(1));
            writer_.write(name, std::span<scalar const>(ones));
        } else {
            writer_.write(name, std::span<scalar const>(w.data(), w.size()));
        }
    }

    /// Makes the files appear; every tensor must be complete.
    io::storage_report commit() {
        writer_.commit();
        io::write_text(directory_ / "config.json", config_text_);
        return writer_.report();
    }

private:
    [[nodiscard]] static std::vector<io::tensor_declaration> declared(model_config const& merged,
                                                                      io::checkpoint const& original,
                                                                      std::optional<io::dtype> store_as) {
        std::vector<io::tensor_declaration> list;
        for (auto const& t : io::decoder_tensors(merged))
            list.push_back({t.name, detail::storage_type(original, t.name, store_as), t.shape});
        return list;
    }

    std::filesystem::path directory_;
    std::string config_text_;
    io::sharded_writer writer_;
    std::map<std::string, std::size_t> n_elements_{};
};

/// Writes a merged decoder whole: see merged_writer.
///
/// Errors    std::invalid_argument if anything is left online or RoPE does not pair halves; those of merged_writer
template <class M>
io::storage_report write_merged_folder(std::filesystem::path const& directory, decoder<M> const& m,
                                       io::checkpoint const& original,
                                       std::optional<io::dtype> store_as = {}) {
    detail::require_plain(m, "write_merged_folder");
    merged_writer writer(directory, m.config, original, store_as);
    visit_tensors(m, [&](std::string const& name, M const& w) { writer.write(name, w); });
    return writer.commit();
}

/// The decoder as its merged folder stores it: every weight rounded to the storage type once.
template <class M>
[[nodiscard]] decoder<M> rounded_to_storage(decoder<M> m, io::checkpoint const& original,
                                            std::optional<io::dtype> store_as = {}) {
    using scalar = typename M::scalar;
    visit_tensors(m, [&](std::string const& name, M& w) {
        io::dtype const type = detail::storage_type(original, name, store_as);
        for (std::size_t k = 0; k < w.size(); ++k) {
            scalar& x = w.data()[k];
            if (type == io::dtype::f16)
                x = static_cast<scalar>(io::decode_f16(io::encode_f16(static_cast<double>(x))));
            else if (type == io::dtype::bf16)
                x = static_cast<scalar>(io::decode_bf16(io::encode_bf16(static_cast<double>(x))));
            else if (type == io::dtype::f32)
                x = static_cast<scalar>(static_cast<float>(x));
        }
    });
    return m;
}

}  // namespace commutant
