// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <commutant/io/decoder_tensors.hpp>
#include <commutant/io/dtype.hpp>
#include <commutant/io/error.hpp>
#include <commutant/io/mapped_file.hpp>
#include <commutant/io/safetensors.hpp>
#include <commutant/model/config.hpp>

namespace commutant::io {

/// One tensor of a llama2.c file, under its Hugging Face name.
///
/// Units     offsets in bytes from the start of the file
struct llama2c_tensor {
    std::string name{};
    std::vector<std::size_t> shape{};
    std::size_t count = 0;         ///< elements
    std::size_t begin = 0;         ///< float32 values, or int8 values where scales follow
    std::size_t scales_begin = 0;  ///< float32 scales, one per group; 0 for a float32 tensor
};

/// What a llama2.c file holds, checked against its size.
struct llama2c_layout {
    int version = 0;             ///< 0: no magic; 1: float32 with a header; 2: int8 groups
    std::size_t group_size = 0;  ///< elements sharing a scale, version 2 only
    model_config config{};
    std::vector<llama2c_tensor> tensors{};
};

}  // namespace commutant::io

namespace commutant::detail {

/// A running byte offset that remembers an overflow.
class checked_offset {
public:
    explicit checked_offset(std::size_t begin) : value_(begin) {}
    void advance(std::optional<std::size_t> bytes) {
        value_ = value_ && bytes ? checked_sum(*value_, *bytes) : std::nullopt;
    }
    [[nodiscard]] std::optional<std::size_t> value() const { return value_; }

private:
    std::optional<std::size_t> value_;
};

/// One of the seven numbers of a llama2.c header, which must be positive.
inline std::size_t llama2c_size(std::int64_t value, char const* name, std::string const& where) {
    if (value <= 0)
        throw io::input_error(where, std::string("states ") + name + " " + std::to_string(value) +
                                         ", expected a positive number (is this a llama2.c checkpoint?)");
    return static_cast<std::size_t>(value);
}

/// The groups of a llama2.c file in their order: name within a layer (or whole name), rows, columns (0: a
/// vector).
struct llama2c_group {
    std::string name;
    bool per_layer;
    std::size_t rows;
    std::size_t columns;
};

inline std::vector<llama2c_group> llama2c_groups(model_config const& config, int version) {
    std::size_t const dim = config.model_dim;
    std::size_t const kv_dim = config.n_kv_heads * config.head_dim;
    llama2c_group const embedding{"model.embed_tokens.weight", false, config.vocab_size, dim};
    llama2c_group const attention_norm{"input_layernorm.weight", true, dim, 0};
    llama2c_group const ffn_norm{"post_attention_layernorm.weight", true, dim, 0};
    llama2c_group const final_norm{"model.norm.weight", false, dim, 0};
    std::vector<llama2c_group> const attention{{"self_attn.q_proj.weight", true, dim, dim},
                                               {"self_attn.k_proj.weight", true, kv_dim, dim},
                                               {"self_attn.v_proj.weight", true, kv_dim, dim},
                                               {"self_attn.o_proj.weight", true, dim, dim}};
    std::vector<llama2c_group> const mlp{{"mlp.gate_proj.weight", true, config.ffn_dim, dim},
                                         {"mlp.down_proj.weight", true, dim, config.ffn_dim},
                                         {"mlp.up_proj.weight", true, config.ffn_dim, dim}};
    std::vector<llama2c_group> out;
    if (version == 0)
        out = {embedding, attention_norm};
    else
        out = {attention_norm, ffn_norm, final_norm, embedding};
    out.insert(out.end(), attention.begin(), attention.end());
    if (version == 0) out.push_back(ffn_norm);
    out.insert(out.end(), mlp.begin(), mlp.end());
    if (version == 0) {
        out.push_back(final_norm);
        // cos and sin for every position, a leftover that readers skip
        out.push_back({"", false, config.max_positions, config.head_dim});
    }
    if (!config.tied_head) out.push_back({"lm_head.weight", false, config.vocab_size, dim});
    return out;
}

}  // namespace commutant::detail

