#!/bin/sh
# SPDX-FileCopyrightText: The commutant authors
# SPDX-License-Identifier: Apache-2.0

# Builds the project with each preset below and runs all tests; for other processors than this one the tests of the
# kernels, 64-bit ARM under qemu. Installs what a Debian machine lacks for that.
#
#   sh tests/run.sh [PRESET...]
#
# COMMUTANT_JOBS sets the number of parallel jobs (default: all processors), COMMUTANT_TEST_DATA the folder of
# checkpoints made elsewhere. The exit status is 0 when everything was built and every test passed.
set -eu
cd "$(dirname "$0")/.."
. cmake/setup.sh

need_packages cmake ninja-build ccache g++ clang libclang-rt-14-dev clang-format-14 \
    libeigen3-dev libxsimd-dev nlohmann-json3-dev libcli11-dev catch2 libbenchmark-dev

if [ "$#" -eq 0 ]; then
    set -- gcc-release clang-asan
    # The kernels alone, as other processors run them.
    if [ "$(uname -m)" = x86_64 ]; then
        set -- "$@" gcc-scalar-kernels gcc-sse2
        ! grep -qw avx2 /proc/cpuinfo || set -- "$@" gcc-avx2
        set -- "$@" aarch64
    fi
fi
case " $* " in
*" aarch64 "*) need_packages g++-aarch64-linux-gnu qemu-user ;;
esac
jobs=${COMMUTANT_JOBS:-$(nproc)}
start=$(date +%s)

n_tests=0
n_failed=0
failures=""
# record_failure TEXT: a line for the summary.
record_failure() {
    failures="$failures
	$1"
}

# The first preset also tests what is the same in all of them: headers, package, format.
repository_tests=ON
for preset in "$@"; do
    build=build/$preset
    mkdir -p "$build"

    echo "== $preset: build"
    keep_going="-k 0"
    n_tests=$((n_tests + 1))
    if ! configure_preset "$preset" "-DCOMMUTANT_REPOSITORY_TESTS=$repository_tests" -DCOMMUTANT_TESTS_TOGETHER=ON \
        >"$build/configure.log" 2>&1; then
        cat "$build/configure.log" >&2
        n_failed=$((n_failed + 1))
        record_failure "$preset: configuring failed, see $build/configure.log"
        continue
    fi
    [ -e "$build/build.ninja" ] || keep_going="-k"
    # What does not compile leaves the rest to be tested.
    if ! cmake --build "$build" --parallel "$jobs" -- $keep_going >"$build/build.log" 2>&1; then
        grep -n -A 6 -E 'error:|error |Error [0-9]|undefined reference' "$build/build.log" | head -n 120 >&2 || true
        n_failed=$((n_failed + 1))
        record_failure "$preset: building failed, see $build/build.log"
    fi

    echo "== $preset: test"
    # The status is read from the log, together with the counts.
    ctest --test-dir "$build" --parallel "$jobs" --output-on-failure --no-tests=error -O "$build/ctest.log" || true
    counts=$(sed -n 's/.* tests passed, \([0-9]*\) tests failed out of \([0-9]*\)$/\1 \2/p' "$build/ctest.log")
    if [ -z "$counts" ]; then
        n_failed=$((n_failed + 1))
        n_tests=$((n_tests + 1))
        record_failure "$preset: ctest ran no tests"
    else
        n_failed=$((n_failed + ${counts% *}))
        n_tests=$((n_tests + ${counts#* }))
        names=$(sed -n '/^The following tests FAILED:/,$ s/^[[:space:]]*[0-9]* - //p' "$build/ctest.log")
        [ -z "$names" ] || record_failure "$(printf '%s\n' "$names" | sed "s/^/$preset: /; 2,\$s/^/	/")"
    fi

    repository_tests=OFF
done

# One summary of all presets in the words of CTest; a build counts as a test.
echo
echo "== all presets: $*"
if [ "$n_failed" -gt 0 ]; then
    echo "The following tests FAILED:$failures"
    echo
fi
echo "$(((n_tests - n_failed) * 100 / n_tests))% tests passed, $n_failed tests failed out of $n_tests"
echo "Total Test time (real) = $(($(date +%s) - start)) sec"
[ "$n_failed" -eq 0 ]
