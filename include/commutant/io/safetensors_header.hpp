// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <commutant/io/dtype.hpp>
#include <commutant/io/error.hpp>
#include <commutant/io/json.hpp>

namespace commutant::io {

/// One tensor of a safetensors file.
///
/// Units     begin and end in bytes from the start of the data buffer; count in elements
struct tensor_info {
    dtype type = dtype::f32;
    std::vector<std::size_t> shape{};
    std::size_t begin = 0;
    std::size_t end = 0;
    std::size_t count = 0;
};

/// What the head of a safetensors file says, checked against the size of the file.
struct safetensors_header {
    std::map<std::string, std::string> metadata{};
    std::vector<std::pair<std::string, tensor_info>> tensors{};  ///< in the order of their data
    std::size_t data_begin = 0;                                  ///< bytes from the start of the file
};

/// "[2,3]", for error lines.
[[nodiscard]] inline std::string shape_text(std::span<std::size_t const> shape) {
    std::string out = "[";
    for (std::size_t i = 0; i < shape.size(); ++i) {
        if (i == 8) return out + ",...]";
        out += (i == 0 ? "" : ",") + std::to_string(shape[i]);
    }
    return out + "]";
}

}  // namespace commutant::io

namespace commutant::detail {

/// a * b, or nothing when it does not fit.
[[nodiscard]] constexpr std::optional<std::size_t> checked_product(std::size_t a, std::size_t b) {
    if (b != 0 && a > SIZE_MAX / b) return std::nullopt;
    return a * b;
}

/// a + b, or nothing when it does not fit.
[[nodiscard]] constexpr std::optional<std::size_t> checked_sum(std::size_t a, std::size_t b) {
    if (a > SIZE_MAX - b) return std::nullopt;
    return a + b;
}

/// A tensor entry as written, before it is checked.
struct raw_tensor {
    std::string name{};
    std::optional<std::string> type{};
    std::optional<std::vector<std::size_t>> shape{};
    std::optional<std::vector<std::size_t>> offsets{};
};

/// Reads a safetensors header event by event, so that no tree of it is ever built.
class safetensors_sax : public nlohmann::json_sax<nlohmann::json> {
public:
    explicit safetensors_sax(std::string where) : where_(std::move(where)) {}

    std::map<std::string, std::string> metadata{};
    std::vector<raw_tensor> tensors{};

    bool null() override { return scalar("null"); }
    bool boolean(bool value) override { return scalar(value ? "true" : "false"); }
    bool number_integer(number_integer_t value) override { return scalar(std::to_string(value)); }
    bool number_float(number_float_t, string_t const& text) override { return scalar(text); }
    bool binary(binary_t&) override { return scalar("binary data"); }

    bool number_unsigned(number_unsigned_t value) override {
        if (place_ == place::shape) {
            if (tensors.back().shape->size() == max_rank)
                refuse("tensor " + name() + " has more than " + std::to_string(max_rank) + " dimensions");
            tensors.back().shape->push_back(value);
            return true;
        }
        if (place_ == place::offsets) {
            if (tensors.back().offsets->size() == 2)
                refuse("tensor " + name() + " has more than two data_offsets");
            tensors.back().offsets->push_back(value);
            return true;
        }
        return scalar(std::to_string(value));
    }

    bool string(string_t& value) override {
        if (place_ == place::metadata) {
            if (!metadata.emplace(key_, value).second)
                refuse("names " + in_quotes(key_) + " twice in __metadata__");
        } else if (place_ == place::entry && key_ == "dtype") {
            tensors.back().type = value;
        } else {
            return scalar(in_quotes(value));
        }
        return true;
    }

    bool start_object(std::size_t) override {
        switch (place_) {
            case place::start:
                place_ = place::root;
                break;
            case place::root:
                if (key_ == "__metadata__") {
                    place_ = place::metadata;
                } else {
                    place_ = place::entry;
                    tensors.emplace_back();
                    tensors.back().name = key_;
                }
                break;
            default:
                nest("an object");
                break;
        }
        return true;
    }

