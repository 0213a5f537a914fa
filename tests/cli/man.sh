#!/usr/bin/env bash
# The manual keeps up: every option of a tool is in its page, every public function in section 3,
# every reference leads somewhere, groff has nothing to complain about.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
source=${TFOPS_SOURCE:-$here/../..}
pages=$source/tools/man
[ -d "$pages" ] || skip "no manual pages in this bundle"

for tool in tfops-info tfops-tune tfops-cache tfops-bench; do
    run "$tool" --help
    for option in $(grep -o '^  --[a-z-]*' "$scratch/out"); do
        check "$tool.1 has $option" grep -q -- "^\.It Fl -${option#--}" "$pages/$tool.1"
    done
    for option in $(sed -n 's/^\.It Fl -\([a-z-]*\).*/--\1/p' "$pages/$tool.1"); do
        check "$tool has $option" out_has "^  $option"
    done
done

for name in $(sed -n 's/^[a-z][^#*]*\b\(tfops_[a-z_]*\)(.*/\1/p' "$source"/include/tfops/*.h |
    grep -v _fn$ | sort -u); do
    check "$name is in section 3" grep -q "^\.Nm $name\b" "$pages"/*.3
done

for reference in $(sed -n 's/^\.\(Pq \)*Xr \(tfops[^ ]*\) \([137]\).*/\2.\3/p' "$pages"/*.[137] | sort -u); do
    check "the reference to $reference" test -e "$pages/$reference"
done

if command -v groff >/dev/null; then
    for page in "$pages"/*.[137]; do
        groff -ww -mdoc -Tascii "$page" >"$scratch/out" 2>"$scratch/err"
        check "groff on ${page##*/}" err_empty
    done
fi
finish
