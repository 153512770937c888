// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <commutant/io/atomic_file.hpp>
#include <commutant/io/safetensors_writer.hpp>

namespace commutant::io {

/// Writes the tensors of a model into a folder: model.safetensors, or shards with an index when that grows
/// too large.
///
/// Shards are filled in the order of the declarations; a shard is closed before the tensor that would take
/// it past `shard_limit` data bytes, so that only a single tensor can be larger. The index is what Hugging
/// Face writes. The folder should be that of an atomic_directory, as files appear one after the other.
/// Errors    those of safetensors_writer
class sharded_writer {
public:
    static constexpr std::size_t default_shard_limit = 5'000'000'000;

    sharded_writer(std::filesystem::path directory, std::vector<tensor_declaration> const& tensors,
                   std::size_t shard_limit = default_shard_limit)
        : directory_(std::move(directory)) {
        std::vector<std::vector<tensor_declaration>> shards(1);
        std::size_t filled = 0;
        for (auto const& tensor : tensors) {
            std::size_t const size = detail::declared_bytes(tensor);
            if (!shards.back().empty() && (filled > shard_limit || size > shard_limit - filled)) {
                shards.emplace_back();
                filled = 0;
            }
            if (!shard_of_.emplace(tensor.name, shards.size() - 1).second)
                throw std::invalid_argument("sharded_writer: " + detail::in_quotes(tensor.name) +
                                            " is declared twice");
            shards.back().push_back(tensor);
            filled += size;
            total_size_ += size;
        }
        for (std::size_t i = 0; i < shards.size(); ++i) {
            file_names_.push_back(shards.size() == 1 ? "model.safetensors"
                                                     : shard_name(i + 1, shards.size()));
            writers_.push_back(
                std::make_unique<safetensors_writer>(directory_ / file_names_.back(), shards[i]));
        }
    }

    /// The next values of a tensor; see safetensors_writer::write.
    storage_report write(std::string const& name, std::span<float const> values) {
        return writer(name).write(name, values);
    }
    storage_report write(std::string const& name, std::span<double const> values) {
        return writer(name).write(name, values);
    }
    template <class Integer>
        requires std::is_integral_v<Integer>
    void write(std::string const& name, std::span<Integer const> values) { writer(name).write(name, values); }

    /// What storing did to the values so far.
    [[nodiscard]] storage_report report() const {
        storage_report sum;
        for (auto const& one : writers_) sum += one->report();
        return sum;
    }

    /// Names of the weight files, in order.
    [[nodiscard]] std::vector<std::string> const& file_names() const noexcept { return file_names_; }

    /// Makes the files appear; every tensor must be complete.
    void commit() {
        for (auto const& one : writers_) one->commit();
        if (writers_.size() == 1) return;
        nlohmann::json index;  // its objects are sorted by name, as in the files of Hugging Face
        index["metadata"]["total_size"] = total_size_;
        for (auto const& [name, shard] : shard_of_) index["weight_map"][name] = file_names_[shard];
        write_text(directory_ / "model.safetensors.index.json", index.dump(2) + "\n");
    }

private:
    static std::string shard_name(std::size_t number, std::size_t count) {
        auto const padded = [](std::size_t value) {
            std::string const digits = std::to_string(value);
            return std::string(5 - std::min<std::size_t>(5, digits.size()), '0') + digits;
        };
        return "model-" + padded(number) + "-of-" + padded(count) + ".safetensors";
    }

    safetensors_writer& writer(std::string const& name) {
        auto const found = shard_of_.find(name);
        if (found == shard_of_.end())
            throw std::invalid_argument("sharded_writer: " + detail::in_quotes(name) + " was not declared");
        return *writers_[found->second];
    }

    std::filesystem::path directory_;
    std::map<std::string, std::size_t> shard_of_{};
    std::vector<std::string> file_names_{};
    std::vector<std::unique_ptr<safetensors_writer>> writers_{};
    std::size_t total_size_ = 0;
};

}  // namespace commutant::io
