// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <commutant/io/decoder_tensors.hpp>
#include <commutant/io/dtype.hpp>
#include <commutant/io/error.hpp>
#include <commutant/io/hf_config.hpp>
#include <commutant/io/json.hpp>
#include <commutant/io/llama2c.hpp>
#include <commutant/io/mapped_file.hpp>
#include <commutant/io/safetensors.hpp>
#include <commutant/model/config.hpp>

namespace commutant::detail {

/// Buffers of older checkpoints that only repeat what config.json says.
inline bool is_rotary_buffer(std::string const& name) {
    std::string const tail = "rotary_emb.inv_freq";
    return name.size() >= tail.size() && name.compare(name.size() - tail.size(), tail.size(), tail) == 0;
}

/// Shard files named by model.safetensors.index.json, by tensor.
inline std::map<std::string, std::string> read_shard_index(std::filesystem::path const& path) {
    std::string const where = path.string();
    auto const index = io::parse_json(io::read_text(path, 256'000'000), where);
    auto const map = index.is_object() ? index.find("weight_map") : index.end();
    if (map == index.end() || !map->is_object()) throw io::input_error(where, "has no weight_map object");
    std::map<std::string, std::string> out;
    for (auto const& [name, file] : map->items()) {
        if (!file.is_string()) throw io::input_error(where, "maps " + in_quotes(name) + " to " + file.dump());
        auto const& text = file.get_ref<std::string const&>();
        if (text.empty() || text == "." || text == ".." || text.find('/') != std::string::npos)
            throw io::input_error(where, "maps " + in_quotes(name) + " to " + in_quotes(text) +
                                             ", expected the name of a file in the same folder");
        out.emplace(name, text);
    }
    if (out.empty()) throw io::input_error(where, "maps no tensor");
    return out;
}

}  // namespace commutant::detail

namespace commutant::io {

/// A model on disk: a Hugging Face folder (config.json and safetensors, sharded or not) or a llama2.c .bin
/// file.
///
/// Tensors go by their Hugging Face names whatever the file; llama2.c rows keep their order,
/// config().rope_pairing tells. open() checks that every tensor that the geometry calls for is there, in
/// its shape and of a weight type, and that nothing else is (buffers of rotary frequencies excepted).
/// read() refuses NaN and infinity.
/// Errors    input_error naming the file and the tensor; std::invalid_argument if a span has the wrong size
class checkpoint {
public:
    [[nodiscard]] static checkpoint open(std::filesystem::path const& path) {
        namespace fs = std::filesystem;
        std::error_code error;
        auto const status = fs::status(path, error);
        if (!fs::exists(status))
            throw input_error(path.string(), "does not exist, expected a model folder or a .bin file");
        checkpoint result;
        result.path_ = path;
        if (fs::is_directory(status)) {
            result.open_folder();
        } else if (path.extension() == ".safetensors" || path.extension() == ".json") {
            throw input_error(path.string(), "is one file of a model, expected its folder");
        } else {
            result.llama2c_.emplace(llama2c_file::open(path));
            result.config_ = result.llama2c_->config();
        }
        result.check_tensors();
        return result;
    }

    [[nodiscard]] std::filesystem::path const& path() const noexcept { return path_; }
    [[nodiscard]] model_config const& config() const noexcept { return config_; }

    /// The folder of a Hugging Face model, where its tokenizer lies; for a .bin file the folder it stands in.
    [[nodiscard]] std::filesystem::path directory() const { return llama2c_ ? path_.parent_path() : path_; }

    /// True for a Hugging Face folder.
    [[nodiscard]] bool is_folder() const noexcept { return !llama2c_; }

    /// The text of config.json; empty for a .bin file.
    [[nodiscard]] std::string const& config_text() const noexcept { return config_text_; }

    /// Names of all tensors, in the order of the forward pass.
    [[nodiscard]] std::vector<std::string> const& names() const noexcept { return names_; }

    [[nodiscard]] bool contains(std::string const& name) const { return entries_.count(name) != 0; }

    /// Extents, [out_features, in_features] for weights.
    [[nodiscard]] std::vector<std::size_t> const& shape(std::string const& name) const {
        return entry_of(name).shape;
    }

