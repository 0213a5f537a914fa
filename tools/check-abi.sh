#!/bin/sh
# Compares what the libraries in DIR export with what include/tfops/ declares.
#   tools/check-abi.sh DIR
# The shared library: exactly the declared functions, each at TFOPS_0.1, no data, soname
# libtfops.so.0. The static library: the same functions and no other global name.
set -eu
export LC_ALL=C
cd "$(dirname "$0")/.."
dir=${1:-build}
node=TFOPS_0.1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# Declared functions: after the preprocessor, outside braces, not typedefs, not inline.
declared() {
    printf '#include <tfops/tfops.h>\n' | "${CC:-gcc}" -std=c11 -E -P -Iinclude - |
        tr '\n' ' ' | awk '
        {
            n = length($0); depth = 0; statement = ""
            for (i = 1; i <= n; i++) {
                c = substr($0, i, 1)
                if (c == "{") { depth++; continue }
                if (c == "}") { depth--; continue }
                if (depth) continue
                if (c != ";") { statement = statement c; continue }
                if (statement !~ /typedef|(^| )static / && match(statement, /tfops_[a-z0-9_]+ *\(/)) {
                    name = substr(statement, RSTART, RLENGTH - 1); sub(/ +$/, "", name); print name
                }
                statement = ""
            }
        }' | sort -u
}

# compare TITLE FILE: against the declared ones.
compare() {
    for name in $(comm -23 "$work/declared" "$2"); do
        echo "check-abi: $1 lacks $name, which include/tfops/ declares"
        failed=$((failed + 1))
    done
    for name in $(comm -13 "$work/declared" "$2"); do
        echo "check-abi: $1 exports $name, which no public header declares"
        failed=$((failed + 1))
    done
}

declared >"$work/declared"
nm -D --defined-only "$dir/libtfops.so" | awk -v node="$node" '$3 != node { print $2, $3 }' >"$work/so"
awk -v node="@@$node" '{ sub(node "$", "", $2); print $2 }' "$work/so" | sort -u >"$work/so_names"
nm -g --defined-only "$dir/libtfops.a" | awk 'NF == 3 { print $3 }' | sort -u >"$work/a_names"
compare libtfops.so "$work/so_names"
compare libtfops.a "$work/a_names"

awk -v node="@@$node" '$1 != "T" || substr($2, length($2) - length(node) + 1) != node' "$work/so" >"$work/odd"
while read -r kind name; do
    echo "check-abi: $name ($kind) is not a function at $node"
    failed=$((failed + 1))
done <"$work/odd"

soname=$(readelf -d "$dir/libtfops.so" | sed -n 's/.*(SONAME).*\[\(.*\)\].*/\1/p')
if [ "$soname" != libtfops.so.0 ]; then
    echo "check-abi: soname is $soname, not libtfops.so.0"
    failed=$((failed + 1))
fi
printf 'check-abi: %d functions declared, %d differences\n' "$(wc -l <"$work/declared")" "$failed"
[ "$failed" = 0 ]
