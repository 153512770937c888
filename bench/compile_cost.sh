#!/bin/sh
# SPDX-FileCopyrightText: The commutant authors
# SPDX-License-Identifier: Apache-2.0

# Processor time of compiling what users include, best of five interleaved runs each, for every compiler found.
#
#   sh bench/compile_cost.sh
#
# The inclusion is counted against Eigen and xsimd themselves, a proof against its own headers; both at -O2.
set -eu
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cat >"$folder/base.cpp" <<'EOF'
#include <Eigen/Dense>
#include <xsimd/xsimd.hpp>
EOF
cat >"$folder/entry.cpp" <<'EOF'
#include <Eigen/Dense>
#include <xsimd/xsimd.hpp>
#include <commutant/commutant.hpp>
EOF
cat >"$folder/headers.cpp" <<'EOF'
#include <commutant/proofs/preserves_function.hpp>
#include <commutant/recipes/fptquant.hpp>
EOF
cat >"$folder/proof.cpp" <<'EOF'
#include <commutant/proofs/preserves_function.hpp>
#include <commutant/recipes/fptquant.hpp>
static_assert(commutant::preserves_function<commutant::families::llama, commutant::fptquant_plan>);
EOF

# milliseconds COMPILER SOURCE: processor time of one compilation, which a busy machine disturbs less than the clock.
milliseconds() {
    (
        "$1" -std=c++20 -O2 -c -Iinclude -isystem /usr/include/eigen3 "$2" -o "$folder/out.o"
        times
    ) | awk 'NR == 2 { split($1 "m" $2, t, "[ms]+"); printf "%d", ((t[1] + t[3]) * 60 + t[2] + t[4]) * 1000 }'
}

for compiler in g++ clang++; do
    command -v "$compiler" >/dev/null || continue
    for round in 1 2 3 4 5; do
        for name in base entry headers proof; do
            ms=$(milliseconds "$compiler" "$folder/$name.cpp")
            best=$(cat "$folder/$name.best" 2>/dev/null || echo 999999)
            [ "$ms" -ge "$best" ] || echo "$ms" >"$folder/$name.best"
        done
    done
    base=$(cat "$folder/base.best") entry=$(cat "$folder/entry.best")
    headers=$(cat "$folder/headers.best") proof=$(cat "$folder/proof.best")
    echo "$compiler: commutant.hpp adds $((entry - base)) ms to Eigen and xsimd ($base ms); limit 1500 ms"
    echo "$compiler: one whole-block proof of six transforms $((proof - headers)) ms, its headers $headers ms; limit 1000 ms"
    rm -f "$folder"/*.best
done
