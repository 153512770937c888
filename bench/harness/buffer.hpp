// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

namespace commutant::bench {

/// Zeros on pages of their own, large pages where the system gives them: the same for all contestants.
template <class T> class buffer {
    static_assert(std::is_trivially_copyable_v<T>);

public:
    buffer() = default;
    explicit buffer(std::size_t n) : size_(n) {
        constexpr std::size_t large_page = std::size_t{2} << 20;
        std::size_t const alignment = n * sizeof(T) >= large_page ? large_page : 4096;
        std::size_t const bytes = (n * sizeof(T) + alignment) / alignment * alignment;
        data_ = static_cast<T*>(std::aligned_alloc(alignment, bytes));
        if (data_ == nullptr) throw std::bad_alloc();
        if (alignment == large_page) madvise(data_, bytes, MADV_HUGEPAGE);
        std::memset(static_cast<void*>(data_), 0, bytes);
    }
    buffer(buffer&& other) noexcept : data_(other.data_), size_(other.size_) {
        other.data_ = nullptr, other.size_ = 0;
    }
    buffer& operator=(buffer&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~buffer() { std::free(data_); }

    [[nodiscard]] T* data() { return data_; }
    [[nodiscard]] T const* data() const { return data_; }
    [[nodiscard]] std::size_t size() const { return size_; }
    [[nodiscard]] T& operator[](std::size_t i) { return data_[i]; }
    [[nodiscard]] T const& operator[](std::size_t i) const { return data_[i]; }
    [[nodiscard]] T* begin() { return data_; }
    [[nodiscard]] T* end() { return data_ + size_; }
    operator std::span<T>() { return {data_, size_}; }
    operator std::span<T const>() const { return {data_, size_}; }

private:
    T* data_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace commutant::bench
