#!/usr/bin/env bash
# README.md's example compiles against the library as it is built and prints what it should; its
# commands are ones the tools take.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
readme=$here/../../README.md
[ -r "$readme" ] || skip "no README.md here"
[ -e "$bin/libtfops.so" ] || skip "no library to link with here"
cc=${CC:-cc}
command -v "$cc" >/dev/null || skip "no C compiler"

# block LANGUAGE: the first fenced block of it.
block() { awk -v fence="^\`\`\`$1\$" '$0 ~ fence { on = 1; next } /^```/ && on { exit } on' "$readme"; }

block c >"$scratch/example.c"
check 'there is an example' grep -q 'int main' "$scratch/example.c"
for standard in c11 c17; do
    rc=0
    # A sanitizer build's library wants its runtime in the program too.
    case $bin in *asan) flags=-fsanitize=address ;; *ubsan) flags=-fsanitize=undefined ;; *) flags= ;; esac
    # shellcheck disable=SC2086
    "$cc" "-std=$standard" -Wall -Wextra -Wpedantic -Werror $flags -I"$here/../../include" \
        "$scratch/example.c" -L"$bin" -ltfops -Wl,-rpath,"$bin" -o "$scratch/example" \
        >"$scratch/out" 2>"$scratch/err" || rc=$?
    check "it compiles as $standard without a warning" exits 0
done
rc=0
"$scratch/example" >"$scratch/out" 2>"$scratch/err" || rc=$?
check 'it runs' exits 0
check 'it says nothing on stderr' err_empty
# x is −3 … 3 in turn: −3 / √(mean square), which is 4 and a little
check 'its result' out_has '^out\[0\] = -1\.4997'

# Commands that tune: each is understood, shown by a dry run of it.
commands=0
while IFS= read -r line; do
    commands=$((commands + 1))
    line=${line%%#*}
    case $line in *--arch*) ;; *) line="$line --arch sm_90a" ;; esac
    case $line in *--shard*) ;; *--suite*) line="$line --shard 1/40" ;; esac # their spaces take a minute
    # shellcheck disable=SC2086
    run ${line/--cache h200.db/--cache $scratch/h200.db} --dry-run
    check "understood: $line" exits 0
done < <(grep '^tfops-tune ' "$readme")
check 'there are commands' above "$commands" 0
finish
