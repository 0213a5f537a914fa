#!/bin/sh
# Makes a Debian or Ubuntu machine able to build tfops and writes build/config.mk for the Makefile.
#
#   tools/setup.sh           installs what is missing (apt, pip), then writes build/config.mk
#   tools/setup.sh --check   only says what is there and what is missing; changes nothing
#
# Idempotent: with everything in place it runs a few look-ups and touches no network and no package.
# Packages come from apt (as root, or through sudo). cuda.h, nvrtc.h and NVRTC come from $CUDA_HOME,
# from /usr/local/cuda, or from NVIDIA's wheels in a virtual environment under build/.
#
# TFOPS_SETUP_IGNORE_TOOLKIT=1 leaves installed toolkits out of account (tests the wheels).
set -eu
export LC_ALL=C

root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build
venv=$build/cuda-venv
config=$build/config.mk
check=0
missing=0

# The oldest toolkit that knows sm_103a and sm_120a, and the wheels that the measurements used.
oldest_cuda=12090
wheels='nvidia-cuda-nvrtc==13.0.* nvidia-cuda-runtime==13.0.*'

say() { printf 'setup: %s\n' "$*"; }
lack() {
    missing=$((missing + 1))
    printf 'setup: missing: %s\n' "$*" >&2
}
have() { command -v "$1" >/dev/null 2>&1; }

# ---- packages ------------------------------------------------------------------------------------

# Whether what a package provides is there, whoever installed it.
provided() {
    case $1 in
    gcc) have gcc || have clang || have cc ;;
    libc6-dev) [ -e /usr/include/stdio.h ] || [ ! -e /etc/debian_version ] ;;
    make) have make ;;
    binutils) have ld && have nm && have objcopy ;;
    pkg-config) have pkg-config ;;
    g++) have g++ || have clang++ ;;
    libsqlite3-dev) pkg-config --exists 'sqlite3 >= 3.37' ;;
    libcjson-dev) pkg-config --exists libcjson ;;
    libsodium-dev) pkg-config --exists libsodium ;;
    libcriterion-dev) pkg-config --exists criterion || [ -e /usr/include/criterion/criterion.h ] ;;
    python3-venv) have python3 && python3 -c 'import ensurepip, venv' >/dev/null 2>&1 ;;
    *) return 1 ;;
    esac
}

# Prints those of its arguments that are not provided.
absent() {
    for package in "$@"; do
        if ! provided "$package" 2>/dev/null; then
            printf '%s ' "$package"
        fi
    done
}

# Runs apt-get as root; fails where that cannot be.
apt() {
    if [ "$(id -u)" = 0 ]; then
        DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@"
    elif have sudo; then
        # With a terminal sudo may ask for a password; without one it must not hang.
        if [ -t 0 ]; then
            sudo DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@"
        else
            sudo -n DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@"
        fi
    else
        return 1
    fi
}

# Installs what its arguments lack; says each package that is still missing afterwards.
need_packages() {
    wanted=$(absent "$@")
    [ -n "$wanted" ] || return 0
    if [ "$check" = 0 ] && have apt-get; then
        say "installing $wanted"
        # The package lists may be there already: they are only fetched when an install fails.
        # shellcheck disable=SC2086
        if ! apt install --no-install-recommends $wanted >&2; then
            apt update >&2 && apt install --no-install-recommends $wanted >&2 || true
        fi
        wanted=$(absent "$@")
    fi
    for package in $wanted; do
        lack "$package (as root: apt-get update && apt-get install $package)"
        if [ "$package" = libcriterion-dev ]; then
            printf 'setup:   on Ubuntu it is in universe: add-apt-repository universe\n' >&2
        fi
    done
}

# ---- CUDA headers and NVRTC ----------------------------------------------------------------------

cuda_inc=
nvrtc_lib=
cuda_from=

# Takes the headers and the NVRTC of one folder when all are there and new enough.
take_cuda() {
    for inc in "$1/include" "$1"/targets/*/include; do
        [ -r "$inc/cuda.h" ] && [ -r "$inc/nvrtc.h" ] || continue
        version=$(sed -n 's/^#define CUDA_VERSION \([0-9]*\).*/\1/p' "$inc/cuda.h")
        if [ "${version:-0}" -lt "$oldest_cuda" ]; then
            say "$1 holds CUDA ${version:-unknown}: older than $oldest_cuda, not used"
            continue
        fi
        for lib in "$1"/lib64/libnvrtc.so.[0-9]* "$1"/lib/libnvrtc.so.[0-9]* \
            "$1"/targets/*/lib/libnvrtc.so.[0-9]*; do
            [ -r "$lib" ] || continue
            cuda_inc=$inc nvrtc_lib=$lib cuda_from=$1
            return 0
        done
    done
    return 1
}

take_wheels() {
    for home in "$venv"/lib/python3*/site-packages/nvidia/cu[0-9]*; do
        if take_cuda "$home"; then
            return 0
        fi
    done
    return 1
}

