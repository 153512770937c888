// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include <commutant/io/atomic_file.hpp>
#include <commutant/io/error.hpp>
#include <commutant/io/mapped_file.hpp>

namespace commutant::io {

/// A folder that appears whole under its name, or not at all.
///
/// Fill path(), a hidden sibling of the target, then commit(). Without commit() the destructor removes it.
/// Errors    output_error if the target exists, its parent is missing or not writable, or the disk is full;
///           nothing is left behind
class atomic_directory {
public:
    explicit atomic_directory(std::filesystem::path const& target) : target_(detail::write_target(target)) {
        detail::require_writable_target(target_, existing::refuse);
        auto const partial = detail::partial_sibling(target_);
        if (::mkdir(partial.c_str(), 0777) != 0)
            throw output_error(target_.string(), "cannot be created: " + detail::system_message(errno));
        partial_ = partial;
    }

    atomic_directory(atomic_directory&& other) noexcept
        : target_(std::move(other.target_)), partial_(std::exchange(other.partial_, {})) {}
    atomic_directory& operator=(atomic_directory&&) = delete;
    ~atomic_directory() {
        std::error_code ignored;
        if (!partial_.empty()) std::filesystem::remove_all(partial_, ignored);
    }

    /// The folder to fill; it goes away unless commit() is called.
    [[nodiscard]] std::filesystem::path const& path() const noexcept { return partial_; }

    /// Where the folder will appear.
    [[nodiscard]] std::filesystem::path const& target() const noexcept { return target_; }

    /// Copies a file under its own name, such as a tokenizer beside a model.
    void copy_in(std::filesystem::path const& source) const {
        mapped_file const from = mapped_file::open(source);
        atomic_file to(partial_ / source.filename());
        to.append(from.bytes());
        to.commit();
    }

    /// Makes the folder appear; no call may follow.
    void commit() {
        namespace fs = std::filesystem;
        std::error_code error;
        for (fs::recursive_directory_iterator it(partial_, error), end; !error && it != end;
             it.increment(error))
            if (!it->is_symlink()) detail::sync_path(it->path(), target_);
        if (error) throw output_error(target_.string(), "cannot be synced: " + error.message());
        detail::sync_path(partial_, target_);
        detail::rename_into_place(partial_, target_, existing::refuse);
        partial_.clear();
        detail::sync_folder_entry(target_.parent_path());
    }

private:
    std::filesystem::path target_;
    std::filesystem::path partial_{};
};

}  // namespace commutant::io