    /// Elements of a tensor.
    [[nodiscard]] std::size_t size(std::string const& name) const {
        std::size_t count = 1;
        for (std::size_t const extent : shape(name)) count *= extent;
        return count;
    }

    /// Type in the file; I8 for the quantised matrices of llama2.c version 2.
    [[nodiscard]] dtype storage_type(std::string const& name) const { return entry_of(name).type; }

    /// Values of a tensor, all of them finite; F64 into float is rounded once.
    void read(std::string const& name, std::span<float> out) const { read_values(name, out); }
    void read(std::string const& name, std::span<double> out) const { read_values(name, out); }

    /// Values of a matrix, or of a tensor of one row, where some rows cross some columns, row after row. Of a folder
    /// nothing else is read.
    void read(std::string const& name, std::span<std::size_t const> rows,
              std::span<std::size_t const> columns, std::span<float> out) const {
        read_crossing(name, rows, columns, out);
    }
    void read(std::string const& name, std::span<std::size_t const> rows,
              std::span<std::size_t const> columns, std::span<double> out) const {
        read_crossing(name, rows, columns, out);
    }

    /// Lets go of the pages read so far, which otherwise count as this process's memory.
    void release_pages() const noexcept {
        for (auto const& file : files_) file.release_pages();
    }

private:
    struct entry {
        std::vector<std::size_t> shape{};
        dtype type = dtype::f32;
        std::size_t file = 0;  ///< which of files_; unused for llama2.c
    };

    checkpoint() = default;

    void open_folder() {
        namespace fs = std::filesystem;
        auto const config_path = path_ / "config.json";
        std::error_code error;
        if (!fs::exists(config_path, error))
            throw input_error(path_.string(), "has no config.json, expected a Hugging Face model folder");
        config_text_ = read_text(config_path, max_config_bytes);
        config_ = parse_hf_config(config_text_, config_path.string());
        auto const single = path_ / "model.safetensors";
        auto const index = path_ / "model.safetensors.index.json";
        if (fs::exists(single, error)) {
            add_file(single);
        } else if (fs::exists(index, error)) {
            auto const map = detail::read_shard_index(index);
            std::map<std::string, std::size_t> opened;
            for (auto const& [name, file] : map)
                if (opened.emplace(file, files_.size()).second) add_file(path_ / file);
            for (auto const& [name, file] : map) {
                auto const found = entries_.find(name);
                if (found == entries_.end() || found->second.file != opened.at(file))
                    throw input_error(index.string(), "maps " + detail::in_quotes(name) + " to " +
                                                          detail::in_quotes(file) +
                                                          ", which does not hold it");
            }
            for (auto const& [name, facts] : entries_)
                if (map.count(name) == 0)
                    throw input_error(index.string(),
                                      "does not map " + detail::in_quotes(name) + ", which " +
                                          detail::in_quotes(files_[facts.file].path().string()) + " holds");
        } else {
            throw input_error(path_.string(),
                              "has neither model.safetensors nor model.safetensors.index.json");
        }
    }

    void add_file(std::filesystem::path const& path) {
        files_.push_back(safetensors_file::open(path));
        auto const& file = files_.back();
        for (auto const& name : file.names()) {
            auto const& info = file.info(name);
            if (!entries_.emplace(name, entry{info.shape, info.type, files_.size() - 1}).second)
                throw input_error(path.string(),
                                  "holds tensor " + detail::in_quotes(name) + ", as an earlier shard does");
        }
    }

