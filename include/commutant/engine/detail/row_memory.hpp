// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <vector>

namespace commutant::detail {

/// Memory of activations that are gone, kept for the next ones of the same thread: fresh pages from the system would cost as
/// much as the arithmetic done in them.
class row_memory {
public:
    static constexpr std::size_t alignment = 64;
    static constexpr std::size_t max_kept = 24;  ///< blocks; a block of ffn_dim needs about ten at a time

    struct block {
        std::byte* bytes;
        std::size_t size;
    };

    row_memory() = default;
    row_memory(row_memory const&) = delete;
    row_memory& operator=(row_memory const&) = delete;
    ~row_memory() {
        gone() = true;
        for (block const& b : kept_) release(b);
    }

    [[nodiscard]] static row_memory& of_this_thread() {
        thread_local row_memory memory;
        return memory;
    }

    /// Gives a block back, or to the system when the thread is already ending.
    static void give_back(block b) noexcept {
        if (gone())
            release(b);
        else
            of_this_thread().give(b);
    }

    [[nodiscard]] block take(std::size_t size) {
        std::size_t best = kept_.size();
        for (std::size_t i = 0; i < kept_.size(); ++i) {
            bool const fits = kept_[i].size >= size && kept_[i].size / 4 <= size;
            if (fits && (best == kept_.size() || kept_[i].size < kept_[best].size)) best = i;
        }
        if (best == kept_.size())
            return {static_cast<std::byte*>(::operator new (size, std::align_val_t{alignment})), size};
        block const found = kept_[best];
        kept_[best] = kept_.back();
        kept_.pop_back();
        return found;
    }

private:
    [[nodiscard]] static bool& gone() noexcept {
        thread_local bool is_gone = false;
        return is_gone;
    }

    void give(block b) noexcept {
        if (kept_.size() == max_kept) {
            release(kept_.front());
            kept_.front() = b;
            return;
        }
        try {
            kept_.push_back(b);
        } catch (...) {
            release(b);
        }
    }

    static void release(block b) noexcept { ::operator delete (b.bytes, std::align_val_t{alignment}); }

    std::vector<block> kept_{};
};

/// n elements of such memory, not set to anything, shared by all copies.
template <class T> class row_buffer {
public:
    row_buffer() = default;
    explicit row_buffer(std::size_t n) : owner_(std::make_shared<owner>(n * sizeof(T))), size_(n) {}

    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] T* data() const noexcept {
        return owner_ ? reinterpret_cast<T*>(owner_->memory.bytes) : nullptr;
    }
    [[nodiscard]] bool is_shared() const noexcept { return owner_.use_count() > 1; }

private:
    struct owner {
        explicit owner(std::size_t bytes)
            : memory(row_memory::of_this_thread().take(bytes == 0 ? row_memory::alignment : bytes)) {}
        owner(owner const&) = delete;
        owner& operator=(owner const&) = delete;
        ~owner() { row_memory::give_back(memory); }
        row_memory::block memory;
    };
    std::shared_ptr<owner> owner_{};
    std::size_t size_ = 0;
};

}  // namespace commutant::detail
