#!/bin/sh
# SPDX-FileCopyrightText: The commutant authors
# SPDX-License-Identifier: Apache-2.0

# Builds the program commutant and quantises the bundled model with it. Installs what a Debian machine lacks for that.
#
#   sh examples/quickstart.sh [OPTION...]     options are passed on to commutant quantize
set -eu
cd "$(dirname "$0")/.."
. cmake/setup.sh

need_packages cmake ninja-build g++ libeigen3-dev libxsimd-dev nlohmann-json3-dev libcli11-dev

echo "Building build/release/commutant"
mkdir -p build/release
log=build/release/quickstart.log
jobs=${COMMUTANT_JOBS:-$(nproc)}
if ! { configure_preset release && cmake --build build/release --target commutant_program --parallel "$jobs"; } \
    >"$log" 2>&1; then
    cat "$log" >&2
    echo "quickstart: the build failed, its output is above and in $log" >&2
    exit 1
fi

exec build/release/commutant quantize --recipe hadamard --bits 4-4-4 --range minmax "$@"
