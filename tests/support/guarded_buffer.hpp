// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <span>
#include <stdexcept>
#include <type_traits>

namespace commutant_test {

/// Memory between two pages that nobody may touch: a read or write beyond either end stops the program.
enum class against {
    end,   ///< the last element ends where the page behind begins
    begin  ///< the first element begins where the page in front ends
};

template <class T> class guarded_buffer {
    static_assert(std::is_trivially_copyable_v<T>);

public:
    /// n elements, zero. The side that is not against its page is as close to it as whole pages allow.
    explicit guarded_buffer(std::size_t n, against side = against::end) : size_(n) {
        std::size_t const page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
        std::size_t const inner = (n * sizeof(T) + page - 1) / page * page;
        length_ = inner + 2 * page;
        void* const p = mmap(nullptr, length_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) throw std::runtime_error("guarded_buffer: mmap failed");
        base_ = static_cast<std::byte*>(p);
        if (inner != 0 && mprotect(base_ + page, inner, PROT_READ | PROT_WRITE) != 0)
            throw std::runtime_error("guarded_buffer: mprotect failed");
        data_ = reinterpret_cast<T*>(base_ + page + (side == against::end ? inner - n * sizeof(T) : 0));
    }
    ~guarded_buffer() { munmap(base_, length_); }
    guarded_buffer(guarded_buffer const&) = delete;
    guarded_buffer& operator=(guarded_buffer const&) = delete;

    [[nodiscard]] std::span<T> elements() { return {data_, size_}; }
    [[nodiscard]] std::span<T const> elements() const { return {data_, size_}; }
    [[nodiscard]] T* data() { return data_; }
    [[nodiscard]] T const* data() const { return data_; }
    [[nodiscard]] std::size_t size() const { return size_; }
    [[nodiscard]] T& operator[](std::size_t i) { return data_[i]; }
    [[nodiscard]] T const& operator[](std::size_t i) const { return data_[i]; }

private:
    std::size_t size_;
    std::size_t length_ = 0;
    std::byte* base_ = nullptr;
    T* data_ = nullptr;
};

}  // namespace commutant_test
