// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <exception>
#include <thread>
#include <vector>

namespace commutant::detail {

/// f(0) .. f(n - 1), each on a thread of its own, the first on the caller's; throws what the lowest of them threw.
template <class F> void on_threads(std::size_t n, F const& f) {
    std::vector<std::exception_ptr> errors(n);
    auto const guarded = [&](std::size_t i) {
        try {
            f(i);
        } catch (...) {
            errors[i] = std::current_exception();
        }
    };
    {
        std::vector<std::jthread> threads;  // joined at the end of the block
        for (std::size_t i = 1; i < n; ++i) threads.emplace_back(guarded, i);
        if (n != 0) guarded(0);
    }
    for (auto const& error : errors)
        if (error) std::rethrow_exception(error);
}

}  // namespace commutant::detail
