#!/bin/sh
# Compiles each public header alone: C11, C17 and C++17, with every compiler that is there.
#   tools/check-headers.sh INCLUDE_DIR     the source tree's or an installed one
set -eu
dir=$1
failed=0
runs=0

# one COMPILER LANGUAGE STANDARD HEADER
one() {
    command -v "$1" >/dev/null 2>&1 || return 0
    runs=$((runs + 1))
    # Twice: the second must find its guard.
    if ! printf '#include <tfops/%s>\n#include <tfops/%s>\n' "$4" "$4" |
        "$1" -x "$2" -std="$3" -Wall -Wextra -Wpedantic -Werror -I"$dir" -fsyntax-only -; then
        printf 'check-headers: %s fails as %s with %s\n' "$4" "$3" "$1"
        failed=$((failed + 1))
    fi
}

for path in "$dir"/tfops/*.h; do
    header=${path##*/}
    for compiler in gcc clang; do
        one "$compiler" c c11 "$header"
        one "$compiler" c c17 "$header"
    done
    for compiler in g++ clang++; do
        one "$compiler" c++ c++17 "$header"
    done
done
printf 'check-headers: %d compilations, %d failed\n' "$runs" "$failed"
[ "$runs" -gt 0 ] && [ "$failed" = 0 ]