    bool start_array(std::size_t) override {
        if (place_ == place::entry && key_ == "shape") {
            place_ = place::shape;
            tensors.back().shape.emplace();
        } else if (place_ == place::entry && key_ == "data_offsets") {
            place_ = place::offsets;
            tensors.back().offsets.emplace();
        } else {
            nest("an array");
        }
        return true;
    }

    bool end_object() override { return leave(); }
    bool end_array() override { return leave(); }

    bool key(string_t& value) override {
        if (place_ == place::root && !names_.insert(value).second)
            refuse("names tensor " + in_quotes(value) + " twice");
        if (place_ == place::entry) {
            auto const& entry = tensors.back();
            bool const again = (value == "dtype" && entry.type) || (value == "shape" && entry.shape) ||
                               (value == "data_offsets" && entry.offsets);
            if (again) refuse("tensor " + name() + " gives " + value + " twice");
        }
        if (place_ != place::ignored) key_ = value;
        return true;
    }

    bool parse_error(std::size_t, std::string const&, nlohmann::json::exception const& error) override {
        refuse("header " + json_complaint(error));
    }

private:
    static constexpr std::size_t max_rank = 32;
    static constexpr std::size_t max_depth = 32;
    enum class place { start, root, metadata, entry, shape, offsets, ignored, done };

    [[noreturn]] void refuse(std::string const& fact) const { throw io::input_error(where_, fact); }
    [[nodiscard]] std::string name() const { return in_quotes(tensors.back().name); }

    /// A value that means something only in an ignored member.
    bool scalar(std::string const& text) {
        switch (place_) {
            case place::start:
            case place::done:
                refuse("header is " + text + ", expected a JSON object");
            case place::root:
                refuse("entry " + in_quotes(key_) + " is " + text + ", expected an object");
            case place::metadata:
                refuse("metadata " + in_quotes(key_) + " is " + text + ", expected a string");
            case place::shape:
                refuse("tensor " + name() + " has " + text +
                       " in its shape, expected whole numbers below 2^64");
            case place::offsets:
                refuse("tensor " + name() + " has " + text +
                       " in data_offsets, expected whole numbers below 2^64");
            case place::entry:
                if (key_ == "dtype" || key_ == "shape" || key_ == "data_offsets")
                    refuse("tensor " + name() + " has " + text + " for " + key_);
                break;
            case place::ignored:
                break;
        }
        return true;
    }

    void nest(std::string const& what) {
        if (place_ == place::ignored) {
            if (++ignored_depth_ == max_depth)
                refuse("header nests deeper than " + std::to_string(max_depth) + " levels");
            return;
        }
        static_cast<void>(scalar(what));  // leaves only where the value may be ignored
        place_ = place::ignored;
        ignored_depth_ = 1;
    }

    bool leave() {
        switch (place_) {
            case place::ignored:
                if (--ignored_depth_ == 0) place_ = place::entry;
                break;
            case place::shape:
            case place::offsets:
                place_ = place::entry;
                break;
            case place::entry:
            case place::metadata:
                place_ = place::root;
                break;
            default:
                place_ = place::done;
                break;
        }
        return true;
    }

