#!/usr/bin/env bash
# Makes build/bundle/: what a GPU host without packages needs to tune and to run the tests.
#   tools/bundle.sh BUILD
# bin/ tools and test programs (the emulator's are for hosts without a GPU), lib/ libtfops and every shared library that is neither the C library's
# nor the driver's, source/ what the tests read, run-tests.sh.
set -euo pipefail
export LC_ALL=C
build=$1
out=$build/bundle
limit_mib=40

rm -rf "$out"
mkdir -p "$out/bin" "$out/lib" "$out/source/tests"

# copy FROM TO: programs without their debug sections.
copy() {
    mkdir -p "$(dirname "$2")"
    cp -L "$1" "$2"
    if readelf -h "$2" >/dev/null 2>&1; then strip --strip-debug "$2"; fi
}

for tool in "$build"/tfops-*; do
    if [ -x "$tool" ]; then copy "$tool" "$out/bin/${tool##*/}"; fi
done
for dir in tests fakes plugins examples; do
    [ -d "$build/$dir" ] || continue
    while IFS= read -r file; do
        copy "$build/$dir/$file" "$out/bin/$dir/$file"
    done < <(cd "$build/$dir" && find . -type f -perm -u+x ! -path './emu/*' | sed 's|^\./||')
done
copy "$build/libtfops-internal.so" "$out/lib/libtfops-internal.so"
copy "$build/libtfops.so" "$out/lib/libtfops.so.0"
# Beside the library, where it looks first; a copy, since links do not survive every transport.
if [ -x "$build/tfops-worker" ]; then copy "$build/tfops-worker" "$out/lib/tfops-worker"; fi

# The libraries behind all of them. glibc's own must be the host's.
glibc='^(ld-linux.*|libc|libm|libdl|libpthread|librt|libresolv|libutil|libnsl|libanl|libnss_.*)\.so'
find "$out" -type f -perm -u+x -print0 | LD_LIBRARY_PATH=$build xargs -0 -n 1 ldd 2>/dev/null |
    sed -n 's/^[[:space:]]*\([^ ]*\) => \(\/[^ ]*\) .*/\1 \2/p' | sort -u |
    while read -r name path; do
        if [[ ! $name =~ $glibc && $name != libtfops*.so* ]]; then cp -L "$path" "$out/lib/$name"; fi
    done

cp -r tests/cli "$out/source/tests/" 2>/dev/null || :
cp -r kernels "$out/source/" 2>/dev/null || :
mkdir -p "$out/source/tests/gpu"
cp tests/gpu/*.cu "$out/source/tests/gpu/" 2>/dev/null || :
cp tests/run-tests.sh "$out/source/tests/"
cp -r tests/memcheck "$out/source/tests/" 2>/dev/null || :
cat >"$out/run-tests.sh" <<'END'
#!/usr/bin/env bash
# Runs the bundled tests; parts as arguments (unit gpu stress cli examples; default all of them).
# The last line is "N passed, N failed, N skipped". TFOPS_REQUIRE_GPU=1: a GPU test may not skip.
here=$(cd "$(dirname "$0")" && pwd)
export TFOPS_BUILD=$here/bin TFOPS_SOURCE=$here/source
export LD_LIBRARY_PATH=$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
[ $# -gt 0 ] || set -- unit stress cli examples gpu
exec bash "$here/source/tests/run-tests.sh" "$@"
END
chmod +x "$out/run-tests.sh"

mib=$(($(du -sk "$out" | cut -f1) / 1024))
echo "bundle: $out, $mib MiB"
if [ "$mib" -ge "$limit_mib" ]; then
    echo "bundle: over $limit_mib MiB" >&2
    exit 1
fi
