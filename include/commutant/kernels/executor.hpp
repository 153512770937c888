// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <concepts>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>
#if defined(_OPENMP)
#include <omp.h>
#endif

namespace commutant::kernels {

/// One task of a parallel loop: task in [0, n_tasks), worker in [0, n_workers). No two tasks run at one time
/// under one worker number, so scratch memory is indexed by it.
using task_function = void(void const* context, std::size_t task, std::size_t worker) noexcept;

/// What runs the tasks of a loop and returns when all are done. It may run them in any order on any worker.
///
/// Matches   a type with n_workers() and run(n_tasks, function, context), both noexcept
/// Model     thread_pool; non-model: std::thread, which has no loop
template <class T>
concept runs_tasks = requires(T& t, std::size_t n, task_function* function, void const* context) {
    { t.n_workers() }
    noexcept->std::same_as<std::size_t>;
    { t.run(n, function, context) }
    noexcept;
};

/// Reference to what runs a kernel's tasks; without one, they run one after the other in the caller.
///
/// Note      allocation-free; the object referred to outlives it
class executor {
public:
    /// In the calling thread.
    constexpr executor() noexcept = default;

    template <runs_tasks Runner>
        requires(!std::same_as<std::remove_const_t<Runner>, executor>)
    constexpr executor(Runner& runner) noexcept
        : runner_(&runner), n_workers_(runner.n_workers()), run_(&run_on<Runner>) {}

    [[nodiscard]] constexpr std::size_t n_workers() const noexcept { return n_workers_; }

    /// task(i, worker) for every i in [0, n_tasks).
    template <class Task> void parallel_for(std::size_t n_tasks, Task const& task) const noexcept {
        if (run_ == nullptr || n_tasks <= 1) {
            for (std::size_t i = 0; i < n_tasks; ++i) task(i, std::size_t{0});
        } else {
            run_(runner_, n_tasks, &call<Task>, &task);
        }
    }

private:
    template <class Task> static void call(void const* task, std::size_t i, std::size_t worker) noexcept {
        (*static_cast<Task const*>(task))(i, worker);
    }
    template <class Runner>
    static void run_on(void* runner, std::size_t n, task_function* function, void const* context) noexcept {
        static_cast<Runner*>(runner)->run(n, function, context);
    }

    void* runner_ = nullptr;
    std::size_t n_workers_ = 1;
    void (*run_)(void*, std::size_t, task_function*, void const*) noexcept = nullptr;
};

#if defined(_OPENMP)
/// Tasks as iterations of an OpenMP loop.
class openmp_runner {
public:
    /// n_workers 0: as many as OpenMP would start.
    explicit openmp_runner(std::size_t n_workers = 0) noexcept
        : n_workers_(n_workers != 0 ? n_workers : static_cast<std::size_t>(omp_get_max_threads())) {}

    [[nodiscard]] std::size_t n_workers() const noexcept { return n_workers_; }

    void run(std::size_t n_tasks, task_function* function, void const* context) noexcept {
#pragma omp parallel for schedule(dynamic, 1) num_threads(static_cast <int>(n_workers_))
        for (std::size_t i = 0; i < n_tasks; ++i)
            function(context, i, static_cast<std::size_t>(omp_get_thread_num()));
    }

private:
    std::size_t n_workers_;
};
#endif

/// Threads that wait for loops; the thread that asks works too, as worker 0.
///
/// Cost      n_workers - 1 threads; a loop costs one wake-up and one wait, with a short spin before either
///           sleeps
/// Alias     one loop at a time: callers on several threads take turns
/// Note      a task that starts a loop on its own pool never returns
class thread_pool {
public:
    explicit thread_pool(std::size_t n_workers) {
        threads_.reserve(n_workers > 1 ? n_workers - 1 : 0);
        try {
            for (std::size_t w = 1; w < n_workers; ++w) threads_.emplace_back([this, w] { work(w); });
        } catch (...) {
            stop();
            throw;
        }
    }
    ~thread_pool() { stop(); }
    thread_pool(thread_pool const&) = delete;
    thread_pool& operator=(thread_pool const&) = delete;

    [[nodiscard]] std::size_t n_workers() const noexcept { return threads_.size() + 1; }

    void run(std::size_t n_tasks, task_function* function, void const* context) noexcept {
        std::lock_guard const turn(callers_);
        function_ = function;
        context_ = context;
        n_tasks_ = n_tasks;
        next_.store(0, std::memory_order_relaxed);
        busy_.store(threads_.size(), std::memory_order_relaxed);
        {
            std::lock_guard const lock(mutex_);
            round_.fetch_add(1, std::memory_order_release);
        }
        wake_.notify_all();
        take_tasks(0);
        if (!spin([this] { return busy_.load(std::memory_order_acquire) == 0; })) {
            std::unique_lock lock(mutex_);
            done_.wait(lock, [this] { return busy_.load(std::memory_order_acquire) == 0; });
        }
    }

private:
    template <class Condition> static bool spin(Condition const& holds) noexcept {
        constexpr int n_looks = 2000;
        for (int i = 0; i < n_looks; ++i) {
            if (holds()) return true;
#if defined(__x86_64__) && defined(__GNUC__)
            __builtin_ia32_pause();
#endif
        }
        return false;
    }

    void take_tasks(std::size_t worker) noexcept {
        for (;;) {
            std::size_t const i = next_.fetch_add(1, std::memory_order_relaxed);
            if (i >= n_tasks_) return;
            function_(context_, i, worker);
        }
    }

    void work(std::size_t worker) noexcept {
        std::size_t seen = 0;
        for (;;) {
            auto const changed = [this, seen] { return round_.load(std::memory_order_acquire) != seen; };
            if (!spin(changed)) {
                std::unique_lock lock(mutex_);
                wake_.wait(lock, changed);
            }
            ++seen;
            if (stopping_.load(std::memory_order_relaxed)) return;
            take_tasks(worker);
            if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
                { std::lock_guard const lock(mutex_); }
                done_.notify_one();
            }
        }
    }

    void stop() noexcept {
        stopping_.store(true, std::memory_order_relaxed);
        {
            std::lock_guard const lock(mutex_);
            round_.fetch_add(1, std::memory_order_release);
        }
        wake_.notify_all();
        for (std::thread& t : threads_) t.join();
    }

    std::mutex callers_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::condition_variable done_;
    std::atomic<std::size_t> round_{0};
    std::atomic<std::size_t> busy_{0};
    std::atomic<std::size_t> next_{0};
    std::atomic<bool> stopping_{false};
    task_function* function_ = nullptr;
    void const* context_ = nullptr;
    std::size_t n_tasks_ = 0;
    std::vector<std::thread> threads_;
};

}  // namespace commutant::kernels
