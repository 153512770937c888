#!/bin/sh
# SPDX-FileCopyrightText: The commutant authors
# SPDX-License-Identifier: Apache-2.0

# Builds the benchmark program and runs it: peaks, neighbours and kernels side by side, then every target with pass or miss.
# Installs what a Debian machine lacks for that.
#
#   sh bench/run.sh [--quick] [--summary] [OPTION...]
#
# Options are the program's; --help lists them. Results go to build/bench/results: results.json, results.svg and results.md.
# The exit status is 1 when a target is missed or a result was wrong. COMMUTANT_JOBS sets the number of parallel jobs.
set -eu
cd "$(dirname "$0")/.."
. cmake/setup.sh

need_packages cmake ninja-build ccache g++ libeigen3-dev libxsimd-dev nlohmann-json3-dev libbenchmark-dev \
    libopenblas-dev libdnnl-dev

build=build/bench
mkdir -p "$build/results"
generator=""
[ -e "$build/CMakeCache.txt" ] || ! command -v ninja >/dev/null 2>&1 || generator="-G Ninja"
# shellcheck disable=SC2086
if ! cmake -S . -B "$build" $generator -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_FLAGS_RELEASE="-O3 -DNDEBUG" \
    -DCMAKE_COMPILE_WARNING_AS_ERROR=OFF -DCOMMUTANT_TESTS=OFF -DCOMMUTANT_EXAMPLES=OFF -DCOMMUTANT_BENCHMARKS=ON >"$build/configure.log" 2>&1; then
    cat "$build/configure.log" >&2
    exit 2
fi
grep '^-- bench:' "$build/configure.log" || true
if ! cmake --build "$build" --parallel "${COMMUTANT_JOBS:-$(nproc)}" --target commutant_bench >"$build/build.log" 2>&1; then
    cat "$build/build.log" >&2
    exit 2
fi

# Large blocks of every contestant are on large pages, and pages once got are kept: getting them takes longer than measuring.
export GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=1000000000000
exec "$build/bench/commutant_bench" --out="$build/results" "$@"
