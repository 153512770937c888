// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <commutant/io/atomic_file.hpp>
#include <commutant/io/dtype.hpp>
#include <commutant/io/error.hpp>
#include <commutant/io/float_types.hpp>
#include <commutant/io/safetensors_header.hpp>

namespace commutant::io {

/// A tensor to be written.
///
/// Shape     row-major extents; [] is one element
struct tensor_declaration {
    std::string name{};
    dtype type = dtype::f32;
    std::vector<std::size_t> shape{};
};

/// What storing did to the values.
struct storage_report {
    std::size_t values = 0;     ///< floating-point values written
    std::size_t subnormal = 0;  ///< non-zero values below the smallest normal number of their stored type

    storage_report& operator+=(storage_report const& other) {
        values += other.values;
        subnormal += other.subnormal;
        return *this;
    }
};

}  // namespace commutant::io

namespace commutant::detail {

/// JSON text of a string as serde_json writes it: control characters escaped, everything else as it is.
inline std::string json_string(std::string const& text) {
    try {
        return nlohmann::json(text).dump();
    } catch (nlohmann::json::exception const&) {
        throw std::invalid_argument("safetensors_writer: " + in_quotes(text) + " is not UTF-8");
    }
}

/// Bytes that a declaration takes.
inline std::size_t declared_bytes(io::tensor_declaration const& tensor) {
    std::optional<std::size_t> count = 1;
    for (std::size_t const extent : tensor.shape)
        if (count) count = checked_product(*count, extent);
    auto const bits = count ? checked_product(*count, io::dtype_bits(tensor.type)) : std::nullopt;
    if (!bits || *bits % 8 != 0)
        throw std::invalid_argument("safetensors_writer: " + in_quotes(tensor.name) + " of shape " +
                                    io::shape_text(tensor.shape) +
                                    " has no whole number of bytes below 2^61");
    return *bits / 8;
}

/// Largest finite value and smallest normal one of a weight type.
struct float_range {
    double largest;
    double smallest_normal;
};
[[nodiscard]] constexpr float_range range_of(io::dtype type) {
    if (type == io::dtype::f16) return {io::f16_format::largest, io::f16_format::smallest_normal};
    if (type == io::dtype::bf16) return {io::bf16_format::largest, io::bf16_format::smallest_normal};
    if (type == io::dtype::f32) return {std::numeric_limits<float>::max(), std::numeric_limits<float>::min()};
    return {std::numeric_limits<double>::max(), std::numeric_limits<double>::min()};
}

/// Element type that a C++ integer is stored as; integers are never converted.
template <class Integer> [[nodiscard]] constexpr io::dtype integer_dtype() {
    static_assert(std::is_integral_v<Integer> && sizeof(Integer) <= 8);
    constexpr bool is_signed = std::is_signed_v<Integer>;
    switch (sizeof(Integer)) {
        case 1:
            return is_signed ? io::dtype::i8 : io::dtype::u8;
        case 2:
            return is_signed ? io::dtype::i16 : io::dtype::u16;
        case 4:
            return is_signed ? io::dtype::i32 : io::dtype::u32;
        default:
            return is_signed ? io::dtype::i64 : io::dtype::u64;
    }
}

}  // namespace commutant::detail

namespace commutant::io {

/// Writes one safetensors file, byte for byte as the reference writer would.
///
/// All tensors are declared first, so that the header is known; their values then come in any order of
/// tensors, and each tensor in as many pieces as its caller likes. The file appears at commit(), whole, or
/// never.
///
/// Layout    tensors by dtype rank descending, then by name; header padded with blanks to 8 bytes
/// Errors    output_error for a value that the type cannot hold (NaN, infinite, or larger than its largest
///           finite one) and for a failed write; std::invalid_argument for a misuse: a name twice, an
///           undeclared tensor, too many values, a type that does not match, a tensor left incomplete
class safetensors_writer {
public:
    safetensors_writer(std::filesystem::path const& path, std::vector<tensor_declaration> tensors,
                       std::map<std::string, std::string> const& metadata = {{"format", "pt"}},
                       existing policy = existing::refuse)
        : tensors_(sorted(std::move(tensors))), file_(path, policy) {
        std::string header = "{";
        if (!metadata.empty()) {
            header += "\"__metadata__\":{";
            for (auto const& [key, value] : metadata) {
                if (header.back() == '"') header += ',';
                header += detail::json_string(key) + ":" + detail::json_string(value);
            }
            header += "}";
        }
        std::size_t offset = 0;
        places_.reserve(tensors_.size());
        for (auto const& tensor : tensors_) {
            std::size_t const size = detail::declared_bytes(tensor);
            auto const end = detail::checked_sum(offset, size);
            if (!end)
                throw std::invalid_argument("safetensors_writer: the tensors take more than 2^64 bytes");
            if (!index_.emplace(tensor.name, places_.size()).second || tensor.name == "__metadata__")
                throw std::invalid_argument("safetensors_writer: " + detail::in_quotes(tensor.name) +
                                            " is declared twice or reserved");
            if (header.size() > 1) header += ',';
            header += detail::json_string(tensor.name) + ":{\"dtype\":\"" +
                      std::string(dtype_name(tensor.type)) + "\",\"shape\":[";
            for (std::size_t i = 0; i < tensor.shape.size(); ++i)
                header += (i == 0 ? "" : ",") + std::to_string(tensor.shape[i]);
            header += "],\"data_offsets\":[" + std::to_string(offset) + "," + std::to_string(*end) + "]}";
            places_.push_back({offset, *end});
            offset = *end;
        }
        header += "}";
        header.append((8 - header.size() % 8) % 8, ' ');
        std::uint64_t const header_size = header.size();
        file_.append(std::as_bytes(std::span(&header_size, 1)));
        file_.append(header);
        data_begin_ = file_.size();
    }

