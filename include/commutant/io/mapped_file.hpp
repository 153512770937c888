// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <commutant/io/error.hpp>

namespace commutant::detail {

static_assert(std::endian::native == std::endian::little,
              "commutant::io reads and writes little-endian files only");
static_assert(sizeof(std::size_t) == 8,
              "commutant::io maps whole checkpoints: it needs a 64-bit address space");

/// The system's words for an errno value.
inline std::string system_message(int error) { return std::generic_category().message(error); }

/// An open file descriptor, closed when it goes out of scope.
class file_descriptor {
public:
    explicit file_descriptor(int value = -1) noexcept : value_(value) {}
    file_descriptor(file_descriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
    file_descriptor& operator=(file_descriptor&& other) noexcept {
        std::swap(value_, other.value_);
        return *this;
    }
    ~file_descriptor() {
        if (value_ >= 0) ::close(value_);
    }
    [[nodiscard]] int value() const noexcept { return value_; }

private:
    int value_;
};

}  // namespace commutant::detail

namespace commutant::io {

/// A regular file mapped read-only into memory.
///
/// Another process that shortens the file while it is mapped ends this one with SIGBUS, as for every
/// mapping; our own writers replace files by renaming, which leaves a mapping of the old file whole.
/// Errors    input_error if the path is missing, not a regular file or not readable
class mapped_file {
public:
    [[nodiscard]] static mapped_file open(std::filesystem::path const& path) {
        std::string const where = path.string();
        detail::file_descriptor const file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
        if (file.value() < 0) throw input_error(where, "cannot be opened: " + detail::system_message(errno));
        struct stat facts {};
        if (::fstat(file.value(), &facts) != 0)
            throw input_error(where, "cannot be examined: " + detail::system_message(errno));
        if (!S_ISREG(facts.st_mode)) throw input_error(where, "is not a regular file");
        mapped_file result;
        result.size_ = static_cast<std::size_t>(facts.st_size);
        if (result.size_ == 0) return result;
        void* const address = ::mmap(nullptr, result.size_, PROT_READ, MAP_PRIVATE, file.value(), 0);
        if (address == MAP_FAILED) {
            result.size_ = 0;
            throw input_error(where, "cannot be mapped: " + detail::system_message(errno));
        }
        result.data_ = static_cast<std::byte const*>(address);
        return result;
    }

    mapped_file(mapped_file&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    mapped_file& operator=(mapped_file&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~mapped_file() {
        if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
    }

    /// The whole file.
    [[nodiscard]] std::span<std::byte const> bytes() const noexcept { return {data_, size_}; }

    /// The whole file as characters.
    [[nodiscard]] std::string_view text() const noexcept {
        return {reinterpret_cast<char const*>(data_), size_};
    }

    /// Lets go of the pages read so far, which otherwise count as this process's memory; reading brings them back.
    void release_pages() const noexcept {
        if (data_ != nullptr) ::madvise(const_cast<std::byte*>(data_), size_, MADV_DONTNEED);
    }

private:
    mapped_file() = default;
    std::byte const* data_ = nullptr;
    std::size_t size_ = 0;
};

/// The text of a small file.
///
/// Errors    input_error if it cannot be read or is larger than `limit` bytes
[[nodiscard]] inline std::string read_text(std::filesystem::path const& path, std::size_t limit) {
    mapped_file const file = mapped_file::open(path);
    if (file.bytes().size() > limit)
        throw input_error(path.string(), "holds " + std::to_string(file.bytes().size()) +
                                             " bytes, expected at most " + std::to_string(limit));
    return std::string(file.text());
}

}  // namespace commutant::io
