#!/usr/bin/env bash
# Installs into a temporary folder, compiles a small program in C and C++ through pkg-config against
# both libraries, runs it, and wants nothing left after uninstall.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
make=${MAKE:-make}
prefix=$work/usr
run() { "$make" --no-print-directory PREFIX="$prefix" "$@" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }; }

run install
# A staged install must not differ but for where it lies.
run install DESTDIR="$work/stage"
diff <(cd "$prefix" && find . | sort) <(cd "$work/stage$prefix" && find . | sort)

tools/check-headers.sh "$prefix/include"

cat >"$work/program.c" <<'END'
#include <stdio.h>
#include <string.h>
#include <tfops/tfops.h>
int main(void)
{
    char expected[32];
    snprintf(expected, sizeof expected, "%d.%d.%d", TFOPS_VERSION_MAJOR, TFOPS_VERSION_MINOR,
        TFOPS_VERSION_PATCH);
    printf("tfops %s, %zu architectures\n", tfops_version(), tfops_arch_count());
    return strcmp(tfops_version(), expected) || strcmp(tfops_status_name(TFOPS_OK), "TFOPS_OK");
}
END
cp "$work/program.c" "$work/program.cpp"
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
version=$(pkg-config --modversion tfops)
read -ra cflags <<<"$(pkg-config --cflags tfops)"
read -ra shared <<<"$(pkg-config --libs tfops)"
# What a static link takes: the same line with the archive named in place of -ltfops.
read -ra static <<<"$(pkg-config --static --libs tfops | sed 's/-ltfops/-l:libtfops.a/')"

for compiler in "${CC:-gcc}:c11:program.c" "${CXX:-g++}:c++17:program.cpp"; do
    IFS=: read -r cc std source <<<"$compiler"
    strict=(-std="$std" -Wall -Wextra -Wpedantic -Werror)
    "$cc" "${strict[@]}" "${cflags[@]}" "$work/$source" "${shared[@]}" -o "$work/shared"
    LD_LIBRARY_PATH=$prefix/lib "$work/shared" | grep -q "^tfops $version,"
    "$cc" "${strict[@]}" "${cflags[@]}" "$work/$source" "${static[@]}" -o "$work/static"
    "$work/static" | grep -q "^tfops $version,"
    # Not that the shared library was taken after all.
    readelf -d "$work/static" >"$work/needed"
    if grep -q 'NEEDED.*libtfops' "$work/needed"; then exit 1; fi
done

# Installed tools find the installed library, and the library its worker.
for tool in "$prefix"/bin/*; do
    [ -e "$tool" ] || continue
    ldd "$tool" >"$work/ldd"
    grep -q "libtfops.so.0 => $prefix/" "$work/ldd"
done
if [ -e "$prefix/bin/tfops-worker" ]; then [ -x "$prefix/lib/tfops-worker" ]; fi

run uninstall
left=$(find "$prefix" ! -type d)
if [ -n "$left" ]; then
    printf 'uninstall left:\n%s\n' "$left"
    exit 1
fi
echo 'check-install: installed, linked four ways, removed'