    std::string where_;
    std::string key_{};
    std::unordered_set<std::string> names_{};
    place place_ = place::start;
    std::size_t ignored_depth_ = 0;
};

/// Checks one entry on its own: type, shape, size.
inline io::tensor_info checked_tensor(raw_tensor const& raw, std::string const& where) {
    auto const refuse = [&](std::string const& fact) {
        throw io::input_error(where, "tensor " + in_quotes(raw.name) + " " + fact);
    };
    if (!raw.type) refuse("has no dtype");
    if (!raw.shape) refuse("has no shape");
    if (!raw.offsets || raw.offsets->size() != 2) refuse("has no data_offsets of two numbers");
    auto const type = io::find_dtype(*raw.type);
    if (!type) refuse("has dtype " + in_quotes(*raw.type) + ", which safetensors does not know");
    io::tensor_info info{*type, *raw.shape, (*raw.offsets)[0], (*raw.offsets)[1], 1};
    if (info.end < info.begin)
        refuse("ends at " + std::to_string(info.end) + " before its begin " + std::to_string(info.begin));
    for (std::size_t const extent : info.shape) {
        auto const product = checked_product(info.count, extent);
        if (!product) refuse("has shape " + io::shape_text(info.shape) + ", more than 2^64 elements");
        info.count = *product;
    }
    auto const bits = checked_product(info.count, io::dtype_bits(*type));
    if (!bits) refuse("has shape " + io::shape_text(info.shape) + ", more than 2^64 bits");
    if (*bits % 8 != 0) refuse("has " + std::to_string(*bits) + " bits, expected whole bytes");
    if (info.end - info.begin != *bits / 8)
        refuse("spans " + std::to_string(info.end - info.begin) + " bytes, expected " +
               std::to_string(*bits / 8) + " for " + std::string(io::dtype_name(*type)) + " " +
               io::shape_text(info.shape));
    return info;
}

}  // namespace commutant::detail

namespace commutant::io {

/// Parses and checks the head of a safetensors file that lies in memory as a whole.
///
/// Refuses whatever the reference parser refuses and, beyond that, a name given twice, a rank above 32,
/// JSON nested deeper than 32 levels, a byte order mark and zero bytes in the header. Payloads are not
/// looked at.
/// Cost      linear in the header; nothing is sized by a number that the file states
/// Errors    input_error naming `where` and the tensor
[[nodiscard]] inline safetensors_header parse_safetensors(std::span<std::byte const> file,
                                                          std::string const& where) {
    constexpr std::uint64_t max_header = 100'000'000;
    auto const refuse = [&](std::string const& fact) { throw input_error(where, fact); };
    if (file.size() < 8)
        refuse("is " + std::to_string(file.size()) +
               " bytes long, expected at least the 8 of a safetensors header size");
    std::uint64_t header_size = 0;
    std::memcpy(&header_size, file.data(), 8);
    if (header_size > max_header)
        refuse("states a header of " + std::to_string(header_size) + " bytes, expected at most " +
               std::to_string(max_header));
    if (header_size > file.size() - 8)
        refuse("states a header of " + std::to_string(header_size) + " bytes, but only " +
               std::to_string(file.size() - 8) + " follow");

    std::string_view const text(reinterpret_cast<char const*>(file.data()) + 8, header_size);
    detail::require_json_text(text, where);
    detail::safetensors_sax events(where);
    static_cast<void>(nlohmann::json::sax_parse(text.begin(), text.end(), &events));

    safetensors_header result;
    result.metadata = std::move(events.metadata);
    result.data_begin = 8 + header_size;
    result.tensors.reserve(events.tensors.size());
    for (auto& raw : events.tensors) {
        auto info = detail::checked_tensor(raw, where);
        result.tensors.emplace_back(std::move(raw.name), std::move(info));
    }
    std::sort(result.tensors.begin(), result.tensors.end(), [](auto const& a, auto const& b) {
        return std::pair(a.second.begin, a.second.end) < std::pair(b.second.begin, b.second.end);
    });
    std::size_t expected = 0;
    for (auto const& [name, info] : result.tensors) {
        if (info.begin != expected)
            refuse("tensor " + detail::in_quotes(name) + " begins at byte " + std::to_string(info.begin) +
                   ", expected " + std::to_string(expected) +
                   (info.begin > expected ? " (a gap)" : " (an overlap)"));
        expected = info.end;
    }
    std::size_t const present = file.size() - result.data_begin;
    if (present < expected)
        refuse("holds " + std::to_string(present) + " data bytes, expected " + std::to_string(expected) +
               " (truncated)");
    if (present > expected)
        refuse("holds " + std::to_string(present) + " data bytes, expected " + std::to_string(expected) +
               " (trailing bytes)");
    return result;
}

}  // namespace commutant::io
