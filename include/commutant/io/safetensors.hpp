// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include <commutant/io/dtype.hpp>
#include <commutant/io/error.hpp>
#include <commutant/io/float_types.hpp>
#include <commutant/io/mapped_file.hpp>
#include <commutant/io/safetensors_header.hpp>

namespace commutant::detail {

/// Element i of a buffer of any alignment.
template <class T> [[nodiscard]] T load_unaligned(std::byte const* bytes, std::size_t i) noexcept {
    T value;
    std::memcpy(&value, bytes + i * sizeof(T), sizeof(T));
    return value;
}

/// Widens (or, for float64 into float, rounds once) `out.size()` stored values; false for a type that holds
/// no weights.
template <class Float>
[[nodiscard]] bool convert_weights(io::dtype type, std::byte const* bytes, std::span<Float> out) {
    switch (type) {
        case io::dtype::f16:
            for (std::size_t i = 0; i < out.size(); ++i)
                out[i] = io::decode_f16(load_unaligned<std::uint16_t>(bytes, i));
            return true;
        case io::dtype::bf16:
            for (std::size_t i = 0; i < out.size(); ++i)
                out[i] = io::decode_bf16(load_unaligned<std::uint16_t>(bytes, i));
            return true;
        case io::dtype::f32:
            for (std::size_t i = 0; i < out.size(); ++i) out[i] = load_unaligned<float>(bytes, i);
            return true;
        case io::dtype::f64:
            for (std::size_t i = 0; i < out.size(); ++i)
                out[i] = static_cast<Float>(load_unaligned<double>(bytes, i));
            return true;
        default:
            return false;
    }
}

/// Refuses rows and columns that a tensor of so many elements lacks, or a span of another size.
inline void require_crossing(std::string const& name, std::size_t count, std::size_t n_columns,
                             std::span<std::size_t const> rows, std::span<std::size_t const> columns,
                             std::size_t size) {
    std::size_t const n_rows = n_columns == 0 ? 0 : count / n_columns;
    auto const require_below = [&](std::span<std::size_t const> indices, std::size_t n, char const* what) {
        for (std::size_t const i : indices)
            if (i >= n)
                throw std::invalid_argument(in_quotes(name) + ": " + what + " " + std::to_string(i) +
                                            " was asked for, expected one of " + std::to_string(n));
    };
    require_below(rows, n_rows, "row");
    require_below(columns, n_columns, "column");
    if (size != rows.size() * columns.size())
        throw std::invalid_argument(in_quotes(name) + ": the span given has " + std::to_string(size) +
                                    " elements, expected rows * columns = " + std::to_string(rows.size()) +
                                    " * " + std::to_string(columns.size()));
}

/// Copies stored integers into int32; the index of the first value that does not fit, or out.size().
template <class Stored>
[[nodiscard]] std::size_t narrow_integers(std::byte const* bytes, std::span<std::int32_t> out) {
    for (std::size_t i = 0; i < out.size(); ++i) {
        auto const value = load_unaligned<Stored>(bytes, i);
        if (!std::in_range<std::int32_t>(value)) return i;
        out[i] = static_cast<std::int32_t>(value);
    }
    return out.size();
}

}  // namespace commutant::detail

namespace commutant::io {

/// A safetensors file, mapped into memory; tensors are converted when asked for.
///
/// Layout    row-major; data may lie at any alignment and is never reached through a cast pointer
/// Errors    input_error from every function for a bad file or a tensor that is missing or of another type;
///           std::invalid_argument if the caller's span has the wrong size
class safetensors_file {
public:
    [[nodiscard]] static safetensors_file open(std::filesystem::path const& path) {
        mapped_file file = mapped_file::open(path);
        auto header = parse_safetensors(file.bytes(), path.string());
        return safetensors_file(path, std::move(file), std::move(header));
    }

    [[nodiscard]] std::filesystem::path const& path() const noexcept { return path_; }
    [[nodiscard]] std::map<std::string, std::string> const& metadata() const noexcept {
        return header_.metadata;
    }

    /// Names in the order of their data.
    [[nodiscard]] std::vector<std::string> names() const {
        std::vector<std::string> out;
        out.reserve(header_.tensors.size());
        for (auto const& entry : header_.tensors) out.push_back(entry.first);
        return out;
    }

    [[nodiscard]] bool contains(std::string const& name) const { return index_.count(name) != 0; }

    /// Type, shape and place of a tensor.
    [[nodiscard]] tensor_info const& info(std::string const& name) const {
        auto const found = index_.find(name);
        if (found == index_.end())
            throw input_error(path_.string(), "has no tensor " + detail::in_quotes(name));
        return header_.tensors[found->second].second;
    }

    /// The stored bytes of a tensor; no alignment is promised.
    [[nodiscard]] std::span<std::byte const> bytes(std::string const& name) const {
        auto const& facts = info(name);
        return file_.bytes().subspan(header_.data_begin + facts.begin, facts.end - facts.begin);
    }

