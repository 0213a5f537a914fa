#!/bin/sh
# Line coverage of the objects under DIR, with gcovr or lcov, whichever is there.
#   tools/coverage.sh DIR
set -eu
dir=$1
out=$dir/report
mkdir -p "$out"
if command -v gcovr >/dev/null 2>&1; then
    gcovr --root . --object-directory "$dir/obj" --exclude 'tests/' --exclude 'build/' \
        --html-details "$out/index.html" --txt "$out/summary.txt"
    cat "$out/summary.txt"
else
    lcov --quiet --capture --directory "$dir/obj" --output-file "$out/all.info"
    lcov --quiet --remove "$out/all.info" '/usr/*' '*/tests/*' '*/build/gen/*' --output-file "$out/tfops.info"
    lcov --list "$out/tfops.info" | sed 's|\[/.*/\]|[]|'
    if command -v genhtml >/dev/null 2>&1; then
        genhtml --quiet "$out/tfops.info" --output-directory "$out"
    fi
fi
echo "coverage: $out/"