    /// The next values of a tensor of a floating-point type, each rounded once.
    storage_report write(std::string const& name, std::span<float const> values) {
        return write_floats(name, values);
    }
    storage_report write(std::string const& name, std::span<double const> values) {
        return write_floats(name, values);
    }

    /// The next values of an integer tensor; its dtype must be that of Integer.
    template <class Integer>
        requires std::is_integral_v<Integer>
    void write(std::string const& name, std::span<Integer const> values) {
        auto const i = find(name);
        if (tensors_[i].type != detail::integer_dtype<Integer>())
            refuse(name, "is declared " + std::string(dtype_name(tensors_[i].type)) + ", the values are " +
                             std::string(dtype_name(detail::integer_dtype<Integer>())));
        put(i, std::as_bytes(values));
    }

    /// The next stored bytes of a tensor of any type, as they are.
    void write_bytes(std::string const& name, std::span<std::byte const> bytes) { put(find(name), bytes); }

    /// What storing did to the values so far.
    [[nodiscard]] storage_report const& report() const noexcept { return report_; }

    /// Makes the file appear; every declared tensor must be complete.
    void commit() {
        for (std::size_t i = 0; i < tensors_.size(); ++i)
            if (places_[i].next != places_[i].end)
                refuse(tensors_[i].name,
                       "lacks " + std::to_string(places_[i].end - places_[i].next) + " bytes");
        file_.commit();
    }

private:
    struct place {
        std::size_t next;  ///< bytes from the start of the data buffer
        std::size_t end;
    };

    static std::vector<tensor_declaration> sorted(std::vector<tensor_declaration> tensors) {
        std::sort(tensors.begin(), tensors.end(), [](auto const& a, auto const& b) {
            return a.type != b.type ? a.type > b.type : a.name < b.name;
        });
        return tensors;
    }

    [[noreturn]] static void refuse(std::string const& name, std::string const& fact) {
        throw std::invalid_argument("safetensors_writer: " + detail::in_quotes(name) + " " + fact);
    }

    [[nodiscard]] std::size_t find(std::string const& name) const {
        auto const found = index_.find(name);
        if (found == index_.end()) refuse(name, "was not declared");
        return found->second;
    }

    void put(std::size_t i, std::span<std::byte const> bytes) {
        if (bytes.size() > places_[i].end - places_[i].next)
            refuse(tensors_[i].name,
                   "gets more values than its shape " + shape_text(tensors_[i].shape) + " holds");
        file_.write_at(data_begin_ + places_[i].next, bytes);
        places_[i].next += bytes.size();
    }

    template <class Float>
    storage_report write_floats(std::string const& name, std::span<Float const> values) {
        auto const i = find(name);
        dtype const type = tensors_[i].type;
        if (!is_weight_dtype(type))
            refuse(name, "is declared " + std::string(dtype_name(type)) + ", not a float type");
        std::size_t const width = dtype_bits(type) / 8;
        auto const range = detail::range_of(type);
        storage_report report{values.size(), 0};
        std::array<std::byte, 65536> buffer;
        for (std::size_t begin = 0; begin < values.size();) {
            std::size_t const count = std::min(values.size() - begin, buffer.size() / width);
            for (std::size_t j = 0; j < count; ++j) {
                double const x = values[begin + j];
                if (!(std::abs(x) <= range.largest))
                    throw output_error(file_.final_name(),
                                       "tensor " + detail::in_quotes(name) + " is " + std::to_string(x) +
                                           " at element " + std::to_string(elements_done(i, width) + j) +
                                           ", which " + std::string(dtype_name(type)) + " cannot hold");
                report.subnormal += x != 0 && std::abs(x) < range.smallest_normal;
                store(type, x, buffer.data() + j * width);
            }
            put(i, std::span(buffer).first(count * width));
            begin += count;
        }
        report_ += report;
        return report;
    }

    [[nodiscard]] std::size_t elements_done(std::size_t i, std::size_t width) const {
        std::size_t const size = detail::declared_bytes(tensors_[i]);
        return (size - (places_[i].end - places_[i].next)) / width;
    }

    static void store(dtype type, double x, std::byte* out) {
        if (type == dtype::f64) {
            std::memcpy(out, &x, sizeof x);
        } else if (type == dtype::f32) {
            auto const rounded = static_cast<float>(x);
            std::memcpy(out, &rounded, sizeof rounded);
        } else {
            std::uint16_t const bits = type == dtype::f16 ? encode_f16(x) : encode_bf16(x);
            std::memcpy(out, &bits, sizeof bits);
        }
    }

    std::vector<tensor_declaration> tensors_;
    atomic_file file_;
    std::vector<place> places_{};
    std::unordered_map<std::string, std::size_t> index_{};
    std::uint64_t data_begin_ = 0;
    storage_report report_{};
};

}  // namespace commutant::io