    /// Values of an F16, BF16, F32 or F64 tensor; F64 is rounded to float once.
    void read(std::string const& name, std::span<float> out) const { read_weights(name, out); }

    /// Values of an F16, BF16, F32 or F64 tensor, exactly.
    void read(std::string const& name, std::span<double> out) const { read_weights(name, out); }

    /// Values of such a matrix where some rows cross some columns, row after row; nothing else is touched.
    ///
    /// Errors    std::invalid_argument if the span has another size, or an index is too large
    void read(std::string const& name, std::span<std::size_t const> rows,
              std::span<std::size_t const> columns, std::span<float> out) const {
        read_crossing(name, rows, columns, out);
    }
    void read(std::string const& name, std::span<std::size_t const> rows,
              std::span<std::size_t const> columns, std::span<double> out) const {
        read_crossing(name, rows, columns, out);
    }

    /// Lets go of the pages read so far, which otherwise count as this process's memory.
    void release_pages() const noexcept { file_.release_pages(); }

    /// Values of an integer tensor, each of which must fit.
    void read_int32(std::string const& name, std::span<std::int32_t> out) const {
        auto const& facts = info(name);
        require_size(name, facts, out.size());
        std::byte const* const data = bytes(name).data();
        std::size_t converted = 0;
        switch (facts.type) {
            case dtype::u8:
                converted = detail::narrow_integers<std::uint8_t>(data, out);
                break;
            case dtype::i8:
                converted = detail::narrow_integers<std::int8_t>(data, out);
                break;
            case dtype::i16:
                converted = detail::narrow_integers<std::int16_t>(data, out);
                break;
            case dtype::u16:
                converted = detail::narrow_integers<std::uint16_t>(data, out);
                break;
            case dtype::i32:
                converted = detail::narrow_integers<std::int32_t>(data, out);
                break;
            case dtype::u32:
                converted = detail::narrow_integers<std::uint32_t>(data, out);
                break;
            case dtype::i64:
                converted = detail::narrow_integers<std::int64_t>(data, out);
                break;
            case dtype::u64:
                converted = detail::narrow_integers<std::uint64_t>(data, out);
                break;
            default:
                throw input_error(path_.string(), "tensor " + detail::in_quotes(name) + " is " +
                                                      std::string(dtype_name(facts.type)) +
                                                      ", expected integers");
        }
        if (converted != out.size())
            throw input_error(path_.string(), "tensor " + detail::in_quotes(name) + " holds at element " +
                                                  std::to_string(converted) +
                                                  " a value that does not fit 32 bits");
    }

private:
    safetensors_file(std::filesystem::path path, mapped_file file, safetensors_header header)
        : path_(std::move(path)), file_(std::move(file)), header_(std::move(header)) {
        for (std::size_t i = 0; i < header_.tensors.size(); ++i) index_.emplace(header_.tensors[i].first, i);
    }

    static void require_size(std::string const& name, tensor_info const& facts, std::size_t size) {
        if (size != facts.count)
            throw std::invalid_argument("safetensors_file: " + detail::in_quotes(name) + " has " +
                                        std::to_string(facts.count) + " elements, the span given has " +
                                        std::to_string(size));
    }

    template <class Float> void read_weights(std::string const& name, std::span<Float> out) const {
        auto const& facts = info(name);
        require_size(name, facts, out.size());
        convert(name, facts, 0, out);
    }

    template <class Float>
    void read_crossing(std::string const& name, std::span<std::size_t const> rows,
                       std::span<std::size_t const> columns, std::span<Float> out) const {
        auto const& facts = info(name);
        std::size_t const n_columns = facts.shape.empty() ? 1 : facts.shape.back();
        detail::require_crossing(name, facts.count, n_columns, rows, columns, out.size());
        std::size_t done = 0;
        for (std::size_t const row : rows)
            for (std::size_t j = 0; j < columns.size();) {
                std::size_t run = 1;  // neighbours are converted together
                while (j + run < columns.size() && columns[j + run] == columns[j] + run) ++run;
                convert(name, facts, row * n_columns + columns[j], out.subspan(done, run));
                done += run, j += run;
            }
    }

    /// out.size() values from element `first` on.
    template <class Float>
    void convert(std::string const& name, tensor_info const& facts, std::size_t first,
                 std::span<Float> out) const {
        std::size_t const begin = first * (dtype_bits(facts.type) / 8);
        if (!detail::convert_weights(facts.type, bytes(name).data() + begin, out))
            throw input_error(path_.string(), "tensor " + detail::in_quotes(name) + " is " +
                                                  std::string(dtype_name(facts.type)) +
                                                  ", expected F16, BF16, F32 or F64");
    }

    std::filesystem::path path_;
    mapped_file file_;
    safetensors_header header_;
    std::unordered_map<std::string, std::size_t> index_{};
};

}  // namespace commutant::io
