# shellcheck shell=bash
# What the tools' tests share; sourced, not run. A test calls `golden` and `check` and ends with
# `finish`. TFOPS_UPDATE=1 writes the golden files anew: look at the difference before committing.
set -u
export LC_ALL=C
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=${TFOPS_BUILD:-$here/../../build}
scratch=$(mktemp -d)
chmod 700 "$scratch"
trap 'rm -rf "$scratch"' EXIT
export TFOPS_CACHE=$scratch/user.db
passed=0
failed=0
rc=0

# What differs between machines and runs.
mask() {
    sed -e "s|$scratch|SCRATCH|g" -e "s|$bin/||g" \
        -e 's/\(tfops[a-z-]* \)[0-9][0-9]*\.[0-9][0-9]*\.[0-9][0-9]*$/\1VERSION/' \
        -e 's/"seconds":[0-9.e+-]*/"seconds":S/g' \
        -e 's/ in [0-9][0-9.]* s/ in S s/g'
}

pass() { passed=$((passed + 1)); }
fail() {
    failed=$((failed + 1))
    echo "FAILED: $*"
}

# golden NAME TOOL ARGS…: stdout, stderr and exit code as golden/NAME.txt has them.
golden() {
    local name=$1 tool=$2 expected=$here/golden/$1.txt rc=0
    shift 2
    "$bin/$tool" "$@" >"$scratch/out" 2>"$scratch/err" </dev/null || rc=$?
    {
        echo "\$ $tool $*"
        cat "$scratch/out"
        echo '--- stderr'
        cat "$scratch/err"
        echo "--- exit $rc"
    } | mask >"$scratch/got"
    if [ "${TFOPS_UPDATE:-0}" = 1 ]; then
        cp "$scratch/got" "$expected"
    fi
    if diff -u "$expected" "$scratch/got"; then pass; else fail "$name"; fi
}

# run TOOL ARGS…: leaves stdout in $scratch/out, stderr in $scratch/err, the exit code in $rc.
run() {
    local tool=$1
    shift
    rc=0
    "$bin/$tool" "$@" >"$scratch/out" 2>"$scratch/err" </dev/null || rc=$?
}

# check WHAT COMMAND…: the command must succeed.
check() {
    local what=$1
    shift
    if "$@"; then
        pass
    else
        fail "$what"
        echo "exit ${rc:-}, stdout:"
        tail -n 5 "$scratch/out"
        echo "stderr:"
        tail -n 5 "$scratch/err"
    fi
}

exits() { [ "$rc" = "$1" ]; }
out_has() { grep -q -- "$1" "$scratch/out"; }
err_has() { grep -q -- "$1" "$scratch/err"; }
err_empty() { [ ! -s "$scratch/err" ]; }
out_lines() { [ "$(wc -l <"$scratch/out")" = "$1" ]; }
last_has() { tail -n 1 "$scratch/out" | grep -q -- "$1"; }
# Every line of stdout is one JSON object (python3 where it is there, else by its ends).
all_json() {
    if command -v python3 >/dev/null; then
        python3 -c 'import json, sys
for line in open(sys.argv[1], encoding="utf-8"):
    assert isinstance(json.loads(line), dict)' "$scratch/out"
    else
        [ -s "$scratch/out" ] && ! grep -qv '^{.*}$' "$scratch/out"
    fi
}
# number NAME: the value of the last "NAME":123 on stdout.
number() { grep -o "\"$1\":[0-9.]*" "$scratch/out" | tail -n 1 | cut -d: -f2; }
equals() { [ "$1" = "$2" ] || { echo "'$1' is not '$2'" && false; }; }
above() { [ "${1:-0}" -gt "$2" ] || { echo "'$1' is not above $2" && false; }; }

skip() {
    echo "$*"
    exit 77
}
need_nvrtc() {
    run tfops-info --json
    grep -q '"nvrtc":{"version":[1-9]' "$scratch/out" || skip "no NVRTC"
}
need_gpu() {
    run tfops-info --json
    grep -q '"devices":\[{' "$scratch/out" || skip "no GPU"
}
# Hides a GPU from the tools.
without_gpu() { export TFOPS_LIBCUDA=$scratch/no-libcuda.so; }

finish() {
    echo "$passed passed, $failed failed, 0 skipped"
    [ "$failed" = 0 ]
}
