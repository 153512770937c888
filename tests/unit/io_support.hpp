// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdlib.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <commutant/io/detail/tokenizer_json.hpp>
#include <commutant/io/error.hpp>

// What the tests and fuzz targets of the io room share: folders that clean up, files made by hand.

namespace commutant::testing {

/// An empty folder that goes away with its content.
class temporary_directory {
public:
    temporary_directory() {
        std::string name = (std::filesystem::temp_directory_path() / "commutant-test-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder: " + name);
        path_ = name;
    }
    temporary_directory(temporary_directory const&) = delete;
    temporary_directory& operator=(temporary_directory const&) = delete;
    ~temporary_directory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    [[nodiscard]] std::filesystem::path const& path() const { return path_; }

    /// Names in the folder, hidden ones too.
    [[nodiscard]] std::size_t count() const {
        return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(path_), {}));
    }

private:
    std::filesystem::path path_;
};

inline void write_file(std::filesystem::path const& path, std::string_view content) {
    std::ofstream out(path, std::ios::binary);
    out.write(content.data(), static_cast<std::streamsize>(content.size()));
    out.close();
    if (!out) throw std::runtime_error("cannot write " + path.string());
}

inline std::string read_file(std::filesystem::path const& path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) throw std::runtime_error("cannot read " + path.string());
    return {std::istreambuf_iterator<char>(in), {}};
}

inline std::span<std::byte const> as_bytes(std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
}

/// Little-endian bytes of a number.
template <class T> std::string bytes_of(T value) {
    std::string out(sizeof(T), '\0');
    std::memcpy(out.data(), &value, sizeof(T));
    return out;
}

/// A safetensors file with that header, sizes as they are.
inline std::string safetensors_bytes(std::string const& header, std::string const& data) {
    return bytes_of<std::uint64_t>(header.size()) + header + data;
}

/// Words of the refusal that an action ends in; empty if it is not refused in that way.
template <class Error = io::input_error, class Action> std::string refusal(Action const& action) {
    try {
        action();
    } catch (Error const& error) {
        return error.what();
    }
    return {};
}

/// tokenizer.bin: three special pieces, the bytes, then " ", "a", "b", "ab", " a", "ab a", "aa".
inline std::string tiny_llama2c_tokenizer() {
    std::vector<std::pair<std::string, float>> pieces{{"<unk>", 0}, {"\n<s>\n", 0}, {"\n</s>\n", 0}};
    for (int byte = 0; byte < 256; ++byte) {
        char text[8];
        std::snprintf(text, sizeof text, "<0x%02X>", static_cast<unsigned>(byte));
        pieces.emplace_back(text, 0.0f);
    }
    for (auto const& piece : {" ", "a", "b"}) pieces.emplace_back(piece, -100.0f);
    pieces.emplace_back("ab", -1.0f);
    pieces.emplace_back(" a", -2.0f);
    pieces.emplace_back("ab a", -3.0f);
    pieces.emplace_back("aa", -4.0f);
    std::string out = bytes_of<std::uint32_t>(6);
    for (auto const& [text, score] : pieces)
        out += bytes_of(score) + bytes_of(static_cast<std::uint32_t>(text.size())) + text;
    return out;
}

/// tokenizer.json over all bytes (ids 0 to 255 in byte order), some merges, `<s>` 300 and `</s>` 301.
inline nlohmann::json tiny_bpe_tokenizer() {
    nlohmann::json json;
    auto& vocab = json["model"]["vocab"];
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
        std::string token;
        detail::append_utf8(token, detail::byte_characters()[byte]);
        vocab[token] = byte;
    }
    std::string const blank = "\xc4\xa0";  // what stands for a space
    int id = 256;
    for (auto const& [left, right] : std::vector<std::pair<std::string, std::string>>{
             {"h", "e"}, {"l", "l"}, {"he", "ll"}, {"hell", "o"}, {blank, "w"}, {"a", "a"}}) {
        vocab[left + right] = id++;
        json["model"]["merges"].push_back(nlohmann::json::array({left, right}));
    }
    json["model"]["type"] = "BPE";
    json["added_tokens"] = nlohmann::json::parse(
        R"([{"id":300,"content":"<s>","special":true},{"id":301,"content":"</s>","special":true},
            {"id":302,"content":"<tool>","special":false,"normalized":false}])");
    json["pre_tokenizer"] =
        nlohmann::json::parse(R"({"type":"ByteLevel","add_prefix_space":false,"use_regex":true})");
    json["decoder"] = {{"type", "ByteLevel"}};
    json["post_processor"] = nlohmann::json::parse(
        R"({"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},
            {"Sequence":{"id":"A","type_id":0}}],
            "special_tokens":{"<s>":{"id":"<s>","ids":[300],"tokens":["<s>"]}}})");
    return json;
}

/// config.json of a small Llama whose sizes all differ.
inline nlohmann::json tiny_llama_config() {
    return nlohmann::json::parse(R"({"model_type":"llama","hidden_size":12,"intermediate_size":20,
        "num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,"head_dim":6,"vocab_size":11,
        "max_position_embeddings":64,"rms_norm_eps":1e-5,"hidden_act":"silu","rope_theta":10000.0})");
}

}  // namespace commutant::testing