namespace commutant::io {

/// Parses the header of a llama2.c checkpoint (versions 0, 1, 2) that lies in memory as a whole.
///
/// Every size is computed in 64 bits with overflow checks and must meet the size of the file exactly,
/// before anything is allocated. RoPE pairs neighbours, theta is 10000, eps 1e-5; there are no biases.
/// Errors    input_error naming `where`
[[nodiscard]] inline llama2c_layout parse_llama2c(std::span<std::byte const> file, std::string const& where) {
    auto const refuse = [&](std::string const& fact) { throw input_error(where, fact); };
    auto const int32_at = [&](std::size_t offset) {
        std::int32_t value = 0;
        std::memcpy(&value, file.data() + offset, 4);
        return static_cast<std::int64_t>(value);
    };
    constexpr std::size_t header_v0 = 28;
    constexpr std::size_t header_v1 = 256;
    if (file.size() < header_v0)
        refuse("is " + std::to_string(file.size()) +
               " bytes long, expected at least the 28 of a llama2.c header");

    llama2c_layout layout;
    constexpr std::int64_t magic = 0x616b3432;
    std::size_t numbers = 0;
    std::size_t data_begin = header_v0;
    if (int32_at(0) == magic) {
        if (int32_at(4) != 1 && int32_at(4) != 2)
            refuse("is a llama2.c checkpoint of version " + std::to_string(int32_at(4)) +
                   ", expected 0, 1 or 2");
        layout.version = static_cast<int>(int32_at(4));
        if (file.size() < header_v1)
            refuse("is " + std::to_string(file.size()) +
                   " bytes long, expected at least the 256 of its header");
        numbers = 8;
        data_begin = header_v1;
    }
    std::array<std::int64_t, 7> stated{};
    for (std::size_t i = 0; i < 7; ++i) stated[i] = int32_at(numbers + 4 * i);

    auto& config = layout.config;
    config.rope_pairing = pairing::interleaved;
    if (layout.version == 0) {
        config.tied_head = stated[5] > 0;  // a negative vocabulary marks a head of its own
        stated[5] = stated[5] < 0 ? -stated[5] : stated[5];
    } else {
        auto const flag = std::to_integer<int>(file[36]);
        if (flag > 1) refuse("states shared_classifier " + std::to_string(flag) + ", expected 0 or 1");
        config.tied_head = flag == 1;
    }
    config.model_dim = detail::llama2c_size(stated[0], "dim", where);
    config.ffn_dim = detail::llama2c_size(stated[1], "hidden_dim", where);
    config.n_layers = detail::llama2c_size(stated[2], "n_layers", where);
    config.n_heads = detail::llama2c_size(stated[3], "n_heads", where);
    config.n_kv_heads = detail::llama2c_size(stated[4], "n_kv_heads", where);
    config.vocab_size = detail::llama2c_size(stated[5], "vocab_size", where);
    config.max_positions = detail::llama2c_size(stated[6], "seq_len", where);
    if (config.model_dim % config.n_heads != 0)
        refuse("states dim " + std::to_string(config.model_dim) + " and n_heads " +
               std::to_string(config.n_heads) + ", expected a multiple");
    if (config.n_heads % config.n_kv_heads != 0)
        refuse("states n_heads " + std::to_string(config.n_heads) + " and n_kv_heads " +
               std::to_string(config.n_kv_heads) + ", expected a multiple");
    config.head_dim = config.model_dim / config.n_heads;
    if (config.head_dim % 2 != 0)
        refuse("has heads of " + std::to_string(config.head_dim) + " features, expected an even number");
    config.rotary_dim = config.head_dim;
    if (layout.version == 2) layout.group_size = detail::llama2c_size(int32_at(37), "group_size", where);

    // First the size alone, so that a lying header allocates nothing.
    auto const groups = detail::llama2c_groups(config, layout.version);
    detail::checked_offset size(data_begin);
    for (auto const& group : groups) {
        bool const quantized = layout.version == 2 && group.columns != 0;
        auto const count = detail::checked_product(group.rows, group.columns == 0 ? 1 : group.columns);
        if (quantized && count && *count % layout.group_size != 0)
            refuse("has " + std::to_string(*count) + " weights in " + group.name +
                   ", expected a multiple of group_size " + std::to_string(layout.group_size));
        auto bytes = count;
        if (quantized && count)
            bytes = detail::checked_sum(*count, *count / layout.group_size * 4);
        else if (count)
            bytes = detail::checked_product(*count, 4);
        size.advance(bytes ? detail::checked_product(*bytes, group.per_layer ? config.n_layers : 1)
                           : std::nullopt);
    }
    if (!size.value()) refuse("states sizes that come to more than 2^64 bytes");
    if (*size.value() != file.size())
        refuse("is " + std::to_string(file.size()) + " bytes long, expected " +
               std::to_string(*size.value()) + " for the sizes in its header");

    std::size_t offset = data_begin;
    for (auto const& group : groups) {
        for (std::size_t layer = 0; layer < (group.per_layer ? config.n_layers : 1); ++layer) {
            llama2c_tensor tensor;
            tensor.name = (group.per_layer ? layer_prefix(layer) : std::string()) + group.name;
            tensor.shape.push_back(group.rows);
            if (group.columns != 0) tensor.shape.push_back(group.columns);
            tensor.count = group.rows * (group.columns == 0 ? 1 : group.columns);
            tensor.begin = offset;
            if (layout.version == 2 && group.columns != 0) {
                tensor.scales_begin = offset + tensor.count;
                offset = tensor.scales_begin + tensor.count / layout.group_size * 4;
            } else {
                offset += tensor.count * 4;
            }
            if (!group.name.empty()) layout.tensors.push_back(std::move(tensor));
        }
    }
    return layout;
}

/// A llama2.c checkpoint, mapped into memory, its tensors under their Hugging Face names.
///
/// Query and key rows stay in llama2.c's order: config().rope_pairing says interleaved.
/// Errors    input_error for a bad file or a missing tensor; std::invalid_argument if a span has the wrong
///           size
class llama2c_file {
public:
    [[nodiscard]] static llama2c_file open(std::filesystem::path const& path) {
        mapped_file file = mapped_file::open(path);
        auto layout = parse_llama2c(file.bytes(), path.string());
        return llama2c_file(path, std::move(file), std::move(layout));
    }

