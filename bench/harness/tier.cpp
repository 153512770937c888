// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include "harness/tier.hpp"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>

extern char** environ;

namespace commutant::bench {

std::vector<tier> tiers_here() {
    using kernels::isa;
    // OpenBLAS does not know every processor and then takes kernels two to five times slower: it is told.
    std::vector<tier> all;
    auto const add = [&](isa level, char const* onednn, char const* openblas) {
        if (!kernels::is_supported(level)) return;
        std::string const name{to_string(level)};
        all.push_back(
            {name,
             level,
             {{"COMMUTANT_MAX_ISA", name}, {"ONEDNN_MAX_CPU_ISA", onednn}, {"OPENBLAS_CORETYPE", openblas}}});
    };
    add(isa::amx, "ALL", "SkylakeX");
#if defined(COMMUTANT_KERNELS_X86)
    bool const bf16 = __builtin_cpu_supports("avx512bf16");
    add(isa::avx512_vnni, bf16 ? "AVX512_CORE_BF16" : "AVX512_CORE_VNNI", "SkylakeX");
#endif
    add(isa::avx_vnni, "AVX2_VNNI", "Haswell");
    add(isa::avx2, "AVX2", "Haswell");
    if (all.empty()) all.push_back({"native", isa::neon_dotprod, {}});
    return all;
}

std::vector<std::pair<std::string, std::string>> environment_of(tier const& t, int n_threads) {
    std::vector<std::pair<std::string, std::string>> r = t.environment;
    std::string const n = std::to_string(n_threads);
    r.emplace_back("OMP_NUM_THREADS", n);
    r.emplace_back("OPENBLAS_NUM_THREADS", n);
    r.emplace_back("OPENBLAS_THREAD_TIMEOUT",
                   "4");  // its threads sleep when idle instead of taking others' time
    return r;
}

int run_again(std::vector<std::string> const& arguments,
              std::vector<std::pair<std::string, std::string>> const& environment) {
    std::vector<std::string> texts;
    for (char** e = environ; *e != nullptr; ++e) {
        std::string const text = *e;
        bool replaced = false;
        for (auto const& [name, value] : environment) replaced = replaced || text.starts_with(name + "=");
        if (!replaced) texts.push_back(text);
    }
    for (auto const& [name, value] : environment) texts.push_back(name + "=" + value);

    std::vector<char*> argv, envp;
    std::vector<std::string> words = arguments;
    words.insert(words.begin(), "/proc/self/exe");
    for (std::string& w : words) argv.push_back(w.data());
    for (std::string& t : texts) envp.push_back(t.data());
    argv.push_back(nullptr);
    envp.push_back(nullptr);

    pid_t child = 0;
    if (posix_spawn(&child, "/proc/self/exe", nullptr, nullptr, argv.data(), envp.data()) != 0)
        throw std::runtime_error("bench: cannot start itself again");
    int status = 0;
    while (waitpid(child, &status, 0) < 0) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace commutant::bench
