// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <commutant/io/error.hpp>
#include <commutant/io/mapped_file.hpp>

namespace commutant::io {

/// What to do when the target of a write is already there.
enum class existing { refuse, replace };

}  // namespace commutant::io

namespace commutant::detail {

/// Where a path ends up: absolute and without a trailing slash.
inline std::filesystem::path write_target(std::filesystem::path const& path) {
    std::error_code error;
    std::filesystem::path absolute = std::filesystem::absolute(path, error);
    if (error) throw io::output_error(path.string(), "cannot be made absolute: " + error.message());
    absolute = absolute.lexically_normal();
    if (!absolute.has_filename()) absolute = absolute.parent_path();
    if (!absolute.has_filename()) throw io::output_error(path.string(), "names no file or folder to write");
    return absolute;
}

/// A sibling of the target that no other writer uses: ".name.partial-<process>-<count>".
inline std::filesystem::path partial_sibling(std::filesystem::path const& target) {
    static std::atomic<unsigned> count{0};
    std::string const tail = ".partial-" + std::to_string(::getpid()) + "-" + std::to_string(count++);
    // Names may hold 255 bytes; what is cut off the middle only served the reader.
    return target.parent_path() / ("." + target.filename().string().substr(0, 200) + tail);
}

/// A path as its reader knows it: within a folder that is still being filled, under the name it will have.
inline std::string final_name(std::filesystem::path const& path) {
    std::filesystem::path out;
    for (auto const& part : path) {
        std::string const name = part.string();
        auto const tail = name.rfind(".partial-");
        out /= name.front() == '.' && tail != std::string::npos && tail > 0 ? name.substr(1, tail - 1) : name;
    }
    return out.string();
}

/// Throws unless the target may be created: its parent is a folder and, if asked, nothing has its name.
inline void require_writable_target(std::filesystem::path const& target, io::existing policy) {
    namespace fs = std::filesystem;
    std::error_code error;
    fs::path const parent = target.parent_path();
    if (!fs::is_directory(parent, error))
        throw io::output_error(target.string(),
                               "cannot be written: " + in_quotes(parent.string()) + " is not a folder");
    auto const status = fs::symlink_status(target, error);
    if (policy == io::existing::refuse && fs::exists(status))
        throw io::output_error(target.string(), "exists already, expected a new name");
    if (policy == io::existing::replace && fs::exists(status) && !fs::is_regular_file(status))
        throw io::output_error(target.string(), "exists and is not a regular file");
}

/// Moves a finished file or folder to its name; with existing::refuse the system itself guards against a
/// race.
inline void rename_into_place(std::filesystem::path const& from, std::filesystem::path const& to,
                              io::existing policy) {
    int failed = -1;
#ifdef RENAME_NOREPLACE
    if (policy == io::existing::refuse) {
        failed = ::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE);
        if (failed == 0) return;
        if (errno == EEXIST) throw io::output_error(to.string(), "exists already, expected a new name");
        if (errno != EINVAL && errno != ENOSYS)
            throw io::output_error(to.string(), "cannot be put in place: " + system_message(errno));
    }
#endif
    require_writable_target(to, policy);  // file systems without RENAME_NOREPLACE
    failed = ::rename(from.c_str(), to.c_str());
    if (failed != 0) throw io::output_error(to.string(), "cannot be put in place: " + system_message(errno));
}

/// Asks the disk to keep a file or folder; folders on file systems that cannot are let pass.
inline void sync_path(std::filesystem::path const& path, std::filesystem::path const& shown) {
    file_descriptor const file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (file.value() < 0)
        throw io::output_error(shown.string(), "cannot be synced: " + system_message(errno));
    if (::fsync(file.value()) != 0 && errno != EINVAL)
        throw io::output_error(shown.string(), "cannot be synced: " + system_message(errno));
}

/// Asks the disk to keep a rename. What the rename made is whole either way, so a failure changes nothing
/// for the caller.
inline void sync_folder_entry(std::filesystem::path const& folder) noexcept {
    file_descriptor const file(::open(folder.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECTORY));
    if (file.value() >= 0) static_cast<void>(::fsync(file.value()));
}

}  // namespace commutant::detail

namespace commutant::io {

/// A file that appears whole under its name, or not at all.
///
/// Bytes go to a hidden sibling; commit() syncs it and renames it. Without commit() the destructor removes
/// it.
/// Units     offsets and sizes in bytes
/// Errors    output_error if the target exists (existing::refuse), its folder is missing or not writable,
///           or the disk is full; nothing is left behind
class atomic_file {
public:
    explicit atomic_file(std::filesystem::path const& target, existing policy = existing::refuse)
        : target_(detail::write_target(target)), policy_(policy) {
        detail::require_writable_target(target_, policy_);
        partial_ = detail::partial_sibling(target_);
        file_ =
            detail::file_descriptor(::open(partial_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
        if (file_.value() < 0) {
            int const error = errno;
            partial_.clear();
            fail(error);
        }
    }

    atomic_file(atomic_file&& other) noexcept
        : target_(std::move(other.target_)),
          partial_(std::exchange(other.partial_, {})),
          policy_(other.policy_),
          file_(std::move(other.file_)),
          size_(other.size_) {}
    atomic_file& operator=(atomic_file&&) = delete;
    ~atomic_file() {
        if (!partial_.empty()) ::unlink(partial_.c_str());
    }

    /// Where the file will appear.
    [[nodiscard]] std::filesystem::path const& target() const noexcept { return target_; }

    /// Where the file will be found in the end, for error lines.
    [[nodiscard]] std::string final_name() const { return detail::final_name(target_); }

    /// Bytes appended so far.
    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

    void append(std::span<std::byte const> bytes) {
        write_at(size_, bytes);
        size_ += bytes.size();
    }

    void append(std::string_view text) { append(std::as_bytes(std::span(text.data(), text.size()))); }

    /// Writes at any place; the space between, if any, reads as zeros.
    void write_at(std::uint64_t offset, std::span<std::byte const> bytes) {
        while (!bytes.empty()) {
            auto const part = std::min<std::size_t>(bytes.size(), std::size_t{1} << 30);
            auto const written = ::pwrite(file_.value(), bytes.data(), part, static_cast<off_t>(offset));
            if (written < 0 && errno == EINTR) continue;
            if (written <= 0) fail(written < 0 ? errno : ENOSPC);
            bytes = bytes.subspan(static_cast<std::size_t>(written));
            offset += static_cast<std::uint64_t>(written);
        }
    }

    /// Makes the file appear; no call may follow.
    void commit() {
        if (::fsync(file_.value()) != 0) fail(errno);
        detail::rename_into_place(partial_, target_, policy_);
        partial_.clear();
        detail::sync_folder_entry(target_.parent_path());
    }

private:
    [[noreturn]] void fail(int error) const {
        throw output_error(final_name(), "cannot be written: " + detail::system_message(error));
    }

    std::filesystem::path target_;
    std::filesystem::path partial_{};
    existing policy_;
    detail::file_descriptor file_{};
    std::uint64_t size_ = 0;
};

/// Writes a whole text file through atomic_file.
inline void write_text(std::filesystem::path const& path, std::string_view text,
                       existing policy = existing::refuse) {
    atomic_file file(path, policy);
    file.append(text);
    file.commit();
}

}  // namespace commutant::io