    [[nodiscard]] std::filesystem::path const& path() const noexcept { return path_; }
    [[nodiscard]] model_config const& config() const noexcept { return layout_.config; }
    [[nodiscard]] int version() const noexcept { return layout_.version; }
    [[nodiscard]] std::vector<llama2c_tensor> const& tensors() const noexcept { return layout_.tensors; }
    [[nodiscard]] bool contains(std::string const& name) const { return index_.count(name) != 0; }

    [[nodiscard]] llama2c_tensor const& info(std::string const& name) const {
        auto const found = index_.find(name);
        if (found == index_.end())
            throw input_error(path_.string(), "has no tensor " + detail::in_quotes(name));
        return layout_.tensors[found->second];
    }

    /// float32, or int8 for the matrices of version 2.
    [[nodiscard]] dtype storage_type(std::string const& name) const {
        return info(name).scales_begin == 0 ? dtype::f32 : dtype::i8;
    }

    /// Values of a tensor; those of version 2 are value * scale, rounded to float.
    void read(std::string const& name, std::span<float> out) const { read_values(name, out); }
    void read(std::string const& name, std::span<double> out) const { read_values(name, out); }

private:
    llama2c_file(std::filesystem::path path, mapped_file file, llama2c_layout layout)
        : path_(std::move(path)), file_(std::move(file)), layout_(std::move(layout)) {
        for (std::size_t i = 0; i < layout_.tensors.size(); ++i) index_.emplace(layout_.tensors[i].name, i);
    }

    template <class Float> void read_values(std::string const& name, std::span<Float> out) const {
        auto const& tensor = info(name);
        if (out.size() != tensor.count)
            throw std::invalid_argument("llama2c_file: " + detail::in_quotes(name) + " has " +
                                        std::to_string(tensor.count) + " elements, the span given has " +
                                        std::to_string(out.size()));
        std::byte const* const data = file_.bytes().data() + tensor.begin;
        if (tensor.scales_begin == 0) {
            for (std::size_t i = 0; i < out.size(); ++i) out[i] = detail::load_unaligned<float>(data, i);
            return;
        }
        std::byte const* const scales = file_.bytes().data() + tensor.scales_begin;
        for (std::size_t i = 0; i < out.size(); ++i) {
            float const scale = detail::load_unaligned<float>(scales, i / layout_.group_size);
            out[i] = scale * static_cast<float>(detail::load_unaligned<std::int8_t>(data, i));
        }
    }

    std::filesystem::path path_;
    mapped_file file_;
    llama2c_layout layout_;
    std::unordered_map<std::string, std::size_t> index_{};
};

}  // namespace commutant::io