    void check_tensors() {
        if (llama2c_)
            for (auto const& tensor : llama2c_->tensors())
                entries_.emplace(tensor.name, entry{tensor.shape, llama2c_->storage_type(tensor.name), 0});
        for (auto const& wanted : decoder_tensors(config_)) {
            auto const found = entries_.find(wanted.name);
            if (found == entries_.end())
                throw input_error(path_.string(), "has no tensor " + detail::in_quotes(wanted.name) +
                                                      ", expected shape " + shape_text(wanted.shape));
            auto const& facts = found->second;
            if (facts.shape != wanted.shape)
                throw input_error(path_.string(), "tensor " + detail::in_quotes(wanted.name) + " has shape " +
                                                      shape_text(facts.shape) + ", expected " +
                                                      shape_text(wanted.shape));
            if (!llama2c_ && !is_weight_dtype(facts.type))
                throw input_error(path_.string(), "tensor " + detail::in_quotes(wanted.name) + " is " +
                                                      std::string(dtype_name(facts.type)) +
                                                      ", expected F16, BF16, F32 or F64");
            names_.push_back(wanted.name);
        }
        drop_repeated_head();
        if (entries_.size() == names_.size()) return;
        std::map<std::string, entry> kept;
        for (auto const& name : names_) kept.insert(entries_.extract(name));
        for (auto const& [name, facts] : entries_)
            if (!detail::is_rotary_buffer(name))
                throw input_error(path_.string(), "holds tensor " + detail::in_quotes(name) +
                                                      ", which the model type in config.json does not have");
        entries_ = std::move(kept);
    }

    /// Some files store a tied head all the same; that is harmless as long as it repeats the embedding.
    void drop_repeated_head() {
        if (!config_.tied_head || llama2c_ || !contains("lm_head.weight")) return;
        auto const& head = entry_of("lm_head.weight");
        auto const& embedding = entry_of("model.embed_tokens.weight");
        auto const head_bytes = files_[head.file].bytes("lm_head.weight");
        auto const embedding_bytes = files_[embedding.file].bytes("model.embed_tokens.weight");
        if (head.type != embedding.type || head.shape != embedding.shape ||
            std::memcmp(head_bytes.data(), embedding_bytes.data(), head_bytes.size()) != 0)
            throw input_error(path_.string(),
                              "ties the head to the embedding but holds a different lm_head.weight");
        entries_.erase("lm_head.weight");
    }

    [[nodiscard]] entry const& entry_of(std::string const& name) const {
        auto const found = entries_.find(name);
        if (found == entries_.end())
            throw input_error(path_.string(), "has no tensor " + detail::in_quotes(name));
        return found->second;
    }

    template <class Float> void read_values(std::string const& name, std::span<Float> out) const {
        auto const& facts = entry_of(name);
        if (llama2c_)
            llama2c_->read(name, out);
        else
            files_[facts.file].read(name, out);
        require_finite(name, std::span<Float const>(out), [](std::size_t k) { return k; });
    }

    template <class Float>
    void read_crossing(std::string const& name, std::span<std::size_t const> rows,
                       std::span<std::size_t const> columns, std::span<Float> out) const {
        auto const& facts = entry_of(name);
        std::size_t const n_columns = facts.shape.back();
        if (!llama2c_) {
            files_[facts.file].read(name, rows, columns, out);
        } else {
            detail::require_crossing(name, size(name), n_columns, rows, columns, out.size());
            std::vector<Float> whole(size(name));
            llama2c_->read(name, std::span<Float>(whole));
            std::size_t done = 0;
            for (std::size_t const row : rows)
                for (std::size_t const column : columns) out[done++] = whole[row * n_columns + column];
        }
        require_finite(name, std::span<Float const>(out), [&](std::size_t k) {
            return rows[k / columns.size()] * n_columns + columns[k % columns.size()];
        });
    }

    /// element_of: index in `out` -> index in the tensor
    template <class Float, class F>
    void require_finite(std::string const& name, std::span<Float const> out, F element_of) const {
        for (std::size_t i = 0; i < out.size(); ++i)
            if (!std::isfinite(out[i]))
                throw input_error(path_.string(), "tensor " + detail::in_quotes(name) + " is " +
                                                      (std::isnan(out[i]) ? "NaN" : "infinite") +
                                                      " at element " + std::to_string(element_of(i)) +
                                                      ", expected finite weights");
    }

    std::filesystem::path path_{};
    model_config config_{};
    std::string config_text_{};
    std::vector<safetensors_file> files_{};
    std::optional<llama2c_file> llama2c_{};
    std::map<std::string, entry> entries_{};
    std::vector<std::string> names_{};
};

}  // namespace commutant::io
