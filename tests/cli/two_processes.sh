#!/usr/bin/env bash
# Several tfops-tune fill one new cache at once: each binary is compiled by one of them. That engines
# do so too, and outlive a claimant that is killed: tests/stress/prepare_processes.c.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"
need_nvrtc
without_gpu

# fill NAME: its summary is left in $scratch/NAME.
fill() {
    "$bin/tfops-tune" rmsnorm rows=16 hidden=3072 --compile-only --arch sm_90a --strategy random \
        --max-configs 6 --seed 1 --jobs 1 --cache "$2" --json >"$scratch/$1" 2>"$scratch/$1.err"
}
# total NAME FILE…: the sum of a number of their summaries.
total() {
    local name=$1
    shift
    grep -h '"event":"summary"' "$@" | grep -o "\"$name\":[0-9]*" | cut -d: -f2 |
        awk '{ sum += $1 } END { print sum + 0 }'
}
binaries() {
    run tfops-cache verify "$1" --json
    number binaries
}

fill alone "$scratch/alone.db"
check 'one process compiles' above "$(total compiled "$scratch/alone")" 0

pids=()
for i in 1 2 3; do
    fill "p$i" "$scratch/shared.db" &
    pids+=($!)
done
for pid in "${pids[@]}"; do
    rc=0
    wait "$pid" || rc=$?
    check 'each of three ends well' exits 0
done
check 'all of three compile what one does' equals \
    "$(total compiled "$scratch"/p[123])" "$(total compiled "$scratch/alone")"
check 'nothing failed' equals "$(total failed "$scratch"/p[123])" 0
check 'the same binaries are there' equals \
    "$(binaries "$scratch/shared.db")" "$(binaries "$scratch/alone.db")"

# One is killed with its workers while it compiles: another is through soon.
setsid "$bin/tfops-tune" rmsnorm rows=16 hidden=3072 --compile-only --arch sm_90a --strategy random \
    --max-configs 6 --seed 1 --jobs 1 --cache "$scratch/killed.db" --json >"$scratch/k1" 2>/dev/null &
killed=$!
disown # so that bash does not tell of its death
for _ in $(seq 200); do
    [ -s "$scratch/k1" ] && break
    sleep 0.02
done
fill k2 "$scratch/killed.db" &
other=$!
kill -KILL -- "-$killed" 2>/dev/null || kill -KILL "$killed"
before=$(date +%s%N)
rc=0
wait "$other" || rc=$?
took=$((($(date +%s%N) - before) / 1000000))
check 'the other ends well' exits 0
check 'the other is through' equals "$(binaries "$scratch/killed.db")" "$(binaries "$scratch/alone.db")"
check "the other was not held up ($took ms)" above 10000 "$took"
finish
