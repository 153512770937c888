// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace commutant::kernels::detail {

/// Zeroed memory on a 64-byte boundary; from 2 MiB on, on large pages where the system gives them, since a
/// weight is streamed once per token and small pages would cost a translation every 64 lines.
class aligned_memory {
public:
    aligned_memory() = default;
    explicit aligned_memory(std::size_t size) : size_(size) {
        constexpr std::size_t line = 64, large_page = std::size_t{1} << 21;
        std::size_t const alignment = size >= large_page ? large_page : line;
        std::size_t const rounded = (size + alignment - 1) / alignment * alignment;
        data_.reset(static_cast<std::byte*>(std::aligned_alloc(alignment, rounded)));
        if (data_ == nullptr) throw std::bad_alloc();
#if defined(__linux__) && defined(MADV_HUGEPAGE)
        if (alignment == large_page) static_cast<void>(madvise(data_.get(), rounded, MADV_HUGEPAGE));
#endif
        std::memset(data_.get(), 0, size);
    }

    [[nodiscard]] std::byte* data() noexcept { return data_.get(); }
    [[nodiscard]] std::byte const* data() const noexcept { return data_.get(); }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

private:
    struct release {
        void operator()(std::byte* p) const noexcept { std::free(p); }
    };
    std::unique_ptr<std::byte, release> data_{};
    std::size_t size_ = 0;
};

}  // namespace commutant::kernels::detail
