// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <nlohmann/json.hpp>

#include <commutant/io/bpe_tokenizer.hpp>
#include <commutant/io/error.hpp>
#include <commutant/io/json.hpp>
#include <commutant/io/llama2c_tokenizer.hpp>
#include <commutant/io/mapped_file.hpp>

namespace commutant::io {

/// A tokeniser of either kind: byte-level BPE (tokenizer.json) or llama2.c (tokenizer.bin).
///
/// Ids of the begin and end of a text come from the template of tokenizer.json, then from
/// tokenizer_config.json, generation_config.json and config.json beside it; not every tokeniser has them.
/// Errors    input_error for a bad file, a text that is not UTF-8 (BPE), or a vocabulary that does not fit
///           the model
class tokenizer {
public:
    /// Opens a tokeniser file, or the tokenizer.json or tokenizer.bin of a folder.
    [[nodiscard]] static tokenizer open(std::filesystem::path const& path) {
        namespace fs = std::filesystem;
        std::error_code error;
        if (!fs::is_directory(path, error)) return open_file(path);
        for (char const* name : {"tokenizer.json", "tokenizer.bin"})
            if (fs::exists(path / name, error)) return open_file(path / name);
        throw input_error(path.string(), "has neither tokenizer.json nor tokenizer.bin");
    }

    [[nodiscard]] std::filesystem::path const& path() const noexcept { return path_; }

    /// One more than the largest id.
    [[nodiscard]] std::size_t vocab_size() const {
        return std::visit([](auto const& one) { return one.vocab_size(); }, kind_);
    }

    /// Id that begins a text, if the tokeniser has one.
    [[nodiscard]] std::optional<std::int32_t> bos() const noexcept { return bos_; }

    /// Id that ends a text, if the tokeniser has one.
    [[nodiscard]] std::optional<std::int32_t> eos() const noexcept { return eos_; }

    /// Ids of a text, with neither begin nor end added.
    [[nodiscard]] std::vector<std::int32_t> encode(std::string_view text) const {
        return std::visit([&](auto const& one) { return one.encode(text); }, kind_);
    }

    /// Ids of a text with what a client would add: the template of tokenizer.json, or BOS for llama2.c.
    [[nodiscard]] std::vector<std::int32_t> encode_for_model(std::string_view text) const {
        auto ids = encode(text);
        if (auto const* const bpe = std::get_if<bpe_tokenizer>(&kind_)) {
            ids.insert(ids.begin(), bpe->prefix().begin(), bpe->prefix().end());
            ids.insert(ids.end(), bpe->suffix().begin(), bpe->suffix().end());
        } else {
            ids.insert(ids.begin(), llama2c_tokenizer::bos);
        }
        return ids;
    }

    /// Text of ids, without begin, end and other special tokens.
    [[nodiscard]] std::string decode(std::span<std::int32_t const> ids) const {
        return std::visit([&](auto const& one) { return one.decode(ids); }, kind_);
    }

    /// Refuses a tokeniser that belongs to another model.
    ///
    /// Models of Hugging Face may pad their embedding, by less than 1/32 of its rows and at most 1024 of
    /// them; llama2.c vocabularies agree exactly.
    void require_vocabulary(std::size_t model_vocab_size) const {
        bool const exact = std::holds_alternative<llama2c_tokenizer>(kind_);
        std::size_t const padding = exact ? 0 : std::min<std::size_t>(1024, model_vocab_size / 32);
        if (vocab_size() <= model_vocab_size && model_vocab_size - vocab_size() <= padding) return;
        throw input_error(path_.string(),
                          "has " + std::to_string(vocab_size()) + " tokens, expected " +
                              std::to_string(model_vocab_size) + " as the model has" +
                              (padding == 0 ? "" : " (up to " + std::to_string(padding) + " fewer)"));
    }

private:
    using either = std::variant<llama2c_tokenizer, bpe_tokenizer>;

    tokenizer(std::filesystem::path path, either kind) : path_(std::move(path)), kind_(std::move(kind)) {}

    static tokenizer open_file(std::filesystem::path const& path) {
        if (path.extension() != ".json") {
            tokenizer result(path, llama2c_tokenizer::open(path));
            result.bos_ = llama2c_tokenizer::bos;
            result.eos_ = llama2c_tokenizer::eos;
            return result;
        }
        tokenizer result(path, bpe_tokenizer::open(path));
        auto const& bpe = std::get<bpe_tokenizer>(result.kind_);
        if (!bpe.prefix().empty()) result.bos_ = bpe.prefix().front();
        if (!bpe.suffix().empty()) result.eos_ = bpe.suffix().back();
        result.read_side_files();
        return result;
    }

    /// Fills in what tokenizer.json does not say from the files that usually lie beside it.
    void read_side_files() {
        for (char const* name : {"tokenizer_config.json", "generation_config.json", "config.json"}) {
            auto const file = path_.parent_path() / name;
            std::error_code error;
            if ((bos_ && eos_) || !std::filesystem::exists(file, error)) continue;
            auto const json = parse_json(read_text(file, 64'000'000), file.string());
            if (!bos_) bos_ = side_id(json, "bos_token", file.string());
            if (!eos_) eos_ = side_id(json, "eos_token", file.string());
        }
    }

    /// "bos_token": "<s>" or {"content": "<s>"}, or "bos_token_id": 1 or [1, ...].
    [[nodiscard]] std::optional<std::int32_t> side_id(nlohmann::json const& json, std::string const& key,
                                                      std::string const& where) const {
        if (!json.is_object()) return std::nullopt;
        if (auto const token = json.find(key); token != json.end() && !token->is_null()) {
            nlohmann::json const* content = &*token;
            if (token->is_object()) content = token->contains("content") ? &*token->find("content") : nullptr;
            if (content == nullptr || !content->is_string())
                throw input_error(where, key + " is " + token->dump() + ", expected a token");
            auto const id = std::get<bpe_tokenizer>(kind_).find_added(content->get_ref<std::string const&>());
            if (!id)
                throw input_error(
                    where, key + " is " + content->dump() + ", which is no added token of tokenizer.json");
            return id;
        }
        auto const found = json.find(key + "_id");
        if (found == json.end() || found->is_null()) return std::nullopt;
        auto const& id = found->is_array() && !found->empty() ? found->front() : *found;
        if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= vocab_size())
            throw input_error(where, key + "_id is " + found->dump() + ", expected an id below " +
                                         std::to_string(vocab_size()));
        return id.get<std::int32_t>();
    }

    std::filesystem::path path_;
    either kind_;
    std::optional<std::int32_t> bos_{};
    std::optional<std::int32_t> eos_{};
};

/// The tokeniser file that lies with a model, if any: tokenizer.json of a folder; tok<vocab_size>.bin or
/// tokenizer.bin.
[[nodiscard]] inline std::optional<std::filesystem::path> find_tokenizer(
    std::filesystem::path const& directory, std::size_t model_vocab_size) {
    std::error_code error;
    for (std::string const& name :
         {std::string("tokenizer.json"), "tok" + std::to_string(model_vocab_size) + ".bin",
          std::string("tokenizer.bin")})
        if (std::filesystem::exists(directory / name, error)) return directory / name;
    return std::nullopt;
}

}  // namespace commutant::io
