# SPDX-FileCopyrightText: The commutant authors
# SPDX-License-Identifier: Apache-2.0

# Sourced by the scripts that set up a bare machine.

# need_packages NAME...: installs the Debian packages that are missing, if any, as root or through sudo. Where there is
# no apt-get it does nothing, and CMake says what it does not find.
need_packages() {
    command -v apt-get >/dev/null 2>&1 || return 0
    missing=""
    for package in "$@"; do
        status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) || status=""
        [ "$status" = installed ] || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0

    as_root=""
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null 2>&1; then
            echo "need_packages: run as root or install sudo, or install these packages first:$missing" >&2
            return 1
        fi
        as_root="sudo"
    fi
    echo "Installing$missing"
    # One package list for both commands; a failed update may still leave a list that is good enough.
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update >/dev/null || true
    # shellcheck disable=SC2086
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $missing >/dev/null
}

# configure_preset PRESET [OPTION...]: cmake --preset, with Ninja where it is installed.
configure_preset() {
    if [ ! -e "build/$1/CMakeCache.txt" ] && command -v ninja >/dev/null 2>&1; then
        CMAKE_GENERATOR=Ninja cmake --preset "$@"
    else
        cmake --preset "$@"
    fi
}
