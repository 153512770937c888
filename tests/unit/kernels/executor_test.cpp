// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0

#include <commutant/kernels/executor.hpp>

#include <atomic>
#include <catch2/catch.hpp>
#include <cstddef>
#include <thread>
#include <vector>

using namespace commutant::kernels;

namespace {

// Every task once, and no worker number twice at one time.
void check_loops(executor const& run, std::size_t n_loops) {
    for (std::size_t loop = 0; loop < n_loops; ++loop) {
        std::size_t const n_tasks = loop % 17;
        std::vector<std::atomic<int>> done(n_tasks);
        std::vector<std::atomic<int>> inside(run.n_workers());
        std::atomic<bool> shared{false};
        run.parallel_for(n_tasks, [&](std::size_t i, std::size_t worker) {
            if (worker >= inside.size() || inside[worker].fetch_add(1) != 0) shared = true;
            std::this_thread::yield();
            done[i].fetch_add(1);
            if (worker < inside.size()) inside[worker].fetch_sub(1);
        });
        REQUIRE(!shared);
        for (auto const& d : done) REQUIRE(d.load() == 1);
    }
}

struct not_a_runner {
    std::size_t n_workers() const;  // may throw
    void run(std::size_t, task_function*, void const*) noexcept;
};

static_assert(runs_tasks<thread_pool>);
static_assert(!runs_tasks<not_a_runner>);
static_assert(!runs_tasks<std::thread>);

}  // namespace

TEST_CASE("executor: without a runner tasks run in order in the caller", "[kernels][executor]") {
    executor const run;
    CHECK(run.n_workers() == 1);
    std::vector<std::size_t> order;
    run.parallel_for(4, [&](std::size_t i, std::size_t worker) {
        CHECK(worker == 0);
        order.push_back(i);
    });
    CHECK(order == std::vector<std::size_t>{0, 1, 2, 3});
}

TEST_CASE("thread_pool: every task once, one task at a time per worker", "[kernels][executor]") {
    for (std::size_t n_workers = 0; n_workers <= 5; ++n_workers) {
        thread_pool pool(n_workers);
        executor const run(pool);
        CHECK(run.n_workers() == (n_workers == 0 ? 1 : n_workers));
        check_loops(run, 300);
    }
}

TEST_CASE("thread_pool: what a task wrote is seen by the caller", "[kernels][executor]") {
    thread_pool pool(3);
    executor const run(pool);
    std::vector<std::size_t> squares(1000);
    for (std::size_t round = 0; round < 50; ++round) {
        run.parallel_for(squares.size(), [&](std::size_t i, std::size_t) { squares[i] = i * i + round; });
        for (std::size_t i = 0; i < squares.size(); ++i) REQUIRE(squares[i] == i * i + round);
    }
}

TEST_CASE("thread_pool: callers on several threads take turns", "[kernels][executor]") {
    thread_pool pool(3);
    std::vector<std::atomic<int>> counts(4);
    std::vector<std::thread> callers;
    for (std::size_t c = 0; c < counts.size(); ++c)
        callers.emplace_back([&, c] {
            for (int i = 0; i < 100; ++i)
                executor(pool).parallel_for(7, [&](std::size_t, std::size_t) { counts[c].fetch_add(1); });
        });
    for (auto& t : callers) t.join();
    for (auto const& c : counts) CHECK(c.load() == 700);
}

#if defined(_OPENMP)
TEST_CASE("openmp_runner: every task once, one task at a time per worker", "[kernels][executor]") {
    for (std::size_t n_workers = 1; n_workers <= 4; ++n_workers) {
        openmp_runner runner(n_workers);
        CHECK(executor(runner).n_workers() == n_workers);
        check_loops(runner, 100);
    }
}
#endif