take_toolkit() {
    [ "${TFOPS_SETUP_IGNORE_TOOLKIT:-0}" != 1 ] || return 1
    if [ -n "${CUDA_HOME:-}" ]; then
        if take_cuda "$CUDA_HOME"; then
            return 0
        fi
        say "CUDA_HOME=$CUDA_HOME lacks cuda.h, nvrtc.h or libnvrtc.so.N: looking further"
    fi
    take_cuda /usr/local/cuda
}

install_wheels() {
    need_packages python3-venv
    provided python3-venv || return 1
    say "no CUDA toolkit: installing NVIDIA's wheels ($wheels) under build/cuda-venv"
    rm -rf "$venv"
    # shellcheck disable=SC2086
    python3 -m venv "$venv" >&2 &&
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check $wheels >&2
}

need_cuda() {
    take_toolkit || take_wheels && return 0
    if [ "$check" = 0 ] && install_wheels && take_wheels; then
        return 0
    fi
    lack "cuda.h, nvrtc.h and NVRTC (CUDA 12.9 or newer): set CUDA_HOME to a toolkit, or install one" \
        "in /usr/local/cuda, or let pip reach its index for: $wheels"
}

# ---- build/config.mk -----------------------------------------------------------------------------

flags() { pkg-config "$@" | sed 's/[[:space:]]*$//'; }

# The headers that the Makefile looks for on every start: when one goes away it calls this again.
header_of() {
    for dir in $(flags --cflags-only-I "$1" 2>/dev/null | sed 's/-I//g') /usr/include /usr/local/include; do
        if [ -e "$dir/$2" ]; then
            printf '%s ' "$dir/$2"
            return 0
        fi
    done
}

write_config() {
    mkdir -p "$build"
    if pkg-config --exists criterion 2>/dev/null; then
        criterion_cflags=$(flags --cflags criterion) criterion_libs=$(flags --libs criterion)
    else
        criterion_cflags='' criterion_libs=-lcriterion
    fi
    cat >"$config.new" <<END
# Written by tools/setup.sh: where the build finds what it needs. Not edited: run it again instead.
SETUP_CUDA_HOME := ${CUDA_HOME:-}
SETUP_IGNORE_TOOLKIT := ${TFOPS_SETUP_IGNORE_TOOLKIT:-}
CUDA_INC := $cuda_inc
NVRTC_LIB := $nvrtc_lib
DEPS_CFLAGS := $(flags --cflags sqlite3 libcjson libsodium)
DEPS_LIBS := $(flags --libs sqlite3 libcjson libsodium)
CRITERION_CFLAGS := $criterion_cflags
CRITERION_LIBS := $criterion_libs
SETUP_HEADERS := $cuda_inc/cuda.h $cuda_inc/nvrtc.h $(header_of sqlite3 sqlite3.h)$(
        header_of libcjson cjson/cJSON.h)$(header_of libsodium sodium.h)$(
        header_of criterion criterion/criterion.h)
END
    # An unchanged file keeps its content; its date says when it was last found right.
    mv "$config.new" "$config"
}

# ---- main ----------------------------------------------------------------------------------------

case ${1:-} in
'') ;;
--check) check=1 ;;
-h | --help)
    sed -n '2,12s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
*)
    printf 'usage: tools/setup.sh [--check]\n' >&2
    exit 2
    ;;
esac

need_packages gcc libc6-dev make binutils pkg-config
need_packages libsqlite3-dev libcjson-dev libsodium-dev libcriterion-dev
# C++ is only for the host emulation of kernels and for the check that the headers are C++-safe.
need_packages g++
need_cuda

if [ "$missing" -gt 0 ]; then
    printf 'setup: %d missing; nothing can be built before that\n' "$missing" >&2
    exit 1
fi
if [ "$check" = 1 ]; then
    say "all there; CUDA from $cuda_from, NVRTC $nvrtc_lib"
    exit 0
fi
write_config
say "ready; CUDA from $cuda_from"
