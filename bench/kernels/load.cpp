// SPDX-FileCopyrightText: The commutant authors
// SPDX-License-Identifier: Apache-2.0
#include <dlfcn.h>

#include <filesystem>
#include <stdexcept>

#include "kernels/kernel_build.hpp"

namespace commutant::bench {

std::vector<named_build> load_kernel_builds() {
    std::filesystem::path const folder = std::filesystem::read_symlink("/proc/self/exe").parent_path();
    std::vector<named_build> r;
    for (auto const& [name, file] : {std::pair{"commutant", "commutant_bench_native.so"},
                                     std::pair{"commutant fixed", "commutant_bench_fixed.so"},
                                     std::pair{"commutant x86-64", "commutant_bench_plain.so"}}) {
        std::filesystem::path const path = folder / file;
        if (!std::filesystem::exists(path)) continue;
        void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
        if (library == nullptr) throw std::runtime_error(std::string("bench: ") + dlerror());
        auto const entry =
            reinterpret_cast<decltype(&commutant_bench_kernels)>(dlsym(library, "commutant_bench_kernels"));
        if (entry == nullptr) throw std::runtime_error(std::string("bench: ") + dlerror());
        r.push_back({name, entry()});
    }
    return r;
}

}  // namespace commutant::bench
